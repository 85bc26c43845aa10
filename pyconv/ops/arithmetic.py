"""Arithmetic, element by element, on arrays of any shape; two have the same. NaN passes through."""

from pyconv import _core
from pyconv.ops.arguments import Arguments

__all__ = ["add", "divide", "exp", "log", "multiply", "rescale"]


def add(a, b):
    """Sum of two arrays of the same shape, as in a residual connection; both gradients are dy itself."""
    arrays = Arguments("add", a=a, b=b)
    return arrays.give(_core.add(arrays.a, arrays.b))


def multiply(a, b):
    """Product of two arrays of the same shape; the gradients are dy * b and dy * a."""
    arrays = Arguments("multiply", a=a, b=b)
    return arrays.give(_core.multiply(arrays.a, arrays.b))


def divide(a, b):
    """Quotient a / b of two arrays of the same shape; the gradients are dy / b and -dy * a / b^2."""
    arrays = Arguments("divide", a=a, b=b)
    return arrays.give(_core.divide(arrays.a, arrays.b))


def rescale(x, scale=1.0, offset=0.0):
    """Multiply by a number and add another, scale * x + offset; the gradient is scale * dy."""
    a = Arguments("rescale", x=x)
    return a.give(_core.rescale(a.x, scale=scale, offset=offset))


def exp(x):
    """Exponential of each value, to 2 units in the last place; the gradient is dy times the output."""
    a = Arguments("exp", x=x)
    return a.give(_core.exp(a.x))


def log(x):
    """Natural logarithm of x, of any shape: -inf of 0, NaN below; the gradient is dy / x."""
    a = Arguments("log", x=x)
    return a.give(_core.log(a.x))
