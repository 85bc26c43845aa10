"""Data as batches: arrays, a `Sequence` of batches, any iterable; what `fit` and `evaluate` run over.

A feed has `steps` (of an epoch; None where only its end will tell), `images` (likewise), and `kinds`, the
shape and dtype of each input's examples. `batches(epoch, first, first_pass)` yields, from step `first` of an
epoch on, (Batch, shapes of the targets, function that fills a plan, draw): `draw` is (pass, step), what the
step's random numbers are keyed by. A pass goes through the data once: where an epoch is as long, they count
from `first_pass` on.
"""

import numpy as np

from pyconv import _core, arguments
from pyconv.engine.batch import Batch
from pyconv.engine.data import as_inputs, is_array, kinds_of
from pyconv.philox import permutation


class ArrayFeed:
    """Batches of arrays `xs`, one an input, that stay where they are: a step is given the rows' numbers.

    With `steps` an epoch has that many, and the next one goes on in the data where it ended; only a training
    ("steps_per_epoch") may go through the data more than once.
    """

    def __init__(
        self,
        xs,
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
        self.xs, self._count = xs, len(xs[0])
        self.ys = as_targets(y, self._count, op)
        if not self._count:
            raise ValueError(f"[{op}] x has no images, expected at least one")
        self.sources = tuple(_core.from_numpy(x).to(device) for x in xs)
        self.device = device
        self.batch_size = arguments.integer(batch_size, "batch_size", op, least=1)
        self.shuffle = shuffle
        self.augment = augment
        self.seed = seed
        self._full = -(-self._count // self.batch_size)  # steps of a pass
        self.steps = steps or self._full
        if self.steps > self._full and steps_name != "steps_per_epoch":
            raise ValueError(
                f"[{op}] {steps_name} is {steps}, expected at most {self._full}, the batches there are"
            )
        self.images = self._count if self.steps == self._full else self.steps * self.batch_size
        self.kinds = kinds_of(xs)
        self._order, self._order_of = None, None
        self._batches = {}

    def batches(self, epoch, first=0, first_pass=0):
        """Yield the epoch's batches: see the module."""
        for step in range(first, self.steps):
            number, place = divmod(epoch * self.steps + step, self._full)
            rows = self._rows(first_pass + number)[place * self.batch_size : (place + 1) * self.batch_size]
            targets = [y[rows] for y in self.ys]

            def fill(plan, rows=rows, targets=targets):
                plan["index"].assign(rows)
                fill_inputs(plan, "target", targets)

            yield self._batch(len(rows)), shapes_of(targets), fill, (first_pass + number, place)

    def passes_before(self, epoch):
        """Return how many passes the epochs before `epoch` have finished."""
        return epoch * self.steps // self._full

    def _batch(self, size):
        """Return the `Batch` of so many rows, the same one each time: equal keys are found quicker."""
        if size not in self._batches:
            self._batches[size] = Batch(size, self.kinds, self.device, self.sources, self.augment)
        return self._batches[size]

    def _rows(self, number):
        """Return the order of the rows in a pass."""
        if self._order_of != number:
            self._order_of, self._order = number, np.arange(self._count, dtype=np.int32)
            if self.shuffle:
                self._order = permutation(self._count, seed=self.seed, epoch=number)
        return self._order

    def end_epoch(self):
        """Nothing changes between epochs."""

    def sample(self, count):
        """Return the first examples of each input, as they came."""
        return [x[:count] for x in self.xs]


class IterableFeed:
    """Batches that an iterable of (x, y) gives. One without an end needs `steps`, or a length.

    A `Sequence`, as Keras has it, is asked by number: with `shuffle` in a new order each epoch. `as_targets`
    is to be set before the first batch is asked for.
    """

    augment, sources = None, ()

    def __init__(
        self, iterable, steps=None, *, inputs=1, shuffle=False, seed=0, op="fit", name="x", device="cpu"
    ):
        self.device, self._inputs = device, inputs
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
        self.kinds = kinds_of(self._first)

    def batches(self, epoch, first=0, first_pass=0):
        """Yield the epoch's batches until the end or `steps`: see the module."""
        step = first
        while self.steps is None or step < self.steps:
            draw, batch = self._take(epoch, step, first_pass)
            if batch is None:
                break
            x, y = self._pair(batch)
            xs = as_inputs(x, self._inputs, self._op, self._name)
            rows, kinds = len(xs[0]), kinds_of(xs)
            if not rows:
                raise ValueError(f"[{self._op}] {self._name} gives a batch without images")
            for (shape, _), (expected, _) in zip(kinds, self.kinds, strict=True):
                if shape != expected:
                    raise ValueError(
                        f"[{self._op}] {self._name} gives images of shape {shape} after {expected}, "
                        "expected one shape"
                    )
            targets = self.as_targets(y, rows, self._op)

            def fill(plan, xs=xs, targets=targets):
                fill_inputs(plan, "x", xs)
                fill_inputs(plan, "target", targets)

            yield Batch(rows, kinds, self.device), shapes_of(targets), fill, draw
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
        """Return the first examples of each input, as they came."""
        return [x[:count] for x in self._first]

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
        """Return the first batch's arrays; an iterator's batch is kept for the first step."""
        if self._iterator is not None:
            first = self._ahead = next(self._iterator, None)
        elif is_sequence(self._iterable):
            first = self._iterable[0] if self._full else None
        else:
            first = next(iter(self._iterable), None)
        if first is None:
            raise ValueError(f"[{self._op}] {self._name} gives no batch")
        return as_inputs(self._pair(first)[0], self._inputs, self._op, self._name)

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


def fill_inputs(plan, name, arrays):
    """Write a batch's arrays into the inputs of a plan, `name` and a number each."""
    for i, array in enumerate(arrays):
        plan[f"{name}{i}"].assign(array)


def shapes_of(arrays):
    return tuple(array.shape for array in arrays)


def input_batches(x, inputs, batch_size, steps, op):
    """Yield batches without labels, a tuple of arrays each: parts of arrays, or what an iterable gives.

    Args:
        x: a tuple of arrays (N, ...), one for each input; or an iterable of batches, alone or with labels:
            (batch, labels).
        batch_size: images of a part.
        steps: how many batches of an iterable; None: all.
    """
    if isinstance(x, tuple):
        for start in range(0, len(x[0]), batch_size):
            yield tuple(one[start : start + batch_size] for one in x)
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
        labelled = isinstance(batch, (tuple, list)) and (inputs == 1 or isinstance(batch[0], (tuple, list)))
        yield as_inputs(batch[0] if labelled else batch, inputs, op)
        step += 1
    if not step:
        raise ValueError(f"[{op}] x gives no batch")
    if step < (steps or 1):
        raise ValueError(f"[{op}] x ended after {step} of {steps or 'its'} batches; give fewer steps")
