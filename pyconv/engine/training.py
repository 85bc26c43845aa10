"""What a model computes: prediction, evaluation and the training step, each a plan for one batch size."""

import dataclasses
import itertools

import numpy as np

from pyconv import _core
from pyconv.engine.fusion import fuse
from pyconv.engine.plan import Plan
from pyconv.engine.trace import Trace
from pyconv.philox import to_rng_state

_ALIGNMENT = 16  # floats: parameters start at cache lines


class FlatParameters:
    """The trainable parameters side by side, so that an optimizer step is one call for each L2 coefficient.

    `groups` holds (l2, begin, end) in floats of the flat arrays `weight`, `gradient` and each slot.
    """

    def __init__(self, parameters, slots, device="cpu"):
        ordered = sorted(parameters, key=lambda p: p.l2)  # stable: the model's order within a coefficient
        self.groups, places, end = [], [], 0
        for l2, members in itertools.groupby(ordered, key=lambda p: p.l2):
            begin = end
            for parameter in members:
                places.append((parameter, end))
                end += -(-parameter.size // _ALIGNMENT) * _ALIGNMENT
            self.groups.append((l2, begin, end))
        self.places = places
        self.weight, self.gradient = _core.zeros((end,), device=device), _core.zeros((end,), device=device)
        self.slots = {name: _core.zeros((end,), device=device) for name in slots}
        for parameter, start in places:
            parameter.move(self.weight.view(4 * start, parameter.shape, "float32"))
        self._moves = [parameter.moves for parameter, _ in places]

    def holds(self, parameters):
        """Whether these are the parameters that lie here, and no other model moved one away."""
        here = [parameter for parameter, _ in self.places]
        return set(map(id, here)) == set(map(id, parameters)) and self._moves == [p.moves for p in here]

    def gradients(self):
        """Return {parameter: Tensor of its gradient}."""
        return {
            parameter: self.gradient.view(4 * start, parameter.shape, "float32")
            for parameter, start in self.places
        }

    def group(self, array, begin, end):
        """Return floats [begin, end) of a flat array."""
        return array.view(4 * begin, (end - begin,), "float32")

    def slot_arrays(self):
        """Yield (slot, parameter, Tensor of its values)."""
        for name, array in self.slots.items():
            for parameter, start in self.places:
                yield name, parameter, array.view(4 * start, parameter.shape, "float32")


class Totals:
    """Running sums over the batches of an epoch: the loss, the correct answers and the L2 penalty.

    Kernels add to them where the model lies; `read` fetches them into `sums`.
    """

    _NAMES = ("loss", "correct", "penalty")
    MOST_REMEMBERED = 16

    def __init__(self, device="cpu"):
        self._memory = _core.zeros((len(self._NAMES),), "float64", device)
        self._losses = _core.zeros((self.MOST_REMEMBERED,), "float64", device)
        self.restore()

    def __getitem__(self, name):
        return self._memory.view(8 * self._NAMES.index(name), (1,), "float64")

    @property
    def loss(self):
        """The sum of the losses when last read; not finite once one was not."""
        return self.sums[0]

    @property
    def penalty(self):
        """The sum of the L2 penalties when last read."""
        return self.sums[2]

    def read(self):
        """Fetch the sums; on a device, once it has done all work."""
        self.sums = self._memory.numpy().tolist()

    def remember(self, i):
        """Keep the sum of the losses as it is now, as number `i`, where the model lies."""
        self._losses.view(8 * i, (1,), "float64").copy_from(self["loss"])

    def first_not_finite(self, count):
        """Return which of `count` remembered sums is the first that is not finite."""
        losses = self._losses.numpy()[:count]
        return int(np.argmax(~np.isfinite(losses))) if count > 1 else 0

    def restore(self, sums=(0.0, 0.0, 0.0), count=0):
        """Go on from sums over `count` examples; from nothing by default."""
        self.count = count
        self.sums = list(sums)
        self._memory.assign(self.sums)

    def means(self, accuracy_names, penalised):
        """Return the logs: "loss" with its penalty, the data's part as "data_loss", and the accuracies."""
        loss, correct, penalty = (value / max(self.count, 1) for value in self.sums)
        logs = {"loss": loss + penalty}
        if penalised:
            logs["data_loss"] = loss
        return {**logs, **dict.fromkeys(accuracy_names, correct)}


@dataclasses.dataclass(frozen=True)
class Batch:
    """Where a step's images come from: rows of a resident array (`source`), or given anew each time.

    Equal batches can share a plan.
    """

    size: int
    shape: tuple
    dtype: str
    device: str = "cpu"
    source: object = None
    augment: object = None

    def trace(self, trace):
        """Add the calls that make the batch; return its buffer."""
        if self.source is None:
            return trace.input("x", (self.size, *self.shape), self.dtype)
        index = trace.input("index", (self.size,), "int32")
        x = trace.buffer((self.size, *self.shape))
        if not self.augment:
            return trace.call("gather", source=self.source, index=index, y=x)
        height, width, _ = self.shape
        matrix = trace.buffer((self.size, 6))
        trace.call(
            "random_affine",
            rng=trace.rng,
            index=index,
            height=height,
            width=width,
            **self.augment.ranges,
            matrix=matrix,
        )
        return trace.call(
            "affine", source=self.source, matrix=matrix, index=index, **self.augment.border, y=x
        )


class PlanCache:
    """A model's plans, by purpose, `Batch`, backend and precision; the least recently used ones go."""

    _MOST = 8

    def __init__(self):
        self._plans = {}

    def get(self, key, make):
        """Return the plan under `key`, (purpose, Batch, ...), made by `make` where there is none."""
        key = (*key, _core.backend(), _core.precision())
        plan = self._plans.pop(key, None) or make()
        self._plans[key] = plan
        while len(self._plans) > self._MOST:
            self._plans.pop(next(iter(self._plans)))
        return plan

    def clear(self):
        """Drop all plans."""
        self._plans.clear()

    def forget_arrays(self, source):
        """Drop the plans that hold on to a user's array, where there is one."""
        if source is not None:
            self._plans = {key: plan for key, plan in self._plans.items() if key[1].source is not source}


def prediction_plan(layers, batch, *, fused=True):
    """Return the plan from a batch "x" to the output "y"."""
    trace = Trace(training=False, device=batch.device)
    y = trace.chain(layers, batch.trace(trace))
    if fused:
        fuse(trace)
    return Plan(trace, {"y": y})


def evaluation_plan(layers, batch, loss, target_shape, totals, *, fused=True):
    """Return the plan that adds the loss and correct answers of a batch to `totals`."""
    trace = Trace(training=False, device=batch.device)
    y = trace.chain(layers, batch.trace(trace))
    _trace_loss(trace, y, loss, target_shape, totals)
    if fused:
        fuse(trace)
    return Plan(trace, {})


def training_plan(layers, batch, loss, target_shape, totals, optimizer, flat, hyper, rng, *, fused=True):
    """Return the plan of a training step: forward, loss, backward, optimizer."""
    trace = Trace(training=True, gradients=flat.gradients(), rng=rng, device=batch.device)
    y = trace.chain(layers, batch.trace(trace))
    trace.backward(*_trace_loss(trace, y, loss, target_shape, totals))
    if fused:
        fuse(trace)
    trace.layer = None
    for l2, begin, end in flat.groups:
        if l2:
            weight = flat.group(flat.weight, begin, end)
            trace.call("sum_of_squares", x=weight, scale=l2 * batch.size, total=totals["penalty"])

    def step():
        for l2, begin, end in flat.groups:
            gradient, weight = flat.group(flat.gradient, begin, end), flat.group(flat.weight, begin, end)
            slots = {name: flat.group(slot, begin, end) for name, slot in flat.slots.items()}
            optimizer.update(gradient, weight, slots, hyper, l2=l2, guard=totals["loss"])

    updates = [parameter for layer in layers for parameter in layer.all_parameters]
    return Plan(trace, {}, epilogue=step, updates=updates)


def _trace_loss(trace, y, loss, target_shape, totals):
    """Add loss and accuracy of the output `y`; return the logits and, in training, their gradient."""
    last = trace.calls[-1]
    if loss.from_logits:
        logits = y
    elif last.op == "softmax" and last.arguments["y"] is y:
        trace.calls.pop()
        logits = last.arguments["x"]
    else:
        raise ValueError(
            f"[{type(loss).__name__}] from_logits is False, expected a model that ends in a softmax; "
            "end it in one, or give the loss from_logits=True"
        )
    trace.layer = None
    target = trace.input("target", target_shape, "int32" if len(target_shape) == 1 else "float32")
    rows = y.shape[:1]
    correct = trace.call("accuracy", scores=logits, target=target, correct=trace.buffer(rows))
    trace.call("sum", x=correct, total=totals["correct"])
    losses, dlogits = trace.buffer(rows), trace.buffer(y.shape) if trace.training else None
    trace.call(
        "softmax_cross_entropy",
        logits=logits,
        target=target,
        label_smoothing=loss.label_smoothing,
        gradient=trace.training,
        loss=losses,
        dlogits=dlogits,
    )
    trace.call("sum", x=losses, total=totals["loss"])
    return logits, dlogits


def new_rng(device="cpu"):
    """Return the Tensor that holds seed, epoch and step for the kernels that draw."""
    return _core.from_numpy(to_rng_state(0, 0, 0)).to(device)
