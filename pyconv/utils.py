"""Keras' `keras.utils`, as far as it goes here."""

import numpy as np

from pyconv import names
from pyconv.arguments import integer, shown

__all__ = ["random_seed", "set_random_seed", "to_categorical"]

_random_seed = 0


def set_random_seed(seed):
    """Set the seed of the models made from now on: initial weights, shuffles, augmentation, dropout."""
    global _random_seed
    if not 0 <= seed < 2**64:
        raise ValueError(f"[set_random_seed] seed is {seed}, expected an integer in [0, 2**64)")
    _random_seed = int(seed)


def random_seed():
    """Return the seed of new models."""
    return _random_seed


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
