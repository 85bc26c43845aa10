"""Reductions of an array of any shape to one number, added up in double precision."""

from pyconv import _core
from pyconv.ops.arguments import Arguments

__all__ = ["sum", "sum_of_squares"]


def sum(x):
    """Sum of all elements of x (any shape), a float."""
    return _core.sum(Arguments("sum", x=x).x).numpy().item()


def sum_of_squares(x):
    """Sum of the squares of all elements of x (any shape), a float."""
    return _core.sum_of_squares(Arguments("sum_of_squares", x=x).x).numpy().item()
