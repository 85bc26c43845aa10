"""An array of a layer, and how arrays are written into it."""

import numpy as np

from pyconv import _core
from pyconv.arguments import kind_of, shown
from pyconv.attributes import Guarded
from pyconv.engine import changes

__all__ = ["Parameter"]


class Parameter(Guarded):
    """An array of a layer. It shows as a read-only view; `assign` writes and bumps `version`."""

    settable = ("moves", "tensor", "version")

    def __init__(self, name, value, *, trainable=True, regularizer=None):
        self.name = name
        self.trainable = trainable
        self.regularizer = regularizer
        self.version = 0
        self.tensor = _core.from_numpy(value)
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
        self.tensor.assign(self.checked(value))
        self.changed()

    def changed(self):
        """Say that the values are other ones now."""
        self.version += 1
        changes.values.bump()

    def checked(self, value, op="assign"):
        """Return `value` as float32 of the parameter's shape. Raises TypeError and ValueError."""
        return as_float32(value, self.shape, f"[{op}] {self.name}")

    def move(self, tensor):
        """Keep the values in `tensor` from now on."""
        tensor.copy_from(self.tensor)
        self.tensor = tensor
        self.moves += 1
        changes.structure.bump()

    def __getstate__(self):
        """Return what a copy or a pickle needs: the values alone, wherever they lie."""
        return {**vars(self), "tensor": self.numpy().copy()}

    def __setstate__(self, state):
        vars(self).update(state, tensor=_core.from_numpy(state["tensor"]))

    def __array__(self, dtype=None, copy=None):
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __repr__(self):
        return f"Parameter({self.name!r}, shape={self.shape})"


def assign_all(parameters, weights, op):
    """Write the arrays `weights` into `parameters`, in order; none of them where one does not fit."""
    if not isinstance(weights, (list, tuple)):
        raise TypeError(f"[{op}] weights is {shown(weights)}, expected a list of {len(parameters)} arrays")
    if len(weights) != len(parameters):
        raise ValueError(f"[set_weights] {op} has {len(parameters)} weights, got {len(weights)}")
    values = [p.checked(value, "set_weights") for p, value in zip(parameters, weights, strict=True)]
    for parameter, value in zip(parameters, values, strict=True):
        parameter.assign(value)


def as_float32(value, shape, subject):
    """Return the values of a parameter as an array; `subject` begins the error of those that do not fit."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise ValueError(f"{subject} has shape {shape}, the value is {kind_of(value)}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{subject} has shape {shape}, the value is {shown(value)}, expected numbers")
    if array.shape != tuple(shape):
        raise ValueError(f"{subject} has shape {shape}, the value has {array.shape}")
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)
