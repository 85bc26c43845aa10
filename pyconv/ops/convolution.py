"""2-D convolution and its gradients."""

from pyconv import _core
from pyconv.ops.arguments import Arguments

__all__ = ["conv2d", "conv2d_backward_input", "conv2d_backward_weight"]


def conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1, algorithm="auto"):
    """2-D convolution (cross-correlation, as everywhere in the field).

    Args:
        x: (N, H, W, C_in).
        weight: (KH, KW, C_in / groups, C_out).
        bias: (C_out,) or None.
        stride, dilation: pixels; an integer or (height, width).
        padding: pixels of zeros; "valid" (none), "same" (output ceil(size / stride), the odd row at the
            bottom and right, as Keras), an integer, (height, width) or ((top, bottom), (left, right)).
        groups: how many slices of channels to convolve apart; C_in for a depthwise convolution.
        algorithm: "auto", "direct", "gemm", "winograd_f2x2" or "winograd_f4x4". "auto" depends on the shapes
            and the instruction set alone; Winograd's need a 3x3 kernel, stride and dilation 1, one group and
            padding of at most 2, and spread a non-finite input over its tile.

    Returns:
        y (N, OH, OW, C_out), OH = (H + padding - dilation * (KH - 1) - 1) // stride + 1, OW likewise.

    Raises ValueError where the kernel does not fit into the padded x, or the channels not the groups.
    """
    a = Arguments("conv2d", x=x, weight=weight, optional={"bias": bias})
    y = _core.conv2d(
        a.x,
        a.weight,
        a.bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        algorithm=algorithm,
    )
    return a.give(y)


def conv2d_backward_input(
    dy, weight, x_shape, *, stride=1, padding=0, dilation=1, groups=1, algorithm="auto"
):
    """Gradient of `conv2d` with respect to x.

    Args:
        dy: (N, OH, OW, C_out).
        weight: (KH, KW, C_in / groups, C_out).
        x_shape: (N, H, W, C_in), which dy's shape does not tell when the stride is above 1.
        stride, padding, dilation, groups, algorithm: as given to `conv2d`.

    Returns:
        dx (N, H, W, C_in).
    """
    a = Arguments("conv2d_backward_input", dy=dy, weight=weight)
    dx = _core.conv2d_backward_input(
        a.dy,
        a.weight,
        x_shape,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        algorithm=algorithm,
    )
    return a.give(dx)


def conv2d_backward_weight(
    dy, x, weight_shape, *, stride=1, padding=0, dilation=1, groups=1, algorithm="auto"
):
    """Gradients of `conv2d` with respect to weight and bias.

    Args:
        dy: (N, OH, OW, C_out).
        x: (N, H, W, C_in).
        weight_shape: (KH, KW, C_in / groups, C_out).
        stride, padding, dilation, groups, algorithm: as given to `conv2d`.

    Returns:
        (dweight of weight_shape, dbias (C_out,)), summed over the batch.
    """
    a = Arguments("conv2d_backward_weight", dy=dy, x=x)
    gradients = _core.conv2d_backward_weight(
        a.dy,
        a.x,
        weight_shape,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        algorithm=algorithm,
    )
    return a.give(gradients)
