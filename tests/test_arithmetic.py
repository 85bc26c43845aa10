import numpy as np
import pytest
from checks import normal, tensor

from pyconv import _core, ops

OF_TWO = {"add": np.add, "multiply": np.multiply, "divide": np.divide}
SIZES = [0, 1, 3, 15, 16, 17, 33, 1000, 40_001]


@pytest.mark.parametrize("name", OF_TWO)
@pytest.mark.parametrize("size", SIZES)
def test_two_arrays(backend, rng, size, name):
    a, b = normal(rng, size), normal(rng, size)
    np.testing.assert_array_equal(getattr(ops, name)(a, b), OF_TWO[name](a, b))


@pytest.mark.parametrize("name", OF_TWO)
@pytest.mark.parametrize("out", ["a", "b"])
def test_in_place(backend, rng, out, name):
    arrays = {"a": normal(rng, 37), "b": normal(rng, 37)}
    tensors = {name: tensor(array.copy()) for name, array in arrays.items()}
    getattr(_core, name)(**tensors, y=tensors[out])
    np.testing.assert_array_equal(tensors[out].numpy(), OF_TWO[name](*arrays.values()))


def test_an_array_with_itself(backend, rng):
    a = normal(rng, 3, 7)
    np.testing.assert_array_equal(ops.add(a, a), 2 * a)
    np.testing.assert_array_equal(ops.multiply(a, a), a * a)
    np.testing.assert_array_equal(ops.divide(a, a), np.ones_like(a))


def test_nan_and_infinities(backend):
    a, b = np.float32([np.nan, 1, np.inf, np.inf, 1, 0] * 9), np.float32([1, np.nan, 1, -np.inf, 0, 0] * 9)
    with np.errstate(all="ignore"):
        for name, function in OF_TWO.items():
            np.testing.assert_array_equal(getattr(ops, name)(a, b), function(a, b))


@pytest.mark.parametrize("size", SIZES)
def test_rescale(backend, rng, size):
    x = normal(rng, size)
    expected = np.float64(2.5) * x - 0.75
    np.testing.assert_allclose(ops.rescale(x, 2.5, -0.75), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(ops.rescale(x, -1), -x)
    np.testing.assert_array_equal(
        ops.rescale(np.float32([np.nan, np.inf, -np.inf]), 2, 1), [np.nan, np.inf, -np.inf]
    )


@pytest.mark.parametrize("size", SIZES)
def test_exp_and_log(backend, rng, size):
    x = 20 * normal(rng, size)
    np.testing.assert_allclose(ops.exp(x), np.exp(x.astype(np.float64)), rtol=3e-7)
    x = np.exp(x)
    np.testing.assert_allclose(ops.log(x), np.log(x.astype(np.float64)), rtol=2e-7, atol=2e-7)


def test_ends_of_exp_and_log(backend):
    x = np.resize(np.float32([np.nan, np.inf, -np.inf, 0, -200, 200]), 40)
    np.testing.assert_array_equal(ops.exp(x), np.resize(np.float32([np.nan, np.inf, 0, 1, 0, np.inf]), 40))
    x = np.resize(np.float32([np.nan, np.inf, 0, 1, -1]), 40)
    np.testing.assert_array_equal(ops.log(x), np.resize(np.float32([np.nan, np.inf, -np.inf, 0, np.nan]), 40))


@pytest.mark.parametrize(
    ("name", "options"), [("rescale", {"scale": 3, "offset": 1}), ("exp", {}), ("log", {})]
)
def test_one_array_in_place(backend, rng, name, options):
    x = np.abs(normal(rng, 37))
    y = tensor(x.copy())
    getattr(_core, name)(y, **options, y=y)
    np.testing.assert_array_equal(y.numpy(), getattr(ops, name)(x, **options))


def test_errors():
    a = np.zeros((2, 3), np.float32)
    for name in OF_TWO:
        with pytest.raises(ValueError, match=rf"^\[{name}\] b has shape \(3, 2\), expected \(2, 3\)"):
            getattr(ops, name)(a, a.reshape(3, 2))
        with pytest.raises(ValueError, match=rf"^\[{name}\] b has shape \(3,\), expected \(2, 3\)"):
            getattr(ops, name)(a, a[0])  # no broadcasting
    with pytest.raises(ValueError, match=r"^\[rescale\] offset is nan, expected"):
        ops.rescale(a, 1, float("nan"))
