import numpy as np
import pytest
import references
from checks import assert_close, normal, tensor

from pyconv import _core, ops

SIZES = [0, 1, 15, 16, 17, 33, 1000, 40_001]
RATES = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}


def arrays(rng, *shape):
    return {
        "dweight": normal(rng, *shape),
        "weight": normal(rng, *shape),
        "m": 0.1 * normal(rng, *shape),
        "v": 0.1 * normal(rng, *shape) ** 2,
    }


@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("size", SIZES)
def test_step(backend, rng, size, l2):
    a, step = arrays(rng, size), 3
    results = ops.adam(**a, **RATES, step=step, l2=l2)
    alpha = 0.01 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    expected = references.adam(**a, alpha=alpha, beta_1=0.9, beta_2=0.999, epsilon=1e-7, l2=l2)
    for result, reference in zip(results, expected, strict=True):
        assert_close(result, reference)


def test_the_first_step_is_the_learning_rate(backend):
    """By hand: m / sqrt(v) is the gradient's sign, whatever its size."""
    g = np.float32([1e-3, -5, 1e3, 0])
    zeros = np.zeros(4, np.float32)
    weight, m, v = ops.adam(g, zeros, zeros, zeros, **{**RATES, "epsilon": 1e-12}, step=1)
    np.testing.assert_allclose(weight, [-0.01, 0.01, -0.01, 0], rtol=1e-5)
    np.testing.assert_allclose(m, 0.1 * g, rtol=1e-6)
    np.testing.assert_allclose(v, 0.001 * g * g, rtol=1e-4)


def in_place(rng):
    t = {name: tensor(a) for name, a in arrays(rng, 3, 7).items()}
    return t, {name: x.numpy().copy() for name, x in t.items()}, tensor(np.float32([0.01, 0.9, 0.999, 1e-7]))


def test_in_place(backend, rng):
    t, before, hyper = in_place(rng)
    _core.adam(*t.values(), hyper, l2=0.1, guard=tensor(np.array([3.0])))
    expected = references.adam(**before, alpha=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-7, l2=0.1)
    for name, reference in zip(("weight", "m", "v"), expected, strict=True):
        assert_close(t[name], reference)


@pytest.mark.parametrize("guard", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_destroys_nothing(backend, rng, guard):
    t, before, hyper = in_place(rng)
    _core.adam(*t.values(), hyper, guard=tensor(np.array([guard])))
    for name, x in t.items():
        np.testing.assert_array_equal(x.numpy(), before[name])


def test_errors(rng):
    t, _, hyper = in_place(rng)
    with pytest.raises(ValueError, match=r"^\[adam\] m has shape \(2,\), expected \(3, 7\)"):
        _core.adam(t["dweight"], t["weight"], _core.empty((2,)), t["v"], hyper)
    with pytest.raises(ValueError, match=r"^\[adam\] hyper has shape \(2,\), expected \(4,\)"):
        _core.adam(*t.values(), _core.empty((2,)))
    with pytest.raises(TypeError, match=r"^\[adam\] guard has dtype float32, expected float64"):
        _core.adam(*t.values(), hyper, guard=_core.empty((1,)))
    with pytest.raises(ValueError, match=r"^\[adam\] weight is read-only, expected memory to write to"):
        _core.adam(t["dweight"], t["weight"].as_read_only(), t["m"], t["v"], hyper)
