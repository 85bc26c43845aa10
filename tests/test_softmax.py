import numpy as np
import pytest
import references
from checks import assert_close, check_gradient, normal, tensor

from pyconv import _core, ops

SHAPES = [(1, 1), (1, 10), (7, 3), (5, 17), (33, 10), (3, 1000), (4000, 10), (0, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward(backend, rng, shape):
    x, dy = 4 * normal(rng, *shape), normal(rng, *shape)
    y = ops.softmax(x)
    np.testing.assert_allclose(y, references.softmax(x), rtol=1e-5)  # each probability to its own digits
    assert_close(ops.softmax_backward(dy, y), references.softmax_backward(dy, y), length=shape[1])


def test_reference_gradients(rng):
    x, dy = normal(rng, 3, 5), normal(rng, 3, 5)
    dx = references.softmax_backward(dy, references.softmax(x))
    check_gradient(lambda x: (references.softmax(x) * dy).sum(), x, dx)


@pytest.mark.parametrize("K", [4, 40])
def test_extreme_scores(backend, K):
    x = np.zeros((5, K), np.float32)
    x[0] = 3e38
    x[1] = -3e38
    x[2, 1], x[2, 2] = 1e4, -1e4
    x[3, 0] = -np.inf
    x[4, 0] = -100  # e^-100 / K is a subnormal float
    y = ops.softmax(x)
    np.testing.assert_allclose(y, references.softmax(x), rtol=1e-5, atol=1e-44)
    assert y[3, 0] == 0


def test_nan_stays_in_its_row(backend, rng):
    x = normal(rng, 6, 19)
    x[2, 5] = np.nan
    y = ops.softmax(x)
    np.testing.assert_array_equal(np.isnan(y).any(1), np.arange(6) == 2)
    assert np.isnan(y[2]).all()
    dx = ops.softmax_backward(np.ones_like(y), y)
    np.testing.assert_array_equal(np.isnan(dx).any(1), np.arange(6) == 2)


def test_in_place(backend, rng):
    x, dy = normal(rng, 9, 19), normal(rng, 9, 19)
    y, dx = tensor(x.copy()), tensor(dy.copy())
    _core.softmax(y, y=y)
    np.testing.assert_array_equal(y.numpy(), ops.softmax(x))
    _core.softmax_backward(dx, y, dx=dx)
    np.testing.assert_array_equal(dx.numpy(), ops.softmax_backward(dy, y.numpy()))


def test_errors():
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"^\[softmax\] x has shape \(3,\), expected 2 dimensions: \(N, K\)"):
        ops.softmax(x[0])
    with pytest.raises(ValueError, match=r"^\[softmax_backward\] dy has shape \(3, 2\), expected \(2, 3\)"):
        ops.softmax_backward(x.reshape(3, 2), x)
