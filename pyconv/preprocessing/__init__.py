"""Shuffling and augmentation of images."""

from pyconv import names
from pyconv.preprocessing.augmentation import Augmentation
from pyconv.preprocessing.image import ImageDataGenerator

__all__ = ["Augmentation", "ImageDataGenerator"]


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
