"""Data as batches: arrays, a `Sequence` of batches, any iterable; what `fit` and `evaluate` run over.

A feed has `steps` (of an epoch; None where only its end will tell), `images` (likewise), and `shape` and
`dtype` of its images. `batches(epoch, first, first_pass)` yields, from step `first` of an epoch on, (Batch,
target shape, function that fills a plan, draw): `draw` is (pass, step), what the step's random numbers are
keyed by. A pass goes through the data once: where an epoch is as long, they count from `first_pass` on.
"""

import numpy as np

from pyconv import _core, arguments
from pyconv.engine.batch import Batch
from pyconv.engine.data import as_images, is_array
from pyconv.philox import permutation


class ArrayFeed:
    """Batches of arrays that stay where they are: a step is given the rows' numbers.

    With `steps` an epoch has that many, and the next one goes on in the data where it ended; only a training
    ("steps_per_epoch") may go through the data more than once.
    """

    def __init__(
        self,
        x,
        y,
        as_targets,
        batch_size,
        *,
        steps=None,
        steps_name="steps",
        shuffle=False,
        augment=None,
        seed=0,
        op="fit",
        device="cpu",
    ):
        self.x = as_images(x, op)
        self.y = as_targets(y, len(self.x), op)
        if not len(self.x):
            raise ValueError(f"[{op}] x has no images, expected at least one")
        self.source = _core.from_numpy(self.x).to(device)
        self.device = device
        self.batch_size = arguments.integer(batch_size, "batch_size", op, least=1)
        self.shuffle = shuffle
        self.augment = augment
        self.seed = seed
        self._full = -(-len(self.x) // self.batch_size)  # steps of a pass
        self.steps = steps or self._full
        if self.steps > self._full and steps_name != "steps_per_epoch":
            raise ValueError(
                f"[{op}] {steps_name} is {steps}, expected at most {self._full}, the batches there are"
            )
        self.images = len(self.x) if self.steps == self._full else self.steps * self.batch_size
        self.shape, self.dtype = self.x.shape[1:], self.x.dtype.name
        self._order, self._order_of = None, None
        self._batches = {}

    def batches(self, epoch, first=0, first_pass=0):
        """Yield the epoch's batches: see the module."""
        for step in range(first, self.steps):
            number, place = divmod(epoch * self.steps + step, self._full)
            rows = self._rows(first_pass + number)[place * self.batch_size : (place + 1) * self.batch_size]
            targets = self.y[rows]

            def fill(plan, rows=rows, targets=targets):
                plan["index"].assign(rows)
                plan["target"].assign(targets)

            yield self._batch(len(rows)), targets.shape, fill, (first_pass + number, place)

    def passes_before(self, epoch):
        """Return how many passes the epochs before `epoch` have finished."""
        return epoch * self.steps // self._full

    def _batch(self, size):
        """Return the `Batch` of so many rows, the same one each time: equal keys are found quicker."""
        if size not in self._batches:
            options = (self.shape, self.dtype, self.device, self.source, self.augment)
            self._batches[size] = Batch(size, *options)
        return self._batches[size]

    def _rows(self, number):
        """Return the order of the rows in a pass."""
        if self._order_of != number:
            self._order_of, self._order = number, np.arange(len(self.x), dtype=np.int32)
            if self.shuffle:
                self._order = permutation(len(self.x), seed=self.seed, epoch=number)
        return self._order

    def end_epoch(self):
        """Nothing changes between epochs."""

    def sample(self, count):
        """Return the first images, as they came."""
        return self.x[:count]


class IterableFeed:
    """Batches that an iterable of (x, y) gives. One without an end needs `steps`, or a length.

    A `Sequence`, as Keras has it, is asked by number: with `shuffle` in a new order each epoch. `classes` is
    to be set before the first batch is asked for.
    """

    augment = source = None

    def __init__(self, iterable, steps=None, *, shuffle=False, seed=0, op="fit", name="x", device="cpu"):
        self.device = device
        self._iterable = iterable
        self.as_targets = None
        self._op, self._name = op, name
        self._shuffle, self._seed = shuffle, seed
        if not is_sequence(iterable) and not hasattr(type(iterable), "__iter__"):
            hint = ": it has no length" if hasattr(iterable, "__getitem__") else ""
            kind = arguments.kind_of(iterable) + hint
            raise TypeError(f"[{op}] {name} is {kind}, expected arrays or an iterable of batches")
        self._iterator = iter(iterable) if hasattr(iterable, "__next__") else None
        self._full = None  # batches of a pass
        if hasattr(iterable, "__len__") and self._iterator is None:
            self._full = arguments.integer(
                type(iterable).__len__(iterable), f"the length of {name}", op, least=0
            )
        self.steps = steps or (len(iterable) if hasattr(iterable, "__len__") else None)
        self._next = None  # (an open stream, the number of its next batch), across epochs shorter than a pass
        self.images = None
        self._ahead = None
        self._first = self._peek()
        self.shape, self.dtype = self._first.shape[1:], self._first.dtype.name

    def batches(self, epoch, first=0, first_pass=0):
        """Yield the epoch's batches until the end or `steps`: see the module."""
        step = first
        while self.steps is None or step < self.steps:
            draw, batch = self._take(epoch, step, first_pass)
            if batch is None:
                break
            x, y = self._pair(batch)
            x = as_images(x, self._op, self._name)
            if not len(x):
                raise ValueError(f"[{self._op}] {self._name} gives a batch without images")
            if x.shape[1:] != self.shape:
                raise ValueError(
                    f"[{self._op}] {self._name} gives images of shape {x.shape[1:]} after {self.shape}, "
                    "expected one shape"
                )
            y = self.as_targets(y, len(x), self._op)

            def fill(plan, x=x, y=y):
                plan["x"].assign(x)
                plan["target"].assign(y)

            yield Batch(len(x), x.shape[1:], x.dtype.name, self.device), y.shape, fill, draw
            step += 1
        if step < (self.steps or 1):
            raise ValueError(
                f"[{self._op}] {self._name} ended after {step} of {self.steps or 'its'} batches in epoch "
                f"{epoch + 1}; give an iterable that starts anew each epoch, or fewer steps"
            )
        self.steps = self.steps or step

    def passes_before(self, epoch):
        """Return how many passes the epochs before `epoch` have finished."""
        return epoch * self.steps // self._full if self._cycles else epoch

    def end_epoch(self):
        """Tell a `Sequence` that an epoch has ended."""
        if hook := getattr(self._iterable, "on_epoch_end", None):
            hook()

    def sample(self, count):
        """Return the first images, as they came."""
        return self._first[:count]

    @property
    def _cycles(self):
        """Whether the next epoch goes on where the last one ended in the data."""
        return bool(self._full and self.steps and self.steps < self._full and self._op == "fit")

    def _take(self, epoch, step, first_pass):
        """Return (draw, the batch), None for the batch at the end."""
        if self._iterator is not None:  # goes on where it is
            ahead, self._ahead = self._ahead, None
            return (first_pass + epoch, step), next(self._iterator, None) if ahead is None else ahead
        passed, place = epoch, step
        if self._cycles:
            passed, place = divmod(epoch * self.steps + step, self._full)
        draw = (first_pass + passed, place)
        if self._next is None or self._next[1] != draw:
            stream = self._stream(draw[0])
            for _ in range(place):
                next(stream, None)
        else:
            stream = self._next[0]
        self._next = (stream, (draw[0], place + 1))
        return draw, next(stream, None)

    def _stream(self, number):
        """Return the batches of a pass, from the first one on."""
        if not is_sequence(self._iterable):
            return iter(self._iterable)
        order = np.arange(self._full)
        if self._shuffle:
            order = permutation(len(order), seed=self._seed, epoch=number)
        return (self._iterable[int(i)] for i in order)

    def _peek(self):
        """Return the first batch's images; an iterator's batch is kept for the first step."""
        if self._iterator is not None:
            first = self._ahead = next(self._iterator, None)
        elif is_sequence(self._iterable):
            first = self._iterable[0] if self._full else None
        else:
            first = next(iter(self._iterable), None)
        if first is None:
            raise ValueError(f"[{self._op}] {self._name} gives no batch")
        return as_images(self._pair(first)[0], self._op, self._name)

    def _pair(self, batch):
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            kind = arguments.kind_of(batch)
            if isinstance(batch, (tuple, list)):
                kind += f" of {len(batch)}"
            raise ValueError(f"[{self._op}] {self._name} gives {kind}, expected batches (x, y)")
        return batch


def is_sequence(x):
    """Whether `x` is what Keras calls a Sequence: it has a length and gives its batches by number."""
    return (
        hasattr(type(x), "__len__")
        and hasattr(type(x), "__getitem__")
        and not hasattr(x, "__next__")
        and not isinstance(x, (list, tuple, dict, str, bytes))
        and not is_array(x)
    )


def image_batches(x, batch_size, steps, op):
    """Yield batches of images alone: parts of an array, or what an iterable gives, without its labels.

    Args:
        x: images (N, ...), or an iterable of batches of images, or of (images, labels).
        batch_size: images of a part.
        steps: how many batches of an iterable; None: all.
    """
    if is_array(x):
        for start in range(0, len(x), batch_size):
            yield x[start : start + batch_size]
        return
    try:
        stream = (x[i] for i in range(len(x))) if is_sequence(x) else iter(x)
    except TypeError:
        raise TypeError(
            f"[{op}] x is {arguments.kind_of(x)}, expected an array or an iterable of batches"
        ) from None
    if steps is None and hasattr(x, "__len__"):
        steps = len(x)
    step = 0
    while steps is None or step < steps:
        batch = next(stream, None)
        if batch is None:
            break
        yield as_images(batch[0] if isinstance(batch, (tuple, list)) else batch, op)
        step += 1
    if not step:
        raise ValueError(f"[{op}] x gives no batch")
    if step < (steps or 1):
        raise ValueError(f"[{op}] x ended after {step} of {steps or 'its'} batches; give fewer steps")
