"""NVIDIA GPUs: whether pyconv can use one, and if not, why."""

from pyconv import _core


def is_available():
    """Return whether training on a GPU works here."""
    return why_not() is None


def why_not():
    """Return in words why `is_available()` is False, or None."""
    return _core.cuda_why_not()


def device_name():
    """Return the GPU's name. Raises ValueError, with the reason, where there is none."""
    return _core.cuda_name()


def synchronize():
    """Wait until the GPU has done all work so far. Raises RuntimeError for what went wrong in it."""
    _core.cuda_synchronize()
