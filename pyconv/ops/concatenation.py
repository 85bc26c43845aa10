"""Two arrays side by side in one."""

from pyconv import _core
from pyconv.ops.arguments import Arguments

__all__ = ["concatenate", "concatenate_backward"]


def concatenate(a, b, axis=-1):
    """Put a and b side by side along `axis`; their shapes agree along the others.

    Args:
        a, b: float32 of one rank, at least 1.
        axis: counted from the end where it is negative; -1: channels.

    Returns:
        y, as long along the axis as both together.
    """
    arrays = Arguments("concatenate", a=a, b=b)
    return arrays.give(_core.concatenate(arrays.a, arrays.b, axis=axis))


def concatenate_backward(dy, size, axis=-1):
    """Gradients of `concatenate` with respect to a, which has `size` along the axis, and b: (da, db)."""
    arrays = Arguments("concatenate_backward", dy=dy)
    return arrays.give(_core.concatenate_backward(arrays.dy, size, axis=axis))
