import numpy as np
import pytest
from checks import EPSILON, normal, tensor

from pyconv import _core, ops

SIZES = [0, 1, 3, 15, 16, 17, 33, 1000, 40_001, 300_007]


@pytest.mark.parametrize("size", SIZES)
def test_values(backend, rng, size):
    x = normal(rng, size)
    tolerance = 4 * EPSILON * np.sqrt(max(size, 1))
    assert ops.sum(x) == pytest.approx(x.sum(dtype=np.float64), rel=0, abs=tolerance)
    assert ops.sum_of_squares(x) == pytest.approx((x.astype(np.float64) ** 2).sum(), rel=1e-6)


def test_any_shape(backend, rng):
    x = normal(rng, 3, 4, 5)
    assert ops.sum(x) == ops.sum(x.reshape(-1))


@pytest.mark.parametrize("op", ["sum", "sum_of_squares"])
def test_scale_and_accumulation(backend, op):
    """A recorded program adds several terms to one total: the data loss and each layer's regularisation."""
    x = tensor(np.float32([1, 2, 3]))
    value = {"sum": 6, "sum_of_squares": 14}[op]
    total = tensor(np.array([100.0]))
    assert getattr(_core, op)(x, scale=0.5, total=total).numpy() == 100 + value / 2
    assert getattr(_core, op)(x, scale=0.5, total=total).numpy() == 100 + value
    assert getattr(_core, op)(x).numpy() == value


def test_totals_are_doubles(backend):
    x = np.full(2**21, 16.0, np.float32)
    x[-1] = 1
    assert ops.sum(x) == 16 * (2**21 - 1) + 1  # beyond what a float32 can count
    assert ops.sum_of_squares(x) == 256 * (2**21 - 1) + 1


def test_not_finite(backend):
    x = np.zeros(1000, np.float32)
    x[777] = np.nan
    assert np.isnan(ops.sum(x))
    assert np.isnan(ops.sum_of_squares(x))
    x[777] = np.inf
    assert ops.sum(x) == np.inf


def test_errors():
    x = tensor(np.zeros(3, np.float32))
    with pytest.raises(TypeError, match=r"^\[sum\] total has dtype float32, expected float64"):
        _core.sum(x, total=_core.empty((1,)))
    with pytest.raises(ValueError, match=r"^\[sum_of_squares\] total has shape \(2,\), expected \(1,\)"):
        _core.sum_of_squares(x, total=_core.empty((2,), "float64"))
