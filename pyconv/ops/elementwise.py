"""Activations and dropout: each element by itself; x may have any shape."""

from pyconv import _core
from pyconv.arguments import integer
from pyconv.ops.arguments import Arguments
from pyconv.philox import to_rng_state

__all__ = ["dropout", "gelu", "gelu_backward", "relu", "relu_backward"]


def relu(x):
    """Rectified linear unit, max(x, 0), of any shape. NaN passes through."""
    a = Arguments("relu", x=x)
    return a.give(_core.relu(a.x))


def relu_backward(dy, y):
    """Gradient of `relu` with respect to x, from its output `y`: dy where y > 0, else 0."""
    a = Arguments("relu_backward", dy=dy, y=y)
    return a.give(_core.relu_backward(a.dy, a.y))


def gelu(x, approximate=False):
    """Gaussian error linear unit, x times the normal distribution's function of x, of any shape.

    Hendrycks & Gimpel, "Gaussian Error Linear Units (GELUs)", 2016. NaN passes through; of -inf it is 0.

    Args:
        x: float32 of any shape.
        approximate: take 0.5 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) for the distribution's function.

    Returns:
        y, of x's shape.
    """
    a = Arguments("gelu", x=x)
    return a.give(_core.gelu(a.x, approximate=approximate))


def gelu_backward(dy, x, approximate=False):
    """Gradient of `gelu` with respect to its x, of any shape."""
    a = Arguments("gelu_backward", dy=dy, x=x)
    return a.give(_core.gelu_backward(a.dy, a.x, approximate=approximate))


def dropout(x, rate, *, seed, purpose=0, epoch=0, step=0):
    """Set a random fraction of x to 0 and scale the rest by 1 / (1 - rate), which keeps the mean.

    The mask is a pure function of the keywords (Philox), so the gradient is `dropout` of dy with the same.
    NaN passes through, dropped or not.
    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 2014.

    Args:
        x: float32 of any shape.
        rate: fraction to drop, in [0, 1).
        seed: integer in [0, 2**64).
        purpose: the layer's number, in [0, 2**24): a mask of its own for each layer.
        epoch, step: integers in [0, 2**32); other ones draw anew.

    Returns:
        y, of x's shape.
    """
    a = Arguments("dropout", x=x)
    purpose = integer(purpose, "purpose", "dropout", least=0, most=2**24 - 1)
    rng = a.constant(to_rng_state(seed, epoch, step, "dropout"))
    return a.give(_core.dropout(a.x, rng, rate=rate, purpose=_core.PHILOX_DROPOUT + purpose))
