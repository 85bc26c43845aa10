import numpy as np
import pytest
from checks import normal

from pyconv import ops

SHAPES = [
    ((2, 3), (2, 4), -1),
    ((5, 7, 7, 16), (5, 7, 7, 3), 3),
    ((3, 4, 5, 6), (3, 2, 5, 6), 1),
    ((40, 17, 9), (40, 17, 33), -1),
    ((2, 5), (6, 5), 0),
    ((4, 0), (4, 3), 1),
    ((0, 3), (0, 2), 1),
    ((7,), (2,), 0),
    ((3000, 33), (3000, 1), 1),
]


@pytest.mark.parametrize(("one", "other", "axis"), SHAPES)
def test_together_and_apart(backend, rng, one, other, axis):
    a, b = normal(rng, *one), normal(rng, *other)
    y = ops.concatenate(a, b, axis)
    np.testing.assert_array_equal(y, np.concatenate([a, b], axis))
    da, db = ops.concatenate_backward(y, a.shape[axis], axis)
    np.testing.assert_array_equal(da, a)
    np.testing.assert_array_equal(db, b)


def test_errors():
    a = np.zeros((2, 3, 4), np.float32)
    for call, message in (
        (lambda: ops.concatenate(a, a[0]), r"\[concatenate\] b has shape \(3, 4\), expected \(2, 3, 4\)"),
        (
            lambda: ops.concatenate(a, a[:, :2]),
            r"\[concatenate\] b has shape \(2, 2, 4\), expected \(2, 3, 4\)",
        ),
        (lambda: ops.concatenate(a, a, 3), r"\[concatenate\] axis is 3, expected .*2"),
        (lambda: ops.concatenate(a[0, 0, 0], a), r"\[concatenate\]"),
        (lambda: ops.concatenate_backward(a, 5), r"\[concatenate_backward\] size is 5, expected .*4"),
    ):
        with pytest.raises((TypeError, ValueError), match="^" + message):
            call()
