"""The dense (fully connected) op and its gradients."""

from pyconv import _core
from pyconv.ops.arguments import Arguments

__all__ = ["linear", "linear_backward_input", "linear_backward_weight"]


def linear(x, weight, bias=None):
    """Dense layer, y = x weight + bias.

    x (N, C_in), weight (C_in, C_out), bias (C_out,) or None; returns y (N, C_out).
    """
    a = Arguments("linear", x=x, weight=weight, optional={"bias": bias})
    return a.give(_core.linear(a.x, a.weight, a.bias))


def linear_backward_input(dy, weight):
    """Gradient of `linear` with respect to x: dy (N, C_out), weight (C_in, C_out) -> dx (N, C_in)."""
    a = Arguments("linear_backward_input", dy=dy, weight=weight)
    return a.give(_core.linear_backward_input(a.dy, a.weight))


def linear_backward_weight(dy, x):
    """Gradients of `linear` with respect to weight and bias, summed over the batch.

    dy (N, C_out), x (N, C_in); returns (dweight (C_in, C_out), dbias (C_out,)).
    """
    a = Arguments("linear_backward_weight", dy=dy, x=x)
    return a.give(_core.linear_backward_weight(a.dy, a.x))
