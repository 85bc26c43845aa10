"""pyconv: convolutional networks in a wheel of a few megabytes."""

__version__ = "0.1.0"
