"""Shuffling and augmentation of images."""

from pyconv.preprocessing.augmentation import Augmentation
from pyconv.preprocessing.image import ImageDataGenerator

__all__ = ["Augmentation", "ImageDataGenerator"]
