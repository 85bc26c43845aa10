"""The fusion of a training step."""

import math

from pyconv import _core
from pyconv.engine.fusion.chains import GEOMETRY, Uses, find_chain, fusions, geometry, names_of
from pyconv.engine.trace import Buffer, Call

_STATISTICS = ("gamma", "beta", "running_mean", "running_variance", "epsilon", "momentum", "mean", "rstd")


class TrainingFusion:
    """Rewrites the calls of a training step: `calls` are the new ones."""

    def __init__(self, calls, device):
        self._uses, self._device = Uses(calls), device
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
        offered = fusions(convolution, a["x"], a["weight"].shape, self._device)
        if not (offered & _core.FUSE_EPILOGUE and offered & _core.FUSE_GRADIENT):
            return None
        uses, chain = self._uses, find_chain(self._uses, convolution, "batch_norm")
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
        epilogue = {"relu": bool(chain.relu)}
        if norm:
            chain.scale, chain.shift = (Buffer(chain.stored.shape[-1:]) for _ in range(2))
            statistics = {name: norm.arguments[name] for name in _STATISTICS}
            epilogue["statistics"] = {**statistics, "scale": chain.scale, "shift": chain.shift}
        if pool:
            raw = Buffer(pool.arguments["y"].shape) if norm else pool.arguments["y"]
            argmax = pool.arguments["argmax"]
            if chain.offered & _core.FUSE_POOL:
                epilogue |= {"pooled": raw, "argmax": argmax}
            else:
                gamma = norm and norm.arguments["gamma"]
                after.append(
                    Call("max_pool2d_signed", {"x": chain.stored, "gamma": gamma, "y": raw, "argmax": argmax})
                )
        chain.raw = raw
        if norm:
            n = chain.normalization
            if all(self._normalizes(call, chain.output) for call in self._readers_outside(chain)):
                self._normalizations[chain.output.storage] = (raw, n)
            else:
                after.append(Call("normalize", {"x": raw, "normalization": n, "y": chain.output}))
        a = chain.convolution.arguments
        fused = Call(
            "conv2d_fused",
            {**self._input(a), "weight": a["weight"], "bias": a["bias"], **geometry(chain.convolution)}
            | {"epilogue": epilogue, "y": chain.stored},
            fused=names_of(*chain.links),
        )
        self._replace(chain.convolution, fused, *after)
        for link in chain.links:
            self._replace(link)

    def _fuse_backward(self, chain):
        first, weight = chain.gradients[0], chain.weight
        d = first.arguments["dy"]
        made = {"d": d, "y": chain.stored, "relu": bool(chain.relu)}
        if chain.pool:
            made["argmax"] = chain.pool.arguments["argmax"]
        for call in chain.gradients:
            self._replace(call)
        if chain.norm:
            made |= {"coefficients": Buffer((3, *chain.scale.shape))}
            if chain.relu_after:
                made["normalization"] = chain.normalization
            self._reduce(chain, d, made["coefficients"], first)
        if chain.input:
            made["dy"] = chain.input.arguments["dy"]
        elif chain.offered & _core.NEEDS_GRADIENT:
            made["dy"] = Buffer(chain.stored.shape)
        fused = self._weight_call(weight, made, names_of(*chain.gradients))
        self._replace(weight, fused)

    def _reduce(self, chain, d, coefficients, place):
        """Take the normalisation's sums where its gradient d is computed, or in a call of their own."""
        norm, gradient = chain.norm.arguments, self._gradient_of(chain.norm, chain).arguments
        reduction = {
            "M": math.prod(chain.stored.shape[:-1]),
            "x": chain.raw,
            "normalization": chain.normalization,
            **{name: norm[name] for name in ("gamma", "mean", "rstd")},
            **{name: gradient[name] for name in ("dgamma", "dbeta")},
            "coefficients": coefficients,
        }
        writer = self._uses.writer.get(d.storage)
        if writer and writer.op == "conv2d_backward_input" and writer.arguments["dx"].shape == d.shape:
            a = writer.arguments
            if fusions(writer, a["dx"], a["weight"].shape, self._device) & _core.FUSE_REDUCTION:
                same = ("dy", "weight", "x_shape", *GEOMETRY, "dx")
                fused = {name: a[name] for name in same} | {"reduction": reduction}
                self._replace(
                    writer, Call("conv2d_backward_input_fused", fused, writer.layer, ("batch_norm_reduce",))
                )
                return
        self._replace(place, Call("batch_norm_reduce", {"dy": d, "reduction": reduction}))

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
        return bool(fusions(call, x, shape, self._device) & _core.FUSE_INPUT)

    def _input(self, arguments):
        """Return the arguments x and input of a convolution that reads arguments["x"]."""
        x = arguments["x"]
        raw, n = self._normalizations.get(x.storage, (x, None))
        return {"x": raw, "input": n}

    def _weight_call(self, call, gradient, names=()):
        a = call.arguments
        same = ("weight_shape", *GEOMETRY, "bias", "dweight", "dbias")
        arguments = {**self._input(a), **{name: a[name] for name in same}, "gradient": gradient}
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
                self._replace(call, self._weight_call(call, {"d": call.arguments["dy"]}))

    def _replace(self, call, *calls):
        for new in calls:
            new.layer = new.layer or call.layer
        self._replaced[call] = calls
