"""The fusion pass: what a trace does in several passes over memory becomes one, where the backend offers it.

A convolution and what follows it, ReLU, batch normalisation, ReLU and 2x2 max pooling (each may be missing),
form a `_Chain`. In training it becomes

- `conv2d_fused`: bias, ReLU, statistics and pooling in the convolution's epilogue. The normalisation itself
  is left to its readers: convolutions apply it as they load their input; for others `normalize` writes it.
- `conv2d_backward_weight_fused`: the gradients of pooling, normalisation and ReLU, made as dy is loaded.
- the normalisation's two sums, in the `conv2d_backward_input` that computes its gradient, or in a
  `batch_norm_reduce`.

Pooling takes the maxima of what is normalised only later: where gamma is negative, the minima
(csrc/kernels.h).

In prediction a chain is one call, with the normalisation in its epilogue; what depends on parameters alone
(`Trace.constants`) is computed when they change.
"""

import math
from dataclasses import dataclass

from pyconv import _core
from pyconv.engine.trace import Buffer, Call

_GEOMETRY = ("stride", "padding", "dilation", "groups")
_POOL = {"window": [2, 2], "stride": [2, 2]}


def fuse(trace):
    """Rewrite the calls of `trace`, where its device has fused kernels."""
    if not _core.has_fused_kernels(trace.device):
        return
    if trace.training:
        trace.calls = _TrainingFusion(trace.calls, trace.device).calls
    else:
        trace.constants, trace.calls = _fuse_prediction(trace)


@dataclass
class _Chain:
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
    def calls(self):
        """All calls of the chain."""
        found = [self.convolution, *self.links, *self.gradients, self.weight, self.input]
        return [call for call in found if call]


class _Uses:
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


def _find_chain(uses, convolution, norm_op):
    """Follow the convolution's output as far as a chain goes."""
    chain = _Chain(convolution)
    for slot, op in (("relu", "relu"), ("norm", norm_op), ("relu_after", "relu"), ("pool", "max_pool2d")):
        found = uses.reader(chain.output, op, "x")
        if (
            found is None
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


def _fusions(call, x, weight_shape, device, prepared=False):
    """Return what the backend fuses with the convolution of `call`."""
    options = {"prepared": prepared, "device": device}
    return _core.conv2d_fusions(x.shape, weight_shape, **_geometry(call), **options)


def _geometry(call):
    return {name: call.arguments[name] for name in _GEOMETRY}


def _names(*calls):
    return tuple(call.op for call in calls if call)


# ---- training


class _TrainingFusion:
    def __init__(self, calls, device):
        self._uses, self._device = _Uses(calls), device
        self._replaced = {}  # call -> the calls in its place
        self._normalizations = {}  # storage -> (Buffer, arguments) of an output whose readers normalise it
        convolutions = [call for call in calls if call.op == "conv2d"]
        chains = [chain for call in convolutions if (chain := self._chain(call))]
        for chain in chains:
            self._fuse_forward(chain)
        for chain in chains:
            self._fuse_backward(chain)
        self._fuse_other_readers(calls)
        self.calls = [new for call in calls for new in self._replaced.get(call, [call])]

    def _chain(self, convolution):
        """Return the convolution's chain with its gradients, or None where it cannot be fused."""
        a = convolution.arguments
        offered = _fusions(convolution, a["x"], a["weight"].shape, self._device)
        if not (offered & _core.FUSE_EPILOGUE and offered & _core.FUSE_GRADIENT):
            return None
        uses, chain = self._uses, _find_chain(self._uses, convolution, "batch_norm")
        chain.offered = offered
        if not (chain.relu or chain.norm):
            return None
        links = (
            (chain.pool, "max_pool2d_backward", "argmax", "argmax"),
            (chain.relu_after, "relu_backward", "y", "y"),
            (chain.norm, "batch_norm_backward", "mean", "mean"),
            (chain.relu, "relu_backward", "y", "y"),
        )
        chain.gradients = tuple(
            uses.reader(link.arguments[buffer], op, argument) for link, op, buffer, argument in links if link
        )
        if None in chain.gradients:
            return None
        for before, after in zip(chain.gradients, chain.gradients[1:], strict=False):
            if uses.readers(before.arguments["dx"]) != [after] or after.arguments["dy"].storage is not (
                before.arguments["dx"].storage
            ):
                return None
        dy = chain.gradients[-1].arguments["dx"]
        chain.weight = uses.reader(dy, "conv2d_backward_weight", "dy")
        chain.input = uses.reader(dy, "conv2d_backward_input", "dy")
        inner = [dy, *(link.arguments["x"] for link in chain.links if link is not chain.norm)]
        own = chain.calls
        if not chain.weight or any(call not in own for buffer in inner for call in uses.readers(buffer)):
            return None
        return chain

    def _fuse_forward(self, chain):
        norm, pool, after = chain.norm, chain.pool, []
        raw = chain.stored
        arguments = {"relu": bool(chain.relu)}
        if norm:
            chain.scale, chain.shift = (Buffer(chain.stored.shape[-1:]) for _ in range(2))
            copied = (
                "gamma",
                "beta",
                "running_mean",
                "running_variance",
                "epsilon",
                "momentum",
                "mean",
                "rstd",
            )
            arguments |= {name: norm.arguments[name] for name in copied}
            arguments |= {"scale": chain.scale, "shift": chain.shift}
        if pool:
            raw = Buffer(pool.arguments["y"].shape) if norm else pool.arguments["y"]
            argmax = pool.arguments["argmax"]
            if chain.offered & _core.FUSE_POOL:
                arguments |= {"pooled": raw, "argmax": argmax}
            else:
                gamma = norm and norm.arguments["gamma"]
                after.append(
                    Call("max_pool2d_signed", {"x": chain.stored, "gamma": gamma, "y": raw, "argmax": argmax})
                )
        chain.raw = raw
        if norm:
            n = {"scale": chain.scale, "shift": chain.shift, "relu": bool(chain.relu_after)}
            if all(self._normalizes(call, chain.output) for call in self._readers_outside(chain)):
                self._normalizations[chain.output.storage] = (raw, n)
            else:
                after.append(Call("normalize", {"x": raw, **n, "y": chain.output}))
        a = chain.convolution.arguments
        fused = Call(
            "conv2d_fused",
            {**self._input(a), "weight": a["weight"], "bias": a["bias"], **_geometry(chain.convolution)}
            | {**arguments, "y": chain.stored},
            fused=_names(*chain.links),
        )
        self._replace(chain.convolution, fused, *after)
        for link in chain.links:
            self._replace(link)

    def _fuse_backward(self, chain):
        first, weight = chain.gradients[0], chain.weight
        d = first.arguments["dy"]
        made = {"y": chain.stored, "relu": bool(chain.relu)}
        if chain.pool:
            made["argmax"] = chain.pool.arguments["argmax"]
        for call in chain.gradients:
            self._replace(call)
        if chain.norm:
            made |= {"coefficients": Buffer((3, *chain.scale.shape))}
            if chain.relu_after:
                made |= {"scale": chain.scale, "shift": chain.shift, "y_relu": True}
            self._reduce(chain, d, made["coefficients"], first)
        if chain.input:
            made["dy"] = chain.input.arguments["dy"]
        elif chain.offered & _core.NEEDS_GRADIENT:
            made["dy"] = Buffer(chain.stored.shape)
        fused = self._weight_call(weight, d, made, _names(*chain.gradients))
        self._replace(weight, fused)

    def _reduce(self, chain, d, coefficients, place):
        """Take the normalisation's sums where its gradient d is computed, or in a call of their own."""
        norm, gradient = chain.norm.arguments, self._gradient_of(chain.norm, chain).arguments
        arguments = {
            "rows": math.prod(chain.stored.shape[:-1]),
            "x": chain.raw,
            "gamma": norm["gamma"],
            "mean": norm["mean"],
            "rstd": norm["rstd"],
            "scale": chain.scale,
            "shift": chain.shift,
            "relu": bool(chain.relu_after),
            "dgamma": gradient["dgamma"],
            "dbeta": gradient["dbeta"],
            "coefficients": coefficients,
        }
        writer = self._uses.writer.get(d.storage)
        if writer and writer.op == "conv2d_backward_input" and writer.arguments["dx"].shape == d.shape:
            a = writer.arguments
            if _fusions(writer, a["dx"], a["weight"].shape, self._device) & _core.FUSE_REDUCTION:
                same = ("dy", "weight", "x_shape", *_GEOMETRY, "dx")
                fused = {name: a[name] for name in same} | arguments
                self._replace(
                    writer, Call("conv2d_backward_input_fused", fused, writer.layer, ("batch_norm_reduce",))
                )
                return
        self._replace(place, Call("batch_norm_reduce", {"dy": d, **arguments}))

    def _gradient_of(self, link, chain):
        backward = [call for call in (chain.pool, chain.relu_after, chain.norm, chain.relu) if call]
        return chain.gradients[backward.index(link)]

    def _readers_outside(self, chain):
        own = chain.calls
        return [call for call in self._uses.readers(chain.output) if call not in own]

    def _normalizes(self, call, buffer):
        """Whether a reader of `buffer` can apply a normalisation to it as it loads it."""
        x = call.arguments.get("x")
        if call.op not in ("conv2d", "conv2d_backward_weight") or x is None or x.shape != buffer.shape:
            return False
        if x.storage is not buffer.storage:
            return False
        a = call.arguments
        shape = a["weight"].shape if call.op == "conv2d" else a["weight_shape"]
        return bool(_fusions(call, x, shape, self._device) & _core.FUSE_INPUT)

    def _input(self, arguments):
        """Return the arguments x, x_scale, x_shift, x_relu of a convolution that reads arguments["x"]."""
        x = arguments["x"]
        if x.storage not in self._normalizations:
            return {"x": x}
        raw, n = self._normalizations[x.storage]
        return {"x": raw, "x_scale": n["scale"], "x_shift": n["shift"], "x_relu": n["relu"]}

    def _weight_call(self, call, d, made, names=()):
        a = call.arguments
        same = ("weight_shape", *_GEOMETRY, "bias", "dweight", "dbias")
        arguments = {"d": d, **self._input(a), **{name: a[name] for name in same}, **made}
        return Call("conv2d_backward_weight_fused", arguments, call.layer, names)

    def _fuse_other_readers(self, calls):
        """Convolutions without a chain of their own that read what they have to normalise."""
        for call in calls:
            x = call.arguments.get("x")
            if call in self._replaced or not isinstance(x, Buffer) or x.storage not in self._normalizations:
                continue
            if call.op == "conv2d":
                self._replace(call, Call("conv2d_fused", {**call.arguments, **self._input(call.arguments)}))
            else:
                self._replace(call, self._weight_call(call, call.arguments["dy"], {}))

    def _replace(self, call, *calls):
        for new in calls:
            new.layer = new.layer or call.layer
        self._replaced[call] = calls


# ---- prediction


def _fuse_prediction(trace):
    """Return (calls that depend on parameters alone, the other calls)."""
    uses, replaced, constants = _Uses(trace.calls), {}, []
    for call in trace.calls:
        if call.op != "conv2d":
            continue
        a = call.arguments
        offered = _fusions(call, a["x"], a["weight"].shape, trace.device, prepared=True)
        if not offered & _core.FUSE_EPILOGUE:
            continue
        chain = _find_chain(uses, call, "batch_norm_inference")
        if chain.pool and not offered & _core.FUSE_POOL:
            chain.pool = None
        floats = _core.conv2d_prepared_size(
            a["x"].shape, a["weight"].shape, **_geometry(call), device=trace.device
        )
        prepared = Buffer((floats,))
        constants.append(
            Call(
                "conv2d_prepare",
                {"weight": a["weight"], "x_shape": a["x"].shape, **_geometry(call), "prepared": prepared},
                call.layer,
            )
        )
        arguments = {**a, "prepared": prepared, "relu": bool(chain.relu)}
        if chain.norm:
            n = chain.norm.arguments
            scale, shift = Buffer(a["y"].shape[-1:]), Buffer(a["y"].shape[-1:])
            fold = {name: n[name] for name in ("gamma", "beta", "mean", "variance", "epsilon")}
            constants.append(
                Call("batch_norm_fold", {**fold, "scale": scale, "shift": shift}, chain.norm.layer)
            )
            arguments |= {"y_scale": scale, "y_shift": shift, "y_relu": bool(chain.relu_after)}
        if chain.pool:
            arguments |= {"y": None, "pooled": chain.output}
        else:
            arguments |= {"y": chain.output}
        for link in chain.links:
            replaced[link] = []
        replaced[call] = [Call("conv2d_fused", arguments, call.layer, _names(*chain.links))]
    return constants, [new for call in trace.calls for new in replaced.get(call, [call])]
