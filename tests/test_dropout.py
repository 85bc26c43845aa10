import numpy as np
import pytest
import references
from checks import assert_close, normal, tensor

from pyconv import _core, ops

KEY = {"seed": 2**40 + 12345, "epoch": 3, "step": 7}


def mask(size, rate, *, purpose, **key):
    return references.dropout_mask(size, rate, purpose=_core.PHILOX_DROPOUT + purpose, **{**KEY, **key})


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 63, 64, 65, 1000, 40_001])
def test_forward(backend, rng, size, rate):
    """The mask is Philox's, element by element, at any size."""
    x = normal(rng, size)
    y = ops.dropout(x, rate, purpose=5, **KEY)
    assert_close(y, np.where(mask(size, rate, purpose=5), x / (1 - float(np.float32(rate))), 0))


def test_shape_is_kept_and_does_not_matter(backend, rng):
    x = normal(rng, 2, 3, 5, 7)
    y = ops.dropout(x, 0.5, **KEY)
    np.testing.assert_array_equal(y.reshape(-1), ops.dropout(x.reshape(-1), 0.5, **KEY))


@pytest.mark.parametrize("change", [{"seed": 1}, {"seed": 12345}, {"epoch": 4}, {"step": 8}, {"purpose": 1}])
def test_every_part_of_the_key_counts(backend, change):
    x = np.ones(1000, np.float32)
    assert (ops.dropout(x, 0.5, **KEY) != ops.dropout(x, 0.5, **{**KEY, **change})).mean() > 0.4


def test_it_is_its_own_gradient(backend, rng):
    """By central differences of the op itself, which is linear."""
    x, dy = normal(rng, 50), normal(rng, 50)
    numeric = [(ops.dropout(np.eye(50, dtype=np.float32)[i], 0.3, **KEY) * dy).sum() for i in range(50)]
    np.testing.assert_allclose(ops.dropout(dy, 0.3, **KEY), numeric, rtol=1e-6)
    assert_close(ops.dropout(x, 0.0, **KEY), x)


def test_a_dropped_nan_passes_through(backend):
    assert np.isnan(ops.dropout(np.full(200, np.nan, np.float32), 0.5, **KEY)).all()


def test_rate_is_met(backend):
    kept = ops.dropout(np.ones(100_000, np.float32), 0.3, **KEY) > 0
    assert abs(kept.mean() - 0.7) < 4 * np.sqrt(0.3 * 0.7 / 100_000)


def test_in_place(backend, rng):
    x, state = normal(rng, 101), tensor(np.array([12345, 256, 3, 7], np.uint32))
    y = tensor(x.copy())
    _core.dropout(y, state, rate=0.5, y=y)
    np.testing.assert_array_equal(y.numpy(), ops.dropout(x, 0.5, **KEY))


def test_errors():
    x = np.zeros(3, np.float32)
    for rate in (-0.1, 1.0, np.nan):
        with pytest.raises(
            ValueError, match=rf"^\[dropout\] rate is {rate:g}, expected at least 0 and below 1"
        ):
            ops.dropout(x, rate, seed=0)
    with pytest.raises(TypeError, match=r"^\[dropout\] rng has dtype int32, expected uint32"):
        _core.dropout(tensor(x), _core.empty((4,), "int32"), rate=0.5)
    with pytest.raises(ValueError, match=r"^\[dropout\] rng has shape \(2,\), expected \(4,\)"):
        _core.dropout(tensor(x), _core.empty((2,), "uint32"), rate=0.5)
