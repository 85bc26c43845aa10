import numpy as np
import pytest
from checks import normal, tensor

from pyconv import _core, ops


@pytest.mark.parametrize("size", [0, 1, 3, 15, 16, 17, 33, 1000, 40_001])
def test_forward(backend, rng, size):
    a, b = normal(rng, size), normal(rng, size)
    np.testing.assert_array_equal(ops.add(a, b), a + b)


@pytest.mark.parametrize("out", ["a", "b"])
def test_in_place(backend, rng, out):
    arrays = {"a": normal(rng, 37), "b": normal(rng, 37)}
    tensors = {name: tensor(array.copy()) for name, array in arrays.items()}
    _core.add(**tensors, y=tensors[out])
    np.testing.assert_array_equal(tensors[out].numpy(), arrays["a"] + arrays["b"])


def test_an_array_with_itself(backend, rng):
    a = normal(rng, 3, 7)
    np.testing.assert_array_equal(ops.add(a, a), 2 * a)


def test_nan_passes_through(backend):
    a, b = np.float32([np.nan, 1, np.inf, np.inf] * 9), np.float32([1, np.nan, 1, -np.inf] * 9)
    np.testing.assert_array_equal(ops.add(a, b), np.float32([np.nan, np.nan, np.inf, np.nan] * 9))


def test_errors():
    a = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"^\[add\] b has shape \(3, 2\), expected \(2, 3\)"):
        ops.add(a, a.reshape(3, 2))
    with pytest.raises(ValueError, match=r"^\[add\] b has shape \(3,\), expected \(2, 3\)"):
        ops.add(a, a[0])  # no broadcasting
