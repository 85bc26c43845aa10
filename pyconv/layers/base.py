"""What every layer is: parameters, shapes, and the kernel calls it adds to a trace."""

import contextlib
import threading

import numpy as np

from pyconv import _core, initializers
from pyconv.ops import as_tensor
from pyconv.plan import Plan, Trace
from pyconv.serialization import Configurable, serialize

_MOST_PLANS = 4  # of a layer called on its own: one for each shape


class Parameter:
    """An array of a layer. It shows as a read-only view; `assign` writes and bumps `version`."""

    def __init__(self, name, value, *, trainable=True, regularizer=None):
        self.name = name
        self.trainable = trainable
        self.regularizer = regularizer
        self.version = 0
        self.tensor = _core.from_numpy(value)
        self.gradient = None  # set while the model is compiled for training
        self.moves = 0  # of the memory: what plans are keyed by

    @property
    def shape(self):
        return self.tensor.shape

    @property
    def size(self):
        return self.tensor.size

    @property
    def l2(self):
        """The L2 coefficient of its regularizer, 0 without one."""
        return self.regularizer.l2 if self.regularizer else 0.0

    def numpy(self):
        """Return the values as a read-only view."""
        return self.tensor.as_read_only().numpy()

    def assign(self, value):
        """Write `value`, of the parameter's shape."""
        value = np.asarray(value, np.float32)
        if value.shape != self.shape:
            raise ValueError(f"[assign] {self.name} has shape {self.shape}, the value has {value.shape}")
        self.tensor.assign(value)
        self.version += 1

    def move(self, tensor):
        """Keep the values in `tensor` from now on."""
        tensor.copy_from(self.tensor)
        self.tensor = tensor
        self.moves += 1

    def __array__(self, dtype=None, copy=None):
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __repr__(self):
        return f"Parameter({self.name!r}, shape={self.shape})"


class Layer(Configurable):
    """A step of a network. Shapes leave out the batch: (H, W, C) or (units,).

    A subclass says its parameters (`build`), its output shape (`output_shape`) and its kernel calls
    (`trace`, which returns the output and a function from the output's gradient to the input's).
    """

    takes_uint8 = False

    def __init__(self, name=None):
        self.name = name
        self.parameters = []
        self.input_shape = None  # set when built
        self.declared_shape = None
        self.place = 0  # in the model: keys the layer's random numbers
        self._seed = 0
        self._plans = {}
        self._lock = threading.Lock()  # a plan's buffers serve one caller at a time
        self._trainable = True

    def get_config(self):
        config = super().get_config()
        if "input_shape" in config:
            config["input_shape"] = serialize(self.declared_shape)
        return config

    @property
    def trainable(self):
        """Whether training changes the parameters; setting it sets the layers inside too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self._trainable = bool(value)
        for child in self.children:
            child.trainable = value

    @property
    def frozen(self):
        """What is not trainable here: a flag for the layer and each one inside."""
        return (not self.trainable, *(child.frozen for child in self.children))

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
        """Write all parameters, in the order of `get_weights`."""
        parameters = self.all_parameters
        if len(weights) != len(parameters):
            raise ValueError(f"[set_weights] {self.name} has {len(parameters)} weights, got {len(weights)}")
        for parameter, value in zip(parameters, weights, strict=True):
            parameter.assign(value)

    # ---- what a subclass defines

    def build(self, input_shape):
        """Make the parameters, with `add_weight`."""

    def output_shape(self, input_shape):
        """Return the shape of the output. Raises ValueError where the input does not fit."""
        return input_shape

    def multiply_adds(self, input_shape):
        """Return the multiply-adds of one example's forward pass."""
        return sum(child.multiply_adds(child.input_shape) for child in self.children)

    def trace(self, trace, x):
        """Add the layer's calls on buffer `x`; return its output and the function from dy to dx."""
        raise NotImplementedError

    # ---- what the model and the user call

    def add_weight(self, name, shape, initializer, *, trainable=True, regularizer=None):
        """Make a parameter, drawn from `initializer`, keyed by the seed and its place in the model."""
        purpose = _core.PHILOX_WEIGHTS + 16 * self.place + len(self.parameters)
        value = initializers.get(initializer)(shape, seed=self._seed, purpose=purpose)
        parameter = Parameter(name, value, trainable=trainable, regularizer=regularizer)
        self.parameters.append(parameter)
        return parameter

    def ensure_built(self, input_shape, *, seed=0, place=0):
        """Build once, for inputs of `input_shape`; return the next free place."""
        if not self.built:
            self.name = self.name or snake_case(type(self).__name__)
            self._seed, self.place = seed, place
            for child in self.children:
                child.name = child.name or f"{self.name}_{snake_case(type(child).__name__)}"
            self.output_shape(input_shape)  # refuses what does not fit before anything is made
            self.build(input_shape)
            self.input_shape = tuple(input_shape)
        elif self.input_shape != tuple(input_shape):
            raise ValueError(
                f"[{self.name}] built for inputs of shape {self.input_shape}, got {tuple(input_shape)}"
            )
        return self.place + 1

    def declare_input(self, shape):
        """Keep the `input_shape` that a model's first layer may name; None elsewhere."""
        self.declared_shape = None if shape is None else tuple(shape)

    @contextlib.contextmanager
    def named_errors(self, op):
        """Name the layer instead of the op in the errors of a shape rule."""
        try:
            yield
        except ValueError as error:
            raise ValueError(str(error).replace(f"[{op}]", f"[{self.name}]", 1)) from None

    def check_rank(self, input_shape, rank, layout):
        """Refuse inputs of another rank."""
        if len(input_shape) != rank:
            raise ValueError(f"[{self.name}] input has shape {tuple(input_shape)}, expected {layout}")

    def __call__(self, x, training=False):
        """Run the layer on a batch `x`: a plan of one layer. NumPy in gives NumPy out, else a Tensor."""
        source = as_tensor(x, self.name or type(self).__name__, "x")
        with self._lock:
            self.ensure_built(source.shape[1:])
            elsewhere = _core.default_device() if isinstance(x, np.ndarray) else source.device
            device = next((p.tensor.device for p in self.all_parameters), elsewhere)
            plan = self._plan(source, training, device)
            plan["x"].copy_from(source)
            plan.run()
            y = plan["y"].copy()
        return y.numpy() if isinstance(x, np.ndarray) else y

    def _plan(self, source, training, device):
        """Return the plan of this layer alone for inputs like `source`."""
        moves = tuple(p.moves for p in self.all_parameters)
        key = (source.shape, source.dtype, training, moves, self.frozen, _core.backend(), device)
        plan = self._plans.get(key)
        if plan is None:
            trace = Trace(training=training, device=device)
            y, _ = trace_chain(trace, [self], trace.input("x", source.shape, source.dtype))
            plan = self._plans[key] = Plan(trace, {"y": y})
            while len(self._plans) > _MOST_PLANS:
                self._plans.pop(next(iter(self._plans)))
        return plan


def trace_chain(trace, layers, x):
    """Trace layers one after another; return the output and the function from its gradient to x's."""
    backwards = []
    for layer in layers:
        trace.layer = layer
        if x.dtype == "uint8" and not layer.takes_uint8:
            x = trace.cast(x)
        needed = x.needs_gradient or bool(layer.trainable_parameters)
        y, backward = layer.trace(trace, x)
        y.needs_gradient = needed and trace.training
        backwards.append((layer, backward, x))
        x = y

    def backward_chain(dy):
        for layer, backward, start in reversed(backwards):
            if dy is None:
                break
            trace.layer = layer
            dy = backward(dy)
            if not start.needs_gradient:
                dy = None
        return dy

    return x, backward_chain


def snake_case(name):
    """Return Keras' name for a layer class: "MaxPooling2D" gives "max_pooling2d"."""
    parts = []
    for i, letter in enumerate(name):
        if letter.isupper() and i and (name[i - 1].islower() or name[i + 1 : i + 2].islower()):
            parts.append("_")
        parts.append(letter.lower())
    return "".join(parts)
