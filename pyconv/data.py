"""What users hand to `fit`, `evaluate` and `predict`, as arrays that the plans take."""

import numpy as np

from pyconv import _core
from pyconv.ops import as_tensor
from pyconv.philox import permutation
from pyconv.training import Batch


def as_images(x, op, name="x"):
    """Return a batch as a contiguous array: uint8 stays, anything else becomes float32."""
    if not isinstance(x, (np.ndarray, list, tuple)):
        x = as_tensor(x, op, name).numpy()
    x = np.asarray(x)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"[{op}] {name} has dtype {x.dtype}, expected numbers")
    if x.ndim < 2:
        raise ValueError(f"[{op}] {name} has shape {x.shape}, expected a batch: (N, ...)")
    return np.ascontiguousarray(x if x.dtype == np.uint8 else x.astype(np.float32, copy=False))


def as_targets(y, classes, rows, op, name="y"):
    """Return labels as int32 (N,), one-hot rows or probabilities as float32 (N, classes).

    Takes (N,) and (N, 1) integer labels and (N, classes) rows.
    """
    if not isinstance(y, (np.ndarray, list, tuple)):
        y = as_tensor(y, op, name).numpy()
    y = np.asarray(y)
    if len(y) != rows:
        raise ValueError(f"[{op}] {name} has {len(y)} rows, x has {rows}")
    if y.ndim == 2 and y.shape[1] == classes and classes > 1:
        return np.ascontiguousarray(y, np.float32)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(
            f"[{op}] {name} has shape {y.shape}, expected labels (N,) or (N, 1), or rows (N, {classes})"
        )
    labels = y.astype(np.int32)
    if np.any(labels != y):
        raise ValueError(f"[{op}] {name} holds fractions, expected integer labels")
    if rows and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"[{op}] {name} has labels from {labels.min()} to {labels.max()}, expected [0, {classes})"
        )
    return labels


def split(x, y, fraction):
    """Return (x, y), (x_validation, y_validation): the last `fraction` of the rows validates, as in Keras."""
    if not 0 < fraction < 1:
        raise ValueError(f"[fit] validation_split is {fraction}, expected a number in (0, 1)")
    cut = int(len(x) * (1 - fraction))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


class ArrayFeed:
    """Batches of arrays that stay where they are: a step is given the rows' numbers."""

    def __init__(
        self, x, y, classes, batch_size, *, shuffle=False, augment=None, seed=0, op="fit", device="cpu"
    ):
        self.x = as_images(x, op)
        self.y = as_targets(y, classes, len(self.x), op)
        self.source = _core.from_numpy(self.x).to(device)
        self.device = device
        self.batch_size = positive(batch_size, "batch_size", op)
        self.shuffle = shuffle
        self.augment = augment
        self.seed = seed
        self.images = len(self.x)
        self.steps = -(-self.images // self.batch_size)
        self.shape, self.dtype = self.x.shape[1:], self.x.dtype.name

    def batches(self, epoch, first=0):
        """Yield, from step `first` of an epoch on, (Batch, target shape, function that fills a plan)."""
        order = np.arange(self.images, dtype=np.int32)
        if self.shuffle:
            order = permutation(self.images, seed=self.seed, epoch=epoch)
        for start in range(first * self.batch_size, self.images, self.batch_size):
            rows = order[start : start + self.batch_size]
            targets = self.y[rows]

            def fill(plan, rows=rows, targets=targets):
                plan["index"].assign(rows)
                plan["target"].assign(targets)

            batch = Batch(len(rows), self.shape, self.dtype, self.device, self.source, self.augment)
            yield batch, targets.shape, fill


class IterableFeed:
    """Batches that an iterable of (x, y) gives. One without an end needs `steps`, or a length."""

    augment = None

    def __init__(self, iterable, classes, steps=None, op="fit", device="cpu"):
        self.device = device
        self._iterable = iterable
        self._classes = classes
        self._op = op
        self._iterator = iter(iterable) if iter(iterable) is iterable else None
        self.steps = steps or (len(iterable) if hasattr(iterable, "__len__") else None)
        self.images = None
        self._ahead = None
        self.shape, self.dtype = self._peek()

    def _peek(self):
        """Return shape and dtype of the first batch's images; the batch is kept for the first step."""
        stream = self._iterator or iter(self._iterable)
        first = next(stream, None)
        if first is None:
            raise ValueError(f"[{self._op}] x gives no batch")
        self._ahead = (stream, first)
        x = as_images(self._pair(first)[0], self._op)
        return x.shape[1:], x.dtype.name

    def _pair(self, batch):
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise ValueError(f"[{self._op}] x gives a {type(batch).__name__}, expected batches (x, y)")
        return batch

    def batches(self, epoch, first=0):
        """Yield (Batch, target shape, function that fills a plan) until the end or `steps`."""
        if self._ahead:
            stream, ahead = self._ahead
            self._ahead = None
        else:
            stream, ahead = self._iterator or iter(self._iterable), None
        if first and self._iterator is None:  # a fresh stream begins at the epoch's first batch
            for _ in range(first - (ahead is not None)):
                next(stream, None)
            ahead = None
        step = first
        while self.steps is None or step < self.steps:
            batch = ahead if ahead is not None else next(stream, None)
            ahead = None
            if batch is None:
                break
            x, y = self._pair(batch)
            x = as_images(x, self._op)
            y = as_targets(y, self._classes, len(x), self._op)

            def fill(plan, x=x, y=y):
                plan["x"].assign(x)
                plan["target"].assign(y)

            yield Batch(len(x), x.shape[1:], x.dtype.name, self.device), y.shape, fill
            step += 1
        if step < (self.steps or first + 1):
            raise ValueError(
                f"[{self._op}] x ended after {step} of {self.steps or 'its'} batches in epoch {epoch + 1}; "
                "give an iterable that starts anew each epoch, or fewer steps"
            )
        self.steps = self.steps or step


def positive(value, name, op):
    """Return an integer argument. Raises ValueError unless it is at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"[{op}] {name} is {value!r}, expected an integer of at least 1")
    return int(value)
