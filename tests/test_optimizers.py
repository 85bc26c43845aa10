import numpy as np
import pytest

from pyconv import _core, optimizers, schedules
from pyconv.serialization import deserialize, serialize

STEPS = 6


def reference_adam(w, gradients, l2, rate, b1=0.9, b2=0.999, epsilon=1e-7):
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, gradient in enumerate(gradients, 1):
        g = gradient + 2 * l2 * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        w = w - rate(t - 1) * np.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(v) + epsilon)
    return w, {"m": m, "v": v}


def reference_sgd(w, gradients, l2, rate, momentum, nesterov):
    velocity = np.zeros_like(w)
    for t, gradient in enumerate(gradients):
        g = gradient + 2 * l2 * w
        velocity = momentum * velocity - rate(t) * g
        w = w + (momentum * velocity - rate(t) * g if nesterov else velocity)
    return w, {"velocity": velocity} if momentum else {}


def run(optimizer, weight, gradients, l2, guard=None):
    """Take steps as training does; return the weight and the slots as arrays."""
    tensor = _core.from_numpy(weight.astype(np.float32))
    slots = {name: _core.from_numpy(np.zeros(weight.shape, np.float32)) for name in optimizer.slots}
    for gradient in gradients:
        hyper = _core.from_numpy(optimizer.hyper())
        dweight = _core.from_numpy(gradient.astype(np.float32))
        optimizer.update(dweight, tensor, slots, hyper, l2=l2, guard=guard)
        optimizer.iterations += 1
    return tensor.numpy(), {name: slot.numpy() for name, slot in slots.items()}


def problem():
    rng = np.random.default_rng(0)
    return rng.standard_normal((5, 37)), rng.standard_normal((STEPS, 5, 37))


def check(got, expected):
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-5, atol=1e-6)
    assert got[1].keys() == expected[1].keys()
    for name, slot in expected[1].items():
        np.testing.assert_allclose(got[1][name], slot, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("l2", [0.0, 0.05])
@pytest.mark.parametrize("rate", [0.01, schedules.CosineDecay(0.02, STEPS)], ids=["constant", "cosine"])
def test_adam_follows_its_formula(backend, l2, rate):
    weight, gradients = problem()
    optimizer = optimizers.Adam(rate, beta_1=0.8, beta_2=0.99)
    schedule = rate if callable(rate) else schedules.ConstantRate(rate)
    check(run(optimizer, weight, gradients, l2), reference_adam(weight, gradients, l2, schedule, 0.8, 0.99))


@pytest.mark.parametrize("l2", [0.0, 0.05])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_follows_its_formula(backend, l2, momentum, nesterov):
    weight, gradients = problem()
    optimizer = optimizers.SGD(0.1, momentum, nesterov)
    expected = reference_sgd(weight, gradients, l2, schedules.ConstantRate(0.1), momentum, nesterov)
    check(run(optimizer, weight, gradients, l2), expected)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_a_loss_that_is_nan_moves_nothing(backend, name):
    weight, gradients = problem()
    guard = _core.from_numpy(np.array([np.nan]))
    got, slots = run(optimizers.get(name), weight, gradients, 0.1, guard)
    assert np.array_equal(got, weight.astype(np.float32))
    assert all((slot == 0).all() for slot in slots.values())


def test_hyper():
    adam = optimizers.Adam(0.01)
    for step in (1, 2, 1000):
        adam.iterations = step - 1
        alpha = 0.01 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        np.testing.assert_array_equal(adam.hyper(), np.array([alpha, 0.9, 0.999, 1e-7], np.float32))
    np.testing.assert_array_equal(optimizers.SGD(0.1, 0.9).hyper(), np.array([0.1, 0.9, 0, 0], np.float32))


def test_learning_rate_can_be_set_unless_it_follows_a_schedule():
    adam = optimizers.Adam()
    assert adam.learning_rate == 0.001
    adam.learning_rate = 0.5
    assert adam.learning_rate == 0.5
    adam.learning_rate = schedules.CosineDecay(1.0, 10)
    adam.iterations = 5
    assert adam.learning_rate == pytest.approx(0.5)
    with pytest.raises(
        TypeError, match=r"\[Adam\] learning_rate follows CosineDecay\(.*cannot be set to 0.1"
    ):
        adam.learning_rate = 0.1


@pytest.mark.parametrize("rate", [0.25, schedules.OneCycle(0.1, 50)], ids=["number", "schedule"])
def test_state_round_trip(rate):
    optimizer = optimizers.SGD(rate, momentum=0.9)
    optimizer.iterations = 17
    other = optimizers.SGD(rate if callable(rate) else 0.5, momentum=0.9)
    other.set_state(optimizer.get_state())
    assert other.iterations == 17
    assert other.learning_rate == optimizer.learning_rate


def test_config_round_trip():
    adam = deserialize(serialize(optimizers.Adam(schedules.OneCycle(0.1, 50), beta_1=0.5)))
    assert repr(adam) == repr(optimizers.Adam(schedules.OneCycle(0.1, 50), beta_1=0.5))
    sgd = deserialize(serialize(optimizers.SGD(0.2, momentum=0.9, nesterov=True)))
    assert (sgd.learning_rate, sgd.momentum, sgd.nesterov, sgd.slots) == (0.2, 0.9, True, ("velocity",))
    assert optimizers.SGD().slots == ()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: optimizers.Adam(-1), r"\[Adam\] learning_rate is -1, expected a number of at least 0"),
        (lambda: optimizers.Adam(beta_1=1.0), r"\[Adam\] beta_1 is 1.0, expected a number in \[0, 1\)"),
        (lambda: optimizers.Adam(epsilon=0), r"\[Adam\] epsilon is 0, expected a number greater than 0"),
        (lambda: optimizers.SGD(momentum=2), r"\[SGD\] momentum is 2, expected a number in \[0, 1\]"),
        (
            lambda: optimizers.get("adamw"),
            r"\[optimizer\] unknown optimizer 'adamw', expected one of adam, sgd",
        ),
        (lambda: optimizers.get(None), "expected one of adam, sgd"),
    ],
)
def test_refuses(build, message):
    with pytest.raises(ValueError, match=message):
        build()
