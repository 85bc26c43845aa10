"""What can be fused: a convolution and the calls that follow it, found by who reads what it writes."""

from dataclasses import dataclass

from pyconv import _core
from pyconv.engine.trace import Buffer, Call

GEOMETRY = ("stride", "padding", "dilation", "groups")
_POOL = {"window": [2, 2], "stride": [2, 2]}


@dataclass
class Chain:
    """A convolution and the calls that take its output over, in order, with their gradients."""

    convolution: Call
    relu: Call = None
    norm: Call = None
    relu_after: Call = None
    pool: Call = None
    gradients: tuple = ()  # of pool, relu_after, norm and relu, as far as they are there
    weight: Call = None
    input: Call = None
    offered: int = 0  # what the backend fuses with this convolution
    raw: Buffer = None  # the chain's output before the normalisation, which its readers apply:
    scale: Buffer = None  # relu?(scale * raw + shift)
    shift: Buffer = None

    @property
    def links(self):
        """The calls after the convolution, in order."""
        return [call for call in (self.relu, self.norm, self.relu_after, self.pool) if call]

    @property
    def output(self):
        """The last call's output."""
        return (self.links or [self.convolution])[-1].arguments["y"]

    @property
    def stored(self):
        """What the convolution writes and the gradients read: its output after the first ReLU."""
        return (self.relu or self.convolution).arguments["y"]

    @property
    def normalization(self):
        """What readers make of the raw output."""
        return {"scale": self.scale, "shift": self.shift, "relu": bool(self.relu_after)}

    @property
    def calls(self):
        """All calls of the chain."""
        found = [self.convolution, *self.links, *self.gradients, self.weight, self.input]
        return [call for call in found if call]


class Uses:
    """Who writes and who reads each storage."""

    def __init__(self, calls):
        self.writer, self._readers = {}, {}
        for call in calls:
            for buffer in call.buffers(written=True):
                self.writer[buffer.storage] = call
            for buffer in call.buffers(written=False):
                self._readers.setdefault(buffer.storage, []).append(call)

    def readers(self, buffer):
        return self._readers.get(buffer.storage, [])

    def forward_readers(self, buffer):
        return [call for call in self.readers(buffer) if "_backward" not in call.op]

    def reader(self, buffer, op, argument):
        """Return the call `op` that reads `buffer` as `argument`, or None."""
        for call in self.readers(buffer):
            value = call.arguments.get(argument)
            if call.op == op and isinstance(value, Buffer) and value.storage is buffer.storage:
                return call
        return None


def find_chain(uses, convolution, norm_op):
    """Follow the convolution's output as far as a chain goes."""
    chain = Chain(convolution)
    for slot, op in (("relu", "relu"), ("norm", norm_op), ("relu_after", "relu"), ("pool", "max_pool2d")):
        found = uses.reader(chain.output, op, "x")
        if (
            found is None
            or chain.output.storage.pinned  # by the outside world, which reads it as it is
            or (slot == "relu_after" and not chain.norm)
            or (slot == "pool" and not _halves(found))
        ):
            continue
        kept = slot == "norm" and norm_op == "batch_norm"  # what statistics are taken of stays in memory
        if kept or uses.forward_readers(chain.output) == [found]:
            setattr(chain, slot, found)
    return chain


def _halves(pool):
    """Whether a max pooling has 2x2 windows that cover x exactly."""
    x, y = pool.arguments["x"], pool.arguments["y"]
    fits = all(list(pool.arguments[name]) == value for name, value in _POOL.items())
    return fits and x.shape[1:3] == (2 * y.shape[1], 2 * y.shape[2])


def fusions(call, x, weight_shape, device, prepared=False):
    """Return what the backend fuses with the convolution of `call`."""
    options = {"prepared": prepared, "device": device}
    return _core.conv2d_fusions(x.shape, weight_shape, **geometry(call), **options)


def geometry(call):
    return {name: call.arguments[name] for name in GEOMETRY}


def names_of(*calls):
    return tuple(call.op for call in calls if call)
