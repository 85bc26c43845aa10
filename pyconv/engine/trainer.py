"""What a training needs besides the network, and the plans that a model runs."""

import contextlib
import threading
import weakref

import numpy as np

from pyconv import _core
from pyconv.engine.flat import FlatParameters
from pyconv.engine.fusion import fuse, fuse_loss
from pyconv.engine.plan import Plan
from pyconv.engine.plan_cache import PlanCache
from pyconv.engine.position import Position
from pyconv.engine.totals import Totals
from pyconv.engine.trace import Trace
from pyconv.engine.turns import Turns
from pyconv.philox import to_rng_state

_OWNERS = weakref.WeakKeyDictionary()  # optimizer -> the trainer that was compiled with it


class Trainer:
    """A network's training: what it minimises and how, where it stands, what kernels read and write for it.

    Predictions and evaluations run plans of it too. One serves one model; `turns` is the lock that its
    callers take one after the other, since a plan's buffers serve one at a time.
    """

    def __init__(self, network, seed):
        self.network = network
        self.seed = seed
        self.optimizer = self.objective = None
        self.fuse = True
        self.position = Position()
        self.passes = self.single_steps = 0  # over data, and by train_on_batch, ever: what draws are keyed by
        self.stop_training = self.interrupted = False
        self.warned = False  # of nonsense, since compiled
        self.flat = None
        self.plans = PlanCache()
        self.turns = Turns()
        self._slots = {}  # of parameters that do not train for now: (slot, parameter) -> values
        self._laid_out_for = None  # the network's key that the flat parameters fit
        self._fitting = Turns()
        self._thread = None  # that is in fit
        self._make_state("cpu")

    # ---- what it computes, and where

    def change_network(self, network):
        """Go on with another network."""
        self.network = network
        self.plans.clear()

    @property
    def loss(self):
        """What training minimises, or a list for several outputs; None before `compile`."""
        return self.objective and self.objective.loss

    @property
    def metric_names(self):
        """What is logged besides the loss."""
        return self.objective.metric_names if self.objective else ()

    def compile(self, optimizer, objective, fuse):
        """Choose what training minimises and how. A new optimizer's state starts anew."""
        owner = _OWNERS.get(optimizer)
        if owner is not None and owner() is not self:
            raise ValueError(
                f"[compile] this {type(optimizer).__name__} serves another model and carries its steps and "
                "its learning rate; give each model an optimizer of its own"
            )
        _OWNERS[optimizer] = weakref.ref(self)
        if optimizer is not self.optimizer:
            self.flat, self._slots = None, {}
        self.optimizer, self.objective, self.fuse = optimizer, objective, fuse
        self.totals, self._spare_totals = Totals(self.metric_names, self.device), []
        self.position = Position()
        self.warned = False
        self.plans.clear()

    def as_targets(self, y, rows, op, name="y"):
        """Return targets for `rows` examples that users hand in: a tuple, one for each output."""
        return self.objective.targets(y, self.network.output_shapes, rows, op, name)

    def build(self, shapes):
        """Make the network's parameters for examples of `shapes`, one for each input, where it computes."""
        self.network.build(shapes, self.seed)
        self._move_parameters()

    def build_for(self, shapes, op):
        """Build for examples of `shapes`, or raise ValueError where the model takes others."""
        if not self.network.built:
            with self.turns:  # of several threads one
                if not self.network.built:
                    self.build(shapes)
        taken = self.network.input_shapes
        if list(map(tuple, shapes)) != taken:
            came, taken = (" and ".join(str(tuple(shape)) for shape in some) for some in (shapes, taken))
            raise ValueError(f"[{op}] x has examples of shape {came}, the model takes {taken}")

    def to(self, device):
        """Move parameters and the training's state."""
        with self.turns:
            slots = [values.numpy().copy() for _, _, values in self.slot_arrays()]
            trained = self.flat is not None
            self._make_state(device)  # or raises, before anything is changed
            self._move_parameters()
            self.flat, self._laid_out_for = None, None
            self.plans.clear()
            if trained:
                self.prepare()
                for (_, _, values), saved in zip(self.slot_arrays(), slots, strict=True):
                    values.assign(saved)

    def _make_state(self, device):
        """Make what kernels read and write beside parameters, on `device`."""
        self.totals, self._spare_totals = Totals(self.metric_names, device), []
        self.rng = _core.from_numpy(to_rng_state(0, 0, 0)).to(device)
        self.device = device

    def _move_parameters(self):
        for parameter in self.network.parameters:
            if parameter.tensor.device != self.device:
                parameter.move(_core.empty(parameter.shape, "float32", self.device))

    # ---- parameters and slots

    def prepare(self):
        """Lay the trainable parameters side by side, unless they lie so already; their slots come along.

        Returns what plans are keyed by.
        """
        key = self.network.key
        if self.flat is not None and self._laid_out_for == key:
            return key
        wanted = self.network.trainable_parameters
        if self.flat is None or not self.flat.holds(wanted):
            for slot, parameter, values in self.slot_arrays():
                self._slots[slot, parameter] = values.numpy().copy()
            names = self.network.names()
            named = {names[parameter]: parameter for parameter in wanted}
            self.flat = FlatParameters(named, self.optimizer, self.device)
            for slot, parameter, values in self.slot_arrays():
                saved = self._slots.pop((slot, parameter), None)
                if saved is not None:
                    values.assign(saved)
            self.plans.clear()
        self._laid_out_for = key = self.network.key  # parameters may have moved
        return key

    def slot_arrays(self):
        """Yield (slot, parameter, Tensor) of the optimizer's arrays."""
        if self.flat is not None:
            yield from self.flat.slot_arrays()

    # ---- who may call

    @contextlib.contextmanager
    def training(self, op):
        """One training at a time: another thread's waits, a callback's is refused."""
        self.expect_compiled(op)
        if self._thread == threading.get_ident():
            self.expect_idle(op)
        with self._fitting:
            self._thread = threading.get_ident()
            try:
                yield
            finally:
                self._thread = None

    @contextlib.contextmanager
    def borrowed_totals(self):
        """Lend sums to one evaluation: several may run side by side."""
        with self.turns:
            totals = (
                self._spare_totals.pop() if self._spare_totals else Totals(self.metric_names, self.device)
            )
        totals.restore()
        yield totals
        with self.turns:
            self._spare_totals.append(totals)

    def expect_idle(self, op):
        """Raise RuntimeError, in the name of `op`, during a training."""
        if self._thread is not None:
            raise RuntimeError(f"[{op}] the model is in training, expected a call before or after fit")

    def expect_compiled(self, op):
        """Raise ValueError, in the name of `op`, unless the model is compiled."""
        if self.optimizer is None:
            raise ValueError(f"[{op}] the model is not compiled: call compile(optimizer, loss, metrics)")

    # ---- plans

    def prediction_plan(self, batch):
        """Return the plan from a `Batch` "x0", "x1", ... to the outputs "y0", "y1", ..."""
        return self.plans.get(("predict", batch, self.network.key), lambda: self._make_prediction(batch))

    def evaluation_plan(self, batch, target_shapes, totals):
        """Return the plan that adds loss and correct answers of a batch to `totals`."""
        key = ("evaluate", batch, target_shapes, self.network.key, totals)
        return self.plans.get(key, lambda: self._make_evaluation(batch, target_shapes, totals))

    def training_plan(self, batch, target_shapes, fused=None):
        """Return the plan of a training step for `batch`, made anew only when nothing fits."""
        fused = self.fuse if fused is None else fused
        key = self.prepare()  # a callback may have frozen a layer, another model taken one over
        key = ("train", batch, target_shapes, fused, key)
        return self.plans.get(key, lambda: self._make_training(batch, target_shapes, fused))

    def _make_prediction(self, batch):
        trace = Trace(training=False, device=batch.device)
        outputs = {f"y{i}": y for i, y in enumerate(self.network.trace(trace, batch.trace(trace)))}
        for y in outputs.values():
            y.storage.pinned = True  # whatever else reads it, it is to be written
        if self.fuse:
            fuse(trace)
        return Plan(trace, outputs)

    def _make_evaluation(self, batch, target_shapes, totals):
        trace = Trace(training=False, device=batch.device)
        self._trace_losses(trace, batch, target_shapes, totals)
        fuse_loss(trace)
        if self.fuse:
            fuse(trace)
        return Plan(trace, {})

    def _make_training(self, batch, target_shapes, fused):
        """Return the plan of a step: forward, loss, backward, optimizer."""
        totals, flat = self.totals, self.flat
        trace = Trace(training=True, gradients=flat.gradients(), rng=self.rng, device=batch.device)
        losses = self._trace_losses(trace, batch, target_shapes, totals)
        trace.backward(losses, trace.constant(np.full(batch.size, 1 / max(batch.size, 1), np.float32)))
        fuse_loss(trace)
        if fused:
            fuse(trace)
        for group in flat.groups:
            if group.l2:
                scale = group.l2 * batch.size
                trace.call("sum_of_squares", x=group.weight, scale=scale, total=totals.penalty)

        def step():
            for group in flat.groups:
                group.update(totals.loss)

        return Plan(trace, {}, epilogue=step, updates=self.network.parameters)

    def _trace_losses(self, trace, batch, target_shapes, totals):
        """Add the network's calls on the batch, losses and metrics; return the losses, (N,)."""
        outputs = self.network.trace(trace, batch.trace(trace))
        trace.layer = None
        return self.objective.trace(trace, outputs, target_shapes, totals)
