"""Data sets."""

from pyconv.datasets import cifar10

__all__ = ["cifar10"]
