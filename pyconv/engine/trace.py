"""The tape: layers write kernel calls on it, forward, and say how gradients pass back through them.

A call works on `Buffer`s, arrays that have no memory yet (plan.py gives them some). `record` notes what a
layer read and wrote, and a rule from the gradient of its output to those of its inputs; `backward` walks the
notes from the end, and adds up the gradients of what was read more than once.
"""

import contextlib
import math
from dataclasses import dataclass

import numpy as np

from pyconv import _core


class Buffer:
    """A symbolic array of a trace. Reshaped buffers share one `storage`."""

    def __init__(self, shape, dtype="float32", storage=None):
        self.shape = tuple(shape)
        self.dtype = dtype
        self.storage = storage or Storage(math.prod(self.shape) * _core.DTYPES[dtype])
        self.needs_gradient = False  # a gradient is wanted of it, or of what it was computed from

    def reshape(self, shape):
        """Return the same storage under another shape."""
        return Buffer(shape, self.dtype, self.storage)


class Storage:
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
    """One kernel call: `_core.<op>(**arguments)`, Buffers standing for Tensors; dicts hold some, too.

    `fused` names the calls whose work it does as well.
    """

    def __init__(self, op, arguments, layer=None, fused=()):
        self.op = op
        self.arguments = arguments
        self.layer = layer
        self.fused = fused

    def buffers(self, written):
        """Return the buffers that it writes, in the contract's order, or those that it reads."""
        named, outputs = self.named_buffers(), _core.OUTPUTS[self.op]
        if written:
            return [named[name] for name in outputs if name in named]
        return [buffer for name, buffer in named.items() if name not in outputs]

    def named_buffers(self):
        """Return {name: Buffer}; those in a dict have its name before theirs, "epilogue.pooled"."""
        return dict(_named_buffers(self.arguments))


def _named_buffers(arguments, prefix=""):
    for name, value in arguments.items():
        if isinstance(value, Buffer):
            yield prefix + name, value
        elif isinstance(value, dict):
            yield from _named_buffers(value, f"{prefix}{name}.")


@dataclass(frozen=True)
class _Note:
    """What `record` was told."""

    layer: object
    inputs: tuple
    output: Buffer
    rule: object


class Trace:
    """The calls of a network in order, for one device.

    Args:
        training: the form that layers take: training's, with the batch's statistics and random draws, or
            prediction's.
        gradients: parameter -> Tensor that its gradient is to be written to, of those that are wanted. Of a
            buffer it is wanted where its `needs_gradient` was set before layers read it.
        rng: feeds the draws.
    """

    def __init__(self, *, training, gradients=None, rng=None, device="cpu"):
        self.training = training
        self.device = device
        self.rng = rng if rng is not None else self.constant(np.zeros(4, np.uint32))
        self.calls = []
        self.constants = []  # calls that depend on parameters alone, to run when these change
        self.inputs = {}
        self.layer = None  # whose calls are being added
        self.uses = {}  # layer -> (inputs, output) of each of its uses, in order
        self._gradients = gradients or {}
        self._written = set()  # parameters whose gradient is there
        self._partial = []  # (parameter, Buffer): what is still to be added to it
        self._notes = []

    # ---- forward

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
        """Add a call. Returns the first buffer that it writes, or None."""
        self.calls.append(Call(op, arguments, self.layer))
        return next(iter(self.calls[-1].buffers(written=True)), None)

    def writer(self, x):
        """Return the last call that writes the memory of `x`, or None."""
        for call in reversed(self.calls):
            if any(buffer.storage is x.storage for buffer in call.buffers(written=True)):
                return call
        return None

    def apply(self, layer, *inputs):
        """Add the calls of `layer` on `inputs`; return its output."""
        with self._within(layer):
            given = [self._readable(layer, x) for x in inputs]
            y = layer.trace(self, *given)
        self.uses.setdefault(layer, []).append((given, y))
        return y

    def chain(self, layers, x):
        """Add the calls of layers one after another; return the last one's output."""
        for layer in layers:
            x = self.apply(layer, x)
        return x

    def _readable(self, layer, x):
        """Return `x`, as float32 unless the layer takes bytes."""
        return x if x.dtype != "uint8" or layer.takes_uint8 else self.cast(x)

    def cast(self, x):
        """Return uint8 `x` as float32."""
        return self.call("gather", source=x, y=self.buffer(x.shape))

    @contextlib.contextmanager
    def _within(self, layer):
        outer, self.layer = self.layer, layer
        yield
        self.layer = outer

    # ---- backward

    def record(self, inputs, output, rule, parameters=()):
        """Note that `output` was computed from the buffers `inputs`, and from parameters.

        `rule(dy)` adds the calls that make the inputs' gradients from the output's, and returns them: one for
        one input, else a tuple; None for an input that needs none. It is called where one is needed, or a
        gradient of `parameters` is wanted, which the rule writes to their `gradient_of`.
        """
        if any(x.needs_gradient for x in inputs) or any(map(self.wants, parameters)):
            output.needs_gradient = True
            self._notes.append(_Note(self.layer, tuple(inputs), output, rule))

    def wants(self, parameter):
        """Whether the gradient of a parameter (or None) is wanted."""
        return parameter in self._gradients

    def gradient_of(self, parameter):
        """Return where a rule's call writes the gradient of a parameter; None where none is wanted.

        The second time a parameter is asked for, by a layer's second use, it is a buffer of its own, which is
        added to the first.
        """
        if not self.wants(parameter):
            return None
        if parameter not in self._written:
            self._written.add(parameter)
            return self._gradients[parameter]
        self._partial.append((parameter, self.buffer(parameter.shape)))
        return self._partial[-1][1]

    def backward(self, output, gradient):
        """Add the calls from the gradient of `output` on; return {buffer: gradient} of all that have one."""
        gradients = {output: gradient}
        for note in reversed(self._notes):
            if note.output not in gradients:
                continue
            with self._within(note.layer):
                made = note.rule(gradients[note.output])
                made = made if isinstance(made, tuple) else (made,)
                for buffer, dx in zip(note.inputs, made, strict=True):
                    if buffer.needs_gradient:
                        gradients[buffer] = self._sum(gradients.get(buffer), dx)
                for parameter, part in self._partial:
                    whole = self._gradients[parameter]
                    self.call("add", a=whole, b=part, y=whole)
                self._partial.clear()
        return gradients

    def _sum(self, a, b):
        if a is None or b is None:
            return b if a is None else a
        return self.call("add", a=a, b=b, y=self.buffer(a.shape))
