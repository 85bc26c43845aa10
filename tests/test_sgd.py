import numpy as np
import pytest
import references
from checks import assert_close, normal, tensor

from pyconv import _core, ops

SIZES = [0, 1, 15, 16, 17, 33, 1000, 40_001]


@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_momentum(backend, rng, size, nesterov, l2):
    a = {name: normal(rng, size) for name in ("dweight", "weight", "velocity")}
    keywords = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": nesterov, "l2": l2}
    for result, reference in zip(ops.sgd(**a, **keywords), references.sgd(**a, **keywords), strict=True):
        assert_close(result, reference)


@pytest.mark.parametrize("size", SIZES)
def test_without_momentum(backend, rng, size):
    dweight, weight = normal(rng, size), normal(rng, size)
    expected, _ = references.sgd(dweight, weight, np.zeros(size), learning_rate=0.1, l2=0.1)
    out, hyper = tensor(weight.copy()), tensor(np.float32([0.1, 0, 0, 0]))
    _core.sgd(tensor(dweight), out, None, hyper, l2=0.1)
    assert_close(out, expected)


def test_by_hand(backend):
    g, weight, velocity = np.float32([2]), np.float32([1]), np.float32([0.5])
    keywords = {"learning_rate": 0.25, "momentum": 0.5}
    weight_1, velocity_1 = ops.sgd(g, weight, velocity, **keywords)
    assert (velocity_1, weight_1) == (0.25 - 0.5, 0.75)
    weight_1, velocity_1 = ops.sgd(g, weight, velocity, **keywords, nesterov=True)
    assert (velocity_1, weight_1) == (-0.25, 1 + 0.5 * -0.25 - 0.5)


@pytest.mark.parametrize("guard", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_destroys_nothing(backend, rng, guard):
    arrays = [normal(rng, 37) for _ in range(3)]
    dweight, weight, velocity = (tensor(a.copy()) for a in arrays)
    hyper = tensor(np.float32([0.1, 0.9, 0, 0]))
    for state in (velocity, None):
        _core.sgd(dweight, weight, state, hyper, guard=tensor(np.array([guard])))
    np.testing.assert_array_equal(weight.numpy(), arrays[1])
    np.testing.assert_array_equal(velocity.numpy(), arrays[2])


def test_errors():
    a = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"^\[sgd\] weight has shape \(2,\), expected \(3,\)"):
        ops.sgd(a, a[:2], a, learning_rate=0.1, momentum=0.9)
    with pytest.raises(ValueError, match=r"^\[sgd\] velocity has shape \(2,\), expected \(3,\)"):
        ops.sgd(a, a, a[:2], learning_rate=0.1, momentum=0.9)
