"""The fusion of a prediction."""

from pyconv import _core
from pyconv.engine.fusion.chains import Uses, find_chain, fusions, geometry, names_of
from pyconv.engine.trace import Buffer, Call


def fuse_prediction(trace):
    """Return (calls that depend on parameters alone, the other calls)."""
    uses, replaced, constants = Uses(trace.calls), {}, []
    for call in trace.calls:
        if call.op != "conv2d":
            continue
        a = call.arguments
        offered = fusions(call, a["x"], a["weight"].shape, trace.device, prepared=True)
        if not offered & _core.FUSE_EPILOGUE:
            continue
        chain = find_chain(uses, call, "batch_norm_inference")
        if chain.pool and not offered & _core.FUSE_POOL:
            chain.pool = None
        floats = _core.conv2d_prepared_size(
            a["x"].shape, a["weight"].shape, **geometry(call), device=trace.device
        )
        prepared = Buffer((floats,))
        constants.append(
            Call(
                "conv2d_prepare",
                {"weight": a["weight"], "x_shape": a["x"].shape, **geometry(call), "prepared": prepared},
                call.layer,
            )
        )
        arguments, epilogue = {**a, "prepared": prepared}, {"relu": bool(chain.relu)}
        if chain.norm:
            n = chain.norm.arguments
            scale, shift = Buffer(a["y"].shape[-1:]), Buffer(a["y"].shape[-1:])
            fold = {name: n[name] for name in ("gamma", "beta", "mean", "variance", "epsilon")}
            constants.append(
                Call("batch_norm_fold", {**fold, "scale": scale, "shift": shift}, chain.norm.layer)
            )
            epilogue["output"] = {"scale": scale, "shift": shift, "relu": bool(chain.relu_after)}
        if chain.pool:
            arguments["y"], epilogue["pooled"] = None, chain.output
        else:
            arguments["y"] = chain.output
        arguments["epilogue"] = epilogue
        for link in chain.links:
            replaced[link] = []
        replaced[call] = [Call("conv2d_fused", arguments, call.layer, names_of(*chain.links))]
    return constants, [new for call in trace.calls for new in replaced.get(call, [call])]
