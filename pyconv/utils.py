"""Keras' `keras.utils`, as far as it goes here."""

import numpy as np

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
    y = np.asarray(y)
    if y.ndim > 1 and y.shape[-1] == 1:
        y = y.reshape(y.shape[:-1])
    labels = y.astype(np.int64)
    if np.any(labels != y):
        raise ValueError("[to_categorical] y holds fractions, expected whole numbers")
    classes = int(labels.max(initial=-1)) + 1 if num_classes is None else num_classes
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"[to_categorical] y has labels from {labels.min()} to {labels.max()}, expected [0, {classes})"
        )
    one_hot = np.zeros((*labels.shape, classes), np.float32)
    np.put_along_axis(one_hot, labels[..., None], 1, axis=-1)
    return one_hot
