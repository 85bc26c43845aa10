"""What every layer is: parameters, shapes, and the kernel calls it adds to a trace."""

import contextlib
import copy
import math
import threading

import numpy as np

from pyconv import _core, initializers, utils
from pyconv.arguments import flag, kind_of
from pyconv.engine import changes
from pyconv.engine.plan import Plan
from pyconv.engine.symbol import Symbol
from pyconv.engine.trace import Trace
from pyconv.layers import arguments
from pyconv.layers.parameter import Parameter, as_float32, assign_all
from pyconv.ops import as_tensor
from pyconv.philox import to_rng_state
from pyconv.serialization import Configurable, serialize

__all__ = ["Layer"]

_MOST_PLANS = 4  # of a layer called on its own: one for each shape
_OWN_EPOCH = 2**32 - 1  # keys the draws of a layer called on its own, apart from any training's


class Layer(Configurable):
    """A step of a network. Shapes leave out the batch: (H, W, C) or (units,).

    A subclass says its parameters (`build`), its output shape (`output_shape`) and its kernel calls with
    their gradients (`trace`).
    """

    takes_uint8 = False
    reads_several = False  # its shape rules then take a list of shapes, its trace as many buffers
    settable = ()

    def __init__(self, name=None):
        self._name = arguments.layer_name(name, type(self).__name__)
        self.parameters = []
        self.input_shape = None  # set when built
        self.declared_shape = None
        self.place = 0  # in the model: keys the layer's random numbers
        self._seed = 0
        self._calls = 0  # in training mode, on its own: keys their draws
        self._changes = 0  # of attributes: what plans are keyed by
        self._plans = {}
        self._lock = threading.Lock()  # a plan's buffers serve one caller at a time
        self._trainable = True

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if self._made and not name.startswith("_") and name not in ("name", "trainable"):
            self._changes += 1
            changes.structure.bump()

    def __copy__(self):
        """Return a layer with parameters of its own."""
        return copy.deepcopy(self)

    def __getstate__(self):
        """Return what a copy or a pickle needs; plans are made anew."""
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_plans")}

    def __setstate__(self, state):
        vars(self).update(state, _lock=threading.Lock(), _plans={})

    def get_config(self):
        config = super().get_config()
        if "input_shape" in config:
            config["input_shape"] = serialize(self.declared_shape)
        return config

    @property
    def name(self):
        """What messages and files call the layer; fixed once it is built."""
        return self._name

    @name.setter
    def name(self, value):
        value = arguments.layer_name(value, type(self).__name__)
        if self.built and value != self._name:
            raise AttributeError(
                f"[{self._name}] name cannot change: the layer is built; give it when it is made"
            )
        self._name = value

    @property
    def label(self):
        """What messages call it: its name, or its class' before it has one."""
        return self._name or type(self).__name__

    @property
    def trainable(self):
        """Whether training changes the parameters; setting it sets the layers inside too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        value = flag(value, "trainable", self.label)
        self._trainable = value
        changes.structure.bump()
        for child in self.children:
            child.trainable = value

    @property
    def frozen(self):
        """What is not trainable here: a flag for the layer and each one inside."""
        return (not self.trainable, *(child.frozen for child in self.children))

    @property
    def plan_key(self):
        """What the layer's calls depend on besides shapes: a plan is made anew where this differs."""
        own = (self._trainable, self._changes, *(p.moves for p in self.parameters))
        return (*own, *(child.plan_key for child in self.children))

    @property
    def trainable_parameters(self):
        """The parameters that training changes, in order."""
        own = [p for p in self.parameters if p.trainable and self.trainable]
        return own + [p for child in self.children for p in child.trainable_parameters]

    @property
    def built(self):
        return self.input_shape is not None

    @property
    def children(self):
        """The layers inside this one."""
        return ()

    @property
    def all_parameters(self):
        """Its parameters and its children's, in order."""
        return self.parameters + [p for child in self.children for p in child.all_parameters]

    @property
    def weights(self):
        """Its parameters, as Keras calls them."""
        return self.all_parameters

    def get_weights(self):
        """Return copies of all parameters, in order."""
        return [p.numpy().copy() for p in self.all_parameters]

    def set_weights(self, weights):
        """Write all parameters, in the order of `get_weights`; none where one does not fit."""
        assign_all(self.all_parameters, weights, self.label)

    # ---- what a subclass defines

    def build(self, input_shape):
        """Make the parameters, with `add_weight`."""

    def output_shape(self, input_shape):
        """Return the shape of the output. Raises ValueError where the input does not fit."""
        return input_shape

    def sees(self, units):
        """Return the `Units` of its input that units of its output see; None: all of it."""
        return units

    def explain(self, inputs, index):
        """Return the `Step`s to the output's value at `index`, of one example's inputs, float64."""
        raise NotImplementedError(f"[{self.label}] the layer does not say how its values come about")

    def multiply_adds(self, input_shape):
        """Return the multiply-adds of one example's forward pass."""
        return sum(child.multiply_adds(child.input_shape) for child in self.children)

    def trace(self, trace, x):
        """Add the layer's calls on buffer `x`, and `record` its gradient; return its output."""
        raise NotImplementedError(
            f"[{self.label}] a layer defines trace(self, trace, x), its kernel calls; a call of its own on "
            "arrays, as in Keras, is not offered"
        )

    # ---- what the model and the user call

    def add_weight(self, name, shape, initializer, *, trainable=True, regularizer=None):
        """Make a parameter, drawn from `initializer`, keyed by the seed and its place in the model."""
        shape, count = tuple(shape), math.prod(shape)
        if count > arguments.MOST:
            raise ValueError(
                f"[{self.name}] {name} has shape {shape}, {count:,} numbers, "
                f"expected at most {arguments.MOST:,}"
            )
        purpose = _core.PHILOX_WEIGHTS + 16 * self.place + len(self.parameters)
        try:
            value = initializers.get(initializer)(shape, seed=self._seed, purpose=purpose)
            value = as_float32(value, shape, f"[{self.name}] {name}")
            parameter = Parameter(name, value, trainable=trainable, regularizer=regularizer)
        except MemoryError:
            raise MemoryError(
                f"[{self.name}] no memory for {name} of shape {shape}, {4 * count:,} bytes"
            ) from None
        self.parameters.append(parameter)
        return parameter

    def ensure_built(self, input_shape, *, seed=None, place=0):
        """Build once, for inputs of `input_shape`; return the next free place. seed None: one of its own."""
        if not self.built:
            name = self._name
            self._name = name or snake_case(type(self).__name__)
            for child in self.children:
                child.name = child.name or f"{self.name}_{snake_case(type(child).__name__)}"
            try:
                with self._open():
                    self._make(input_shape, seed, place)
            except BaseException:
                self._name = name
                raise
        elif self.input_shape != _frozen(input_shape):
            raise ValueError(
                f"[{self.name}] built for inputs of shape {self.input_shape}, got {_frozen(input_shape)}"
            )
        return self.place + 1

    def _make(self, input_shape, seed, place):
        """Build, or leave nothing behind."""
        if self.reads_several:
            shape = tuple(arguments.shape(one, "input_shape", self.name) for one in input_shape)
        else:
            shape = arguments.shape(input_shape, "input_shape", self.name)
        output = self.output_shape(shape)  # refuses what does not fit before anything is made
        arguments.shape(output, "output_shape", self.name)
        self._seed, self.place = utils.random_seed() if seed is None else seed, place
        try:
            self.build(shape)
        except BaseException:
            self.parameters = []
            raise
        self.input_shape = shape
        changes.structure.bump()

    def declare_input(self, shape):
        """Keep the `input_shape` that a model's first layer may name; None elsewhere."""
        op = type(self).__name__
        self.declared_shape = None if shape is None else arguments.shape(shape, "input_shape", op)

    @contextlib.contextmanager
    def named_errors(self):
        """Name the layer instead of the op in the errors of a shape rule."""
        try:
            yield
        except ValueError as error:
            raise ValueError(f"[{self.label}]{str(error).partition(']')[2]}") from None

    def check_rank(self, input_shape, rank, layout):
        """Refuse inputs of another rank."""
        if len(input_shape) != rank:
            raise ValueError(f"[{self.label}] input has shape {tuple(input_shape)}, expected {layout}")

    def __call__(self, x, training=False):
        """Run the layer on a batch `x` (a layer that reads several: on a list of them): a plan of one layer.

        NumPy in gives NumPy out, else a Tensor.

        On an `Input`, or what layers called on one gave, it computes nothing and returns a value of the graph
        that a `Model` is made of.
        """
        if (symbol := Symbol.of_call(self, x)) is not None:
            return symbol
        op = self.label
        training = flag(training, "training", op)
        if self.reads_several and not isinstance(x, (list, tuple)):
            raise TypeError(f"[{op}] x is {kind_of(x)}, expected a list of arrays")
        given = list(x) if self.reads_several else [x]
        host = all(isinstance(one, (np.ndarray, list, tuple)) for one in given)
        sources = [as_tensor(_as_batch(one, op), op, "x") for one in given]
        with self._lock:
            shapes = [source.shape[1:] for source in sources]
            self.ensure_built(shapes if self.reads_several else shapes[0])
            elsewhere = _core.default_device() if host else sources[0].device
            device = next((p.tensor.device for p in self.all_parameters), elsewhere)
            plan, rng = self._plan(sources, training, device)
            if training:  # what is drawn is drawn anew
                rng.assign(to_rng_state(self._seed, _OWN_EPOCH, self._calls))
                self._calls = (self._calls + 1) % 2**32
            for i, source in enumerate(sources):
                plan[f"x{i}"].copy_from(source)
            plan.run()
            y = plan["y"].copy()
        return y.numpy() if host else y

    def _plan(self, sources, training, device):
        """Return the plan of this layer alone for inputs like `sources`, and the state of its draws."""
        kinds = tuple((source.shape, source.dtype) for source in sources)
        key = (kinds, training, self.plan_key, _core.backend(), device)
        found = self._plans.get(key)
        if found is None:
            trace = Trace(training=training, device=device)
            y = trace.apply(self, *(trace.input(f"x{i}", *kind) for i, kind in enumerate(kinds)))
            found = self._plans[key] = Plan(trace, {"y": y}), trace.rng
            while len(self._plans) > _MOST_PLANS:
                self._plans.pop(next(iter(self._plans)))
        return found


def _frozen(input_shape):
    """Return a shape, or a list of them, as tuples."""
    return tuple(tuple(size) if isinstance(size, (list, tuple)) else size for size in input_shape)


def _as_batch(x, op):
    """Return lists and arrays of other types as float32; refuse what is no batch."""
    if isinstance(x, Configurable) or (
        isinstance(x, (list, tuple)) and any(isinstance(i, Configurable) for i in x)
    ):
        raise TypeError(
            f"[{op}] x is {kind_of(x)}, expected arrays, an Input, or what layers called on one gave; "
            "Sequential takes layers as they are"
        )
    if isinstance(x, _core.Tensor) or (hasattr(x, "__dlpack__") and not isinstance(x, np.ndarray)):
        return x
    if not isinstance(x, (np.ndarray, list, tuple)):
        raise TypeError(f"[{op}] x is {kind_of(x)}, expected an array, a Tensor or an object with __dlpack__")
    try:
        x = np.asarray(x)
    except ValueError:
        raise ValueError(f"[{op}] x has rows of different lengths, expected an array") from None
    if x.dtype.kind not in "fiub":
        raise TypeError(f"[{op}] x has dtype {x.dtype}, expected numbers")
    if x.ndim < 2:
        raise ValueError(f"[{op}] x has shape {x.shape}, expected a batch: (N, ...)")
    return x if x.dtype == np.uint8 else x.astype(np.float32, copy=False)


def snake_case(name):
    """Return Keras' name for a layer class: "MaxPooling2D" gives "max_pooling2d"."""
    parts = []
    for i, letter in enumerate(name):
        if letter.isupper() and i and (name[i - 1].islower() or name[i + 1 : i + 2].islower()):
            parts.append("_")
        parts.append(letter.lower())
    return "".join(parts)
