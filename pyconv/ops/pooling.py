"""Maximum and average pooling and their gradients.

The geometry is the same throughout: `window`, `stride` (default: the window) and `dilation` are an integer or
(height, width) in pixels; `padding` is as in `conv2d`; with `ceil_mode` a last window may overhang the end.
"""

from pyconv import _core
from pyconv.arguments import integer, shown
from pyconv.ops.arguments import Arguments

__all__ = [
    "avg_pool2d",
    "avg_pool2d_backward",
    "global_avg_pool2d",
    "global_avg_pool2d_backward",
    "max_pool2d",
    "max_pool2d_backward",
]


def max_pool2d(x, window, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Maximum of each window. NaN wins; padding never does.

    Args:
        x: (N, H, W, C).
        window: (KH, KW) or an integer, in pixels.
        stride: pixels; default: the window, so that windows tile x.
        padding: pixels, as in `conv2d`.
        dilation: pixels between a window's elements.
        ceil_mode: let a last window, which starts inside x or its leading padding, overhang the end.

    Returns:
        (y, argmax), both (N, OH, OW, C). argmax is the offset kh * KW + kw of the first largest element in
        its window: uint8, int32 for windows of more than 256 elements.
    """
    a = Arguments("max_pool2d", x=x)
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    return a.give(_core.max_pool2d(a.x, window, **geometry))


def max_pool2d_backward(dy, argmax, x_shape, window, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Gradient of `max_pool2d` with respect to x: dy, summed where each maximum came from.

    dy and argmax (N, OH, OW, C), x_shape (N, H, W, C), the rest as given to `max_pool2d`; returns dx
    (N, H, W, C).
    """
    a = Arguments("max_pool2d_backward", dy=dy, argmax=argmax)
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    return a.give(_core.max_pool2d_backward(a.dy, a.argmax, x_shape, window, **geometry))


def avg_pool2d(x, window, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Average of each window.

    Args:
        x: (N, H, W, C).
        window, stride, padding, ceil_mode: as in `max_pool2d`.
        count_include_pad: divide by the window's size, padding included (PyTorch's default), or by the number
            of x's elements in it (Keras').

    Returns:
        y (N, OH, OW, C).
    """
    a = Arguments("avg_pool2d", x=x)
    geometry = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    return a.give(_core.avg_pool2d(a.x, window, **geometry, count_include_pad=count_include_pad))


def avg_pool2d_backward(
    dy, x_shape, window, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True
):
    """Gradient of `avg_pool2d` with respect to x.

    dy (N, OH, OW, C), x_shape (N, H, W, C), the rest as given to `avg_pool2d`; returns dx (N, H, W, C).
    """
    a = Arguments("avg_pool2d_backward", dy=dy)
    geometry = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    return a.give(
        _core.avg_pool2d_backward(a.dy, x_shape, window, **geometry, count_include_pad=count_include_pad)
    )


def global_avg_pool2d(x):
    """Average over height and width: x (N, H, W, C) -> y (N, C)."""
    op = "global_avg_pool2d"
    a = Arguments(op, x=x)
    _check(op, "x", a.x, a.x.ndim == 4, "4 dimensions: (N, H, W, C)")
    N, H, W, C = a.x.shape
    return a.give(_core.avg_pool2d(a.x, (H, W)).reshape((N, C)))


def global_avg_pool2d_backward(dy, x_shape):
    """Gradient of `global_avg_pool2d` with respect to x: dy (N, C) -> dx of x_shape (N, H, W, C)."""
    op = "global_avg_pool2d_backward"
    a = Arguments(op, dy=dy)
    if not isinstance(x_shape, (tuple, list)):
        raise TypeError(f"[{op}] x_shape is {shown(x_shape)}, expected (N, H, W, C)")
    if len(x_shape) != 4:
        raise ValueError(f"[{op}] x_shape is {shown(x_shape)}, expected (N, H, W, C)")
    N, H, W, C = (integer(size, "x_shape", op, least=0) for size in x_shape)
    _check(op, "dy", a.dy, a.dy.shape == (N, C), f"({N}, {C})")
    return a.give(_core.avg_pool2d_backward(a.dy.reshape((N, 1, 1, C)), x_shape, (H, W)))


def _check(op, name, tensor, fits, expected):
    if tensor.dtype != "float32":
        raise TypeError(f"[{op}] {name} has dtype {tensor.dtype}, expected float32")
    if not fits:
        raise ValueError(f"[{op}] {name} has shape {tensor.shape}, expected {expected}")
