"""Reductions of an array of any shape to one number, added up in double precision."""

from pyconv import _core
from pyconv.ops.arguments import as_tensor


def sum(x):
    """Sum of all elements of x (any shape), a float."""
    return _core.sum(as_tensor(x, "sum", "x")).numpy().item()


def sum_of_squares(x):
    """Sum of the squares of all elements of x (any shape), a float."""
    return _core.sum_of_squares(as_tensor(x, "sum_of_squares", "x")).numpy().item()
