"""Layers to a fixed list of kernel calls over buffers that share one arena.

A `Trace` collects the calls that layers make on symbolic buffers, forward and backward. A `Plan` decides
where each buffer lives (buffers whose lives do not overlap share memory; elementwise calls run in place where
their input ends with them) and records the calls into a program that runs in one go.
"""

import math

import numpy as np

from pyconv import _core

_ITEM_BYTES = {"float32": 4, "uint8": 1, "int32": 4, "int64": 8, "uint32": 4, "float64": 8}
_ALIGNMENT = 64

# What each call writes; all its other buffers it reads.
_OUTPUTS = {
    "conv2d": ("y",),
    "conv2d_backward_input": ("dx",),
    "conv2d_backward_weight": ("dweight", "dbias"),
    "max_pool2d": ("y", "argmax"),
    "max_pool2d_backward": ("dx",),
    "avg_pool2d": ("y",),
    "avg_pool2d_backward": ("dx",),
    "relu": ("y",),
    "relu_backward": ("dx",),
    "add": ("y",),
    "dropout": ("y",),
    "batch_norm": ("y", "mean", "rstd"),
    "batch_norm_inference": ("y",),
    "batch_norm_backward": ("dx", "dgamma", "dbeta"),
    "linear": ("y",),
    "linear_backward_input": ("dx",),
    "linear_backward_weight": ("dweight", "dbias"),
    "softmax": ("y",),
    "softmax_backward": ("dx",),
    "softmax_cross_entropy": ("loss", "dlogits"),
    "accuracy": ("correct",),
    "sum": ("total",),
    "sum_of_squares": ("total",),
    "gather": ("y",),
    "affine": ("y",),
    "random_affine": ("matrix",),
    # fused: pyconv/fusion.py
    "conv2d_prepare": ("prepared",),
    "conv2d_fused": ("y", "pooled", "argmax", "mean", "rstd", "scale", "shift"),
    "conv2d_backward_input_fused": ("dx", "dgamma", "dbeta", "coefficients"),
    "conv2d_backward_weight_fused": ("dweight", "dbias", "dy"),
    "normalize": ("y",),
    "batch_norm_fold": ("scale", "shift"),
    "batch_norm_reduce": ("dgamma", "dbeta", "coefficients"),
    "max_pool2d_signed": ("y", "argmax"),
}

# Calls whose output may take the place of an input that nothing reads later.
_IN_PLACE = {
    "relu": ("x", "y"),
    "relu_backward": ("dy", "dx"),
    "add": ("a", "y"),
    "dropout": ("x", "y"),
    "batch_norm_backward": ("dy", "dx"),
    "softmax_cross_entropy": ("logits", "dlogits"),
}


class Buffer:
    """A symbolic array of a trace. Reshaped buffers share one `storage`."""

    def __init__(self, shape, dtype="float32", storage=None, needs_gradient=False):
        self.shape = tuple(shape)
        self.dtype = dtype
        self.storage = storage or _Storage(math.prod(self.shape) * _ITEM_BYTES[dtype])
        self.needs_gradient = needs_gradient

    def reshape(self, shape):
        """Return the same storage under another shape."""
        return Buffer(shape, self.dtype, self.storage, self.needs_gradient)


class _Storage:
    """Bytes of the arena, in use from the call that first writes them to the one that last reads them."""

    def __init__(self, size):
        self.size = size
        self.first = self.last = None
        self.pinned = False  # the outside world writes or reads it: in use all the time
        self.offset = None
        self.merged = None  # the storage whose place it takes

    def root(self):
        return self.merged.root() if self.merged else self


class Call:
    """One kernel call: `_core.<op>(**arguments)`, Buffers standing for Tensors.

    `fused` names the calls whose work it does as well.
    """

    def __init__(self, op, arguments, layer=None, fused=()):
        self.op = op
        self.arguments = arguments
        self.layer = layer
        self.fused = fused
        self.absorbed = False  # a later stage took its work over

    def buffers(self, written):
        outputs = _OUTPUTS[self.op]
        return [v for k, v in self.arguments.items() if isinstance(v, Buffer) and (k in outputs) == written]


class Trace:
    """The calls of a network in order, for one device.

    `training` says which form layers take; `rng` feeds their draws.
    """

    def __init__(self, *, training, rng=None, device="cpu"):
        self.training = training
        self.device = device
        self.rng = rng if rng is not None else self.constant(np.zeros(4, np.uint32))
        self.calls = []
        self.constants = []  # calls that depend on parameters alone, to run when these change
        self.inputs = {}
        self.layer = None  # whose calls are being added

    def input(self, name, shape, dtype="float32"):
        """Return a buffer that the outside world fills before each run, under `name`."""
        buffer = self.inputs[name] = Buffer(shape, dtype)
        return buffer

    def buffer(self, shape, dtype="float32"):
        """Return a new buffer."""
        return Buffer(shape, dtype)

    def constant(self, array):
        """Return `array` as a Tensor for calls to read."""
        return _core.from_numpy(array).to(self.device)

    def call(self, op, **arguments):
        """Add a call. Returns its first output."""
        self.calls.append(Call(op, arguments, self.layer))
        return arguments[_OUTPUTS[op][0]]

    def cast(self, x):
        """Return uint8 `x` as float32."""
        return self.call("gather", source=x, y=self.buffer(x.shape))


class Plan:
    """A trace with its memory decided, recorded as a program.

    Args:
        trace: the calls.
        outputs: name -> Buffer that the outside world reads after a run.
        epilogue: a function that makes further `_core` calls on Tensors, recorded after the trace's.
        updates: the parameters that a run changes.

    `plan[name]` is the Tensor of an input or output.
    """

    def __init__(self, trace, outputs, epilogue=None, updates=()):
        self.calls, self.inputs = [*trace.constants, *trace.calls], trace.inputs
        self._constants, self._updates = len(trace.constants), updates
        self._parameters, self._version = set(), None  # what the constants were computed from
        named = {**trace.inputs, **outputs}
        pinned = [*named.values(), *(b for call in trace.constants for b in call.buffers(written=True))]
        for buffer in pinned:
            buffer.storage.pinned = True
        self.arena_bytes = _place(self.calls, [buffer.storage for buffer in pinned])
        # Zeros fault the pages in now.
        self._arena = _core.zeros((max(self.arena_bytes, _ALIGNMENT),), "uint8", trace.device)
        self._tensors = {name: self._tensor(buffer) for name, buffer in named.items()}
        self._program = _core.Program()
        with self._program:
            for call in self.calls:
                getattr(_core, call.op)(**{k: self._resolve(v) for k, v in call.arguments.items()})
            if epilogue:
                epilogue()

    def __getitem__(self, name):
        return self._tensors[name]

    def run(self):
        """Run all calls; constants only where a parameter has changed."""
        if self._constants:
            version = sum(parameter.version for parameter in self._parameters)
            if version != self._version:
                self._program.run(0, self._constants)
                self._version = version
        self._program.run(self._constants)
        for parameter in self._updates:
            parameter.version += 1

    def time(self):
        """Run all calls and return (op, layer name, seconds) of each."""
        names = [call.layer.name if call.layer else "" for call in self.calls]
        names += [""] * (len(self._program) - len(names))
        return list(zip(self._program.ops, names, self._program.time(), strict=True))

    def first_not_finite(self):
        """Run the calls one by one; return the first whose output has a NaN or an infinity, or None."""
        for i, call in enumerate(self.calls):
            self._program.run(i, i + 1)
            for buffer in call.buffers(written=True):
                if buffer.dtype == "float32" and not np.isfinite(self._tensor(buffer).numpy()).all():
                    return call
        return None

    def _tensor(self, buffer):
        return self._arena.view(buffer.storage.root().offset, buffer.shape, buffer.dtype)

    def _resolve(self, value):
        if isinstance(value, Buffer):
            return self._tensor(value)
        if hasattr(value, "tensor"):  # a Parameter's current tensor
            self._parameters.add(value)
            return value.tensor
        return value


def _place(calls, pinned):
    """Give every storage its offset; return the arena's size in bytes."""
    storages = {}
    for i, call in enumerate(calls):
        for buffer in call.buffers(written=False) + call.buffers(written=True):
            storage = buffer.storage
            storage.first = i if storage.first is None else storage.first
            storage.last = i
            storages[id(storage)] = storage
    storages.update((id(storage), storage) for storage in pinned)

    for i, call in enumerate(calls):
        if call.op in _IN_PLACE:
            source, target = (call.arguments.get(name) for name in _IN_PLACE[call.op])
            if isinstance(source, Buffer) and isinstance(target, Buffer):
                _merge(source.storage.root(), target.storage, i)

    placed, arena = [], 0
    roots = [s for s in storages.values() if not s.merged]
    for storage in sorted(roots, key=lambda s: (-s.size, s.first or 0)):
        offset = 0
        for other in placed:  # in order of offset: the first gap among those alive at the same time
            if _overlap(storage, other):
                if other.offset - offset >= storage.size:
                    break
                offset = max(offset, _aligned(other.offset + other.size))
        storage.offset = offset
        placed.append(storage)
        placed.sort(key=lambda s: s.offset)
        arena = max(arena, offset + storage.size)
    return arena


def _merge(source, target, call):
    """Let `target`, first written by `call`, take `source`'s place if `source` ends there."""
    if source.pinned or target.pinned or target.merged or source is target:
        return
    if source.last == call and target.first == call and source.size == target.size:
        target.merged = source
        source.last = target.last


def _overlap(a, b):
    return a.pinned or b.pinned or (a.first <= b.last and b.first <= a.last)


def _aligned(size):
    return -(-size // _ALIGNMENT) * _ALIGNMENT
