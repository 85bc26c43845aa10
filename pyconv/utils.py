"""Keras' `keras.utils`, as far as it goes here."""

import threading

import numpy as np

from pyconv import arguments, names
from pyconv.arguments import integer, shown

__all__ = ["random_seed", "set_random_seed", "to_categorical"]

_lock = threading.Lock()
_seeds = None  # an iterator, made at first use


def set_random_seed(seed):
    """Set what the seeds of models, flows and lone layers made from now on are drawn from.

    The same calls after it draw the same seeds. Without it a script starts as if it had set 0.
    """
    global _seeds
    _seeds = _draw(arguments.seed(seed, "set_random_seed"))


def random_seed():
    """Return the next seed, in [0, 2**64): the one that was set, then others derived from it."""
    global _seeds
    if _seeds is None:
        _seeds = _draw(0)
    with _lock:
        return next(_seeds)


def _draw(seed):
    """Yield `seed`, then SplitMix64's numbers (Steele, Lea and Flood, OOPSLA 2014)."""
    yield seed
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) % 2**64
        z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        yield z ^ (z >> 31)


def to_categorical(y, num_classes=None):
    """Return integer labels (N,) or (N, 1) as one-hot rows: float32 (N, num_classes).

    Without `num_classes` there are as many as the largest label asks for. Raises ValueError for labels
    outside [0, num_classes).
    """
    op = "to_categorical"
    classes = (
        None if num_classes is None else integer(num_classes, "num_classes", op, least=1, most=2**31 - 1)
    )
    try:
        y = np.asarray(y)
    except ValueError:
        raise ValueError(f"[{op}] y has rows of different lengths, expected labels (N,)") from None
    if y.dtype.kind not in "fiub":
        raise TypeError(f"[{op}] y is {shown(y) if y.ndim else shown(y.item())}, expected integer labels")
    if y.ndim > 1 and y.shape[-1] == 1:
        y = y.reshape(y.shape[:-1])
    if y.dtype.kind == "f" and not np.all(y == np.trunc(y)):  # NaN too
        raise ValueError(f"[{op}] y holds fractions, expected whole numbers")
    if y.size and not 0 <= y.min() <= y.max() < 2**31:
        raise ValueError(
            f"[{op}] y has labels from {y.min():.0f} to {y.max():.0f}, expected [0, {classes or 2**31})"
        )
    labels = y.astype(np.int64)
    classes = int(labels.max(initial=-1)) + 1 if classes is None else classes
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"[{op}] y has labels from {labels.min()} to {labels.max()}, expected [0, {classes})"
        )
    one_hot = np.zeros((*labels.shape, classes), np.float32)
    np.put_along_axis(one_hot, labels[..., None], 1, axis=-1)
    return one_hot


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
