"""Data sets: CIFAR-10, and shapes that are drawn on the spot."""

from pyconv.datasets import cifar10, shapes

__all__ = ["cifar10", "shapes"]
