"""What the op tests share: comparing with a reference, and gradients by finite differences."""

import numpy as np

from pyconv import _core

EPSILON = np.finfo(np.float32).eps


def normal(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


def tensor(array):
    """The array as a Tensor of the selected backend's device."""
    return _core.from_numpy(np.ascontiguousarray(array)).to(_core.default_device())


def assert_close(actual, expected, *, length=1, scale=0.0):
    """Compare float32 with float64: within 4 epsilons of the largest value or `scale`, times sqrt(length).

    `length` is how many terms of unit variance the op sums for one result: the sum's standard deviation is
    sqrt(length), and its rounding errors walk at random.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == np.float32
    assert actual.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    if finite.any():
        scale = max(scale, np.abs(expected[finite]).max(), np.sqrt(length) if length > 1 else 0)
        tolerance = 4 * EPSILON * np.sqrt(max(length, 1)) * scale
        np.testing.assert_allclose(actual[finite], expected[finite], rtol=0, atol=tolerance)


# Of products in each precision: relative error in the Frobenius norm (docs/cuda.md).
BUDGETS = {"float32": 1e-5, "tf32": 1e-3, "bfloat16": 1e-2}


def assert_within(actual, expected, precision):
    """Compare with the reference in the precision's budget."""
    error = np.linalg.norm(actual - expected) / max(np.linalg.norm(expected), 1e-30)
    assert error < BUDGETS[precision]


def assert_product(actual, expected, **options):
    """`assert_close`, or `assert_within` where the selected backend multiplies in less than float32."""
    if _core.default_device() == "cpu" or _core.precision() == "float32":
        assert_close(actual, expected, **options)
    else:
        assert actual.shape == expected.shape
        assert_within(actual, expected, _core.precision())


def check_gradient(function, x, gradient, *, step=1e-6):
    """Hold `gradient` of a scalar function at x to central differences in float64."""
    numeric = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.astype(np.float64)
            moved[i] += sign * step
            ends.append(function(moved))
        numeric[i] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-7)
