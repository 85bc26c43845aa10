import numpy as np
import pytest
from checks import normal, tensor

from pyconv import _core, ops

SIZES = [0, 1, 3, 15, 16, 17, 33, 1000, 40_001]


@pytest.mark.parametrize("size", SIZES)
def test_forward_and_backward(backend, rng, size):
    x, dy = normal(rng, size), normal(rng, size)
    x[::7] = 0
    y = ops.relu(x)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    np.testing.assert_array_equal(ops.relu_backward(dy, y), np.where(x > 0, dy, 0))


@pytest.mark.parametrize("size", [5, 37])
def test_nan_passes_through_and_infinities(backend, size):
    x = np.resize(np.float32([np.nan, -np.inf, np.inf, -0.0, -1e-40]), size)
    np.testing.assert_array_equal(ops.relu(x), np.resize(np.float32([np.nan, 0, np.inf, 0, 0]), size))
    dy = np.full(size, np.nan, np.float32)
    expected = np.resize(np.float32([np.nan, 0, np.nan, 0, 0]), size)
    np.testing.assert_array_equal(ops.relu_backward(dy, ops.relu(x)), expected)


def test_the_gradient_passes_where_y_is_nan(backend):
    """What csrc/kernels.h says: only y <= 0 closes."""
    y = np.resize(np.float32([np.nan, 1, 0, -np.nan, -1]), 67)
    dy = np.arange(1, 68, dtype=np.float32)
    np.testing.assert_array_equal(ops.relu_backward(dy, y), np.where(np.isnan(y) | (y > 0), dy, 0))


def test_in_place(backend, rng):
    x, dy = normal(rng, 5, 7), normal(rng, 5, 7)
    y, dx = tensor(x.copy()), tensor(dy.copy())
    _core.relu(y, y=y)
    _core.relu_backward(dx, y, dx=dx)
    np.testing.assert_array_equal(y.numpy(), np.maximum(x, 0))
    np.testing.assert_array_equal(dx.numpy(), np.where(x > 0, dy, 0))


def test_any_shape(backend, rng):
    for shape in ((), (3,), (2, 0, 4), (2, 3, 4, 5, 6)):
        x = np.asarray(normal(rng, *shape))
        np.testing.assert_array_equal(ops.relu(x), np.maximum(x, 0))


def test_memory_aligned_to_4_bytes_only(backend, rng):
    x = normal(rng, 101)
    for start in range(1, 5):
        np.testing.assert_array_equal(ops.relu(x[start:]), np.maximum(x[start:], 0))


def test_errors():
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"^\[relu\] y has shape \(3, 2\), expected \(2, 3\)"):
        _core.relu(tensor(x), y=_core.empty((3, 2)))
    with pytest.raises(TypeError, match=r"^\[relu\] y has dtype int32, expected float32"):
        _core.relu(tensor(x), y=_core.empty((2, 3), "int32"))
    with pytest.raises(ValueError, match=r"^\[relu\] y is read-only, expected memory to write to"):
        _core.relu(tensor(x), y=_core.empty((2, 3)).as_read_only())
    with pytest.raises(ValueError, match=r"^\[relu_backward\] dy has shape \(3, 2\), expected \(2, 3\)"):
        ops.relu_backward(x.reshape(3, 2), x)
