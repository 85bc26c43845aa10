"""NVIDIA GPUs: whether pyconv can use one, and if not, why."""


def is_available():
    """Return whether training on a GPU works here."""
    return why_not() is None


def why_not():
    """Return in words why `is_available()` is False, or None."""
    return "this build of pyconv has no CUDA backend: it runs on the CPU only"
