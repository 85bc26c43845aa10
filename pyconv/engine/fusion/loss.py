"""Softmax and cross-entropy as one call on the logits, which is exact for logits of any size."""

from pyconv.engine.fusion.chains import Uses
from pyconv.engine.trace import Buffer, Call


def fuse_loss(trace):
    """Rewrite a softmax, the cross-entropy that reads it, and their gradients, as `softmax_cross_entropy`.

    Not only quicker: the logarithm of a softmax loses what a float cannot hold, so training always goes
    this way, `fuse` or not.
    """
    uses, replaced = Uses(trace.calls), {}
    for loss in trace.calls:
        if loss.op == "cross_entropy":
            _fuse(loss, uses, replaced)
    trace.calls = [new for call in trace.calls for new in replaced.get(call, [call])]


def _fuse(loss, uses, replaced):
    probabilities = loss.arguments["x"]
    softmax = uses.writer.get(probabilities.storage)
    if softmax is None or softmax.op != "softmax" or softmax.arguments["y"].shape != probabilities.shape:
        return
    inner, outer = uses.reader(probabilities, "cross_entropy_backward", "x"), None
    if inner:
        outer = uses.reader(inner.arguments["dx"], "softmax_backward", "dy")
        if outer is None or uses.readers(inner.arguments["dx"]) != [outer]:
            return  # the probabilities have another gradient besides
    logits = softmax.arguments["x"]
    readers = [call for call in uses.readers(probabilities) if call not in (loss, inner, outer)]
    for call in [call for call in readers if call.op == "accuracy"]:  # the largest stays the largest
        replaced[call] = [Call("accuracy", {**call.arguments, "scores": logits}, call.layer)]
    if all(call.op == "accuracy" for call in readers):
        replaced[softmax] = []
    same = {name: loss.arguments[name] for name in ("target", "label_smoothing")}

    def fused(losses, dloss=None, dlogits=None):
        arguments = {"logits": logits, **same, "dloss": dloss, "gradient": dlogits is not None}
        return Call("softmax_cross_entropy", {**arguments, "loss": losses, "dlogits": dlogits}, loss.layer)

    losses = loss.arguments["loss"]
    replaced[loss] = [fused(losses)]
    if inner:
        replaced[inner], replaced[outer] = [], []
        dloss, dlogits = inner.arguments["dloss"], outer.arguments["dx"]
        if isinstance(dloss, Buffer):  # known later
            replaced[outer] = [fused(Buffer(losses.shape), dloss, dlogits)]
        else:
            replaced[loss] = [fused(losses, dloss, dlogits)]
