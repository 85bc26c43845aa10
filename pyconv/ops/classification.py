"""Softmax, cross-entropy and accuracy over N rows of K classes.

A target is integer labels (N,) from 0 to K - 1, or float32 probabilities (N, K), whose rows sum to 1 (one-hot
among them).
"""

from pyconv import _core
from pyconv.ops.arguments import Arguments, as_int32

__all__ = [
    "accuracy",
    "cross_entropy",
    "cross_entropy_backward",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
]


def softmax(x):
    """Softmax of each row, exp(x) / sum(exp(x)), safe for numbers of any size: x (N, K) -> y (N, K).

    A row with NaN or +inf gives NaN.
    """
    a = Arguments("softmax", x=x)
    return a.give(_core.softmax(a.x))


def softmax_backward(dy, y):
    """Gradient of `softmax` with respect to x, from its output: y * (dy - sum(dy * y)); all (N, K)."""
    a = Arguments("softmax_backward", dy=dy, y=y)
    return a.give(_core.softmax_backward(a.dy, a.y))


def softmax_cross_entropy(logits, target, *, label_smoothing=0.0):
    """Cross-entropy of softmax(logits) and the target, and its gradient, in one pass.

    Args:
        logits: (N, K), of any size: nothing overflows.
        target: labels (N,) or probabilities (N, K).
        label_smoothing: s in [0, 1]: the target becomes (1 - s) * target + s / K (Szegedy et al.,
            https://arxiv.org/abs/1512.00567).

    Returns:
        (loss (N,) in nats, dlogits (N, K): the gradient of the loss's mean).

    Raises ValueError for a label outside [0, K).
    """
    op = "softmax_cross_entropy"
    a = Arguments(op, logits=logits, target=as_int32(target, op, "target"))
    return a.give(_core.softmax_cross_entropy(a.logits, a.target, label_smoothing=label_smoothing))


def cross_entropy(x, target, *, label_smoothing=0.0):
    """Cross-entropy of probabilities x and the target, in nats: x (N, K) -> loss (N,).

    A row is taken as x / sum(x), as Keras does, so that it need not sum to 1. Of a softmax's output,
    `softmax_cross_entropy` of the logits keeps more digits: a probability below the smallest normal float,
    1.2e-38, counts as that here. `target` and `label_smoothing` are those there.
    """
    op = "cross_entropy"
    a = Arguments(op, x=x, target=as_int32(target, op, "target"))
    return a.give(_core.cross_entropy(a.x, a.target, label_smoothing=label_smoothing))


def cross_entropy_backward(dloss, x, target, *, label_smoothing=0.0):
    """Gradient of `cross_entropy` with respect to x (N, K), from that of the losses, dloss (N,)."""
    op = "cross_entropy_backward"
    a = Arguments(op, dloss=dloss, x=x, target=as_int32(target, op, "target"))
    return a.give(_core.cross_entropy_backward(a.dloss, a.x, a.target, label_smoothing=label_smoothing))


def accuracy(scores, target):
    """Whether each row's first largest score is its target's class: 1 or 0, float32 (N,).

    scores (N, K), target labels (N,) or probabilities (N, K), of which the first largest counts. A row with
    NaN is 0.
    """
    a = Arguments("accuracy", scores=scores, target=as_int32(target, "accuracy", "target"))
    return a.give(_core.accuracy(a.scores, a.target))
