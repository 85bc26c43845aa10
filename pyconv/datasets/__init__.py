"""Data sets: CIFAR-10, and shapes that are drawn on the spot."""

from pyconv import names
from pyconv.datasets import cifar10, shapes

__all__ = ["cifar10", "shapes"]


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
