import numpy as np
import pytest
import references
from checks import check_gradient, normal, tensor

from pyconv import _core, ops
from pyconv.layers import GELU, Activation, Conv2D, Dense, Flatten
from pyconv.models import Sequential

FORMS = [False, True]


def assert_few_ulps(actual, expected, x):
    """Compare: each value to a few ulps of itself, or of the 1 that gradients are near; less far out, where
    exp(-x^2 / 2) makes much of x's last bit."""
    tolerance = np.finfo(np.float32).eps * (4 + x.astype(np.float64) ** 2)
    assert (np.abs(actual - expected) <= tolerance * np.abs(expected) + 1e-44).all()


@pytest.mark.parametrize("approximate", FORMS)
@pytest.mark.parametrize("size", [0, 1, 3, 16, 17, 1000, 40_001])
def test_forward_and_backward(backend, rng, size, approximate):
    x, dy = 3 * normal(rng, size), normal(rng, size)
    assert_few_ulps(ops.gelu(x, approximate), references.gelu(x, approximate), x)
    dx = references.gelu_backward(dy, x, approximate)
    actual = ops.gelu_backward(dy, x, approximate)
    np.testing.assert_allclose(actual, dx, rtol=0, atol=1e-6 * max(1, np.abs(dy).max(initial=0)))


@pytest.mark.parametrize("approximate", FORMS)
def test_every_digit_of_the_tails(backend, approximate):
    """Where exp(-x^2 / 2) is a normal number, both forms keep their relative accuracy."""
    x = np.linspace(-8, 20, 30_001, dtype=np.float32)
    assert_few_ulps(ops.gelu(x, approximate), references.gelu(x, approximate), x)


@pytest.mark.parametrize("approximate", FORMS)
def test_nan_infinities_and_large_values(backend, approximate):
    x = np.resize(np.float32([np.nan, np.inf, -np.inf, 3e38, -3e38, 100, -100, 0]), 40)
    expected = np.resize(np.float32([np.nan, np.inf, 0, 3e38, 0, 100, 0, 0]), 40)
    np.testing.assert_array_equal(ops.gelu(x, approximate), expected)
    expected = np.resize(np.float32([np.nan, 1, 0, 1, 0, 1, 0, 0.5]), 40)
    np.testing.assert_array_equal(ops.gelu_backward(np.ones_like(x), x, approximate), expected)


@pytest.mark.parametrize("approximate", FORMS)
def test_the_references_gradient(rng, approximate):
    x, dy = rng.normal(0, 2, 30), rng.normal(0, 1, 30)
    gradient = references.gelu_backward(dy, x, approximate)
    check_gradient(lambda v: (dy * references.gelu(v, approximate)).sum(), x, gradient)


def test_in_place(backend, rng):
    x, dy = normal(rng, 5, 7), normal(rng, 5, 7)
    y, dx = tensor(x.copy()), tensor(dy.copy())
    _core.gelu(y, y=y)
    _core.gelu_backward(dx, tensor(x), dx=dx)
    np.testing.assert_array_equal(y.numpy(), ops.gelu(x))
    np.testing.assert_array_equal(dx.numpy(), ops.gelu_backward(dy, x))


def test_layer_and_activation(backend, rng):
    x = normal(rng, 4, 6, 6, 3)
    activations = [
        (lambda: [Conv2D(5, 3, activation="gelu")], False),
        (lambda: [Conv2D(5, 3), Activation("gelu")], False),
        (lambda: [Conv2D(5, 3), GELU(approximate=True)], True),
    ]
    for layers, approximate in activations:
        model = Sequential([*layers(), Flatten(), Dense(2, activation="softmax")])
        model.build((6, 6, 3))
        kernel, bias, dense, dense_bias = model.get_weights()
        y = references.gelu(references.conv2d(x, kernel, bias), approximate).reshape(4, -1)
        expected = references.softmax(y @ dense + dense_bias)
        np.testing.assert_allclose(model.predict(x), expected, rtol=0, atol=2e-3)
        model.compile("sgd", "sparse_categorical_crossentropy")
        history = model.fit(x, np.array([0, 1, 0, 1]), epochs=3, verbose=0)
        assert history.history["loss"][-1] < history.history["loss"][0]


def test_errors():
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(TypeError, match=r"^\[gelu\] approximate is 'tanh', expected True or False"):
        ops.gelu(x, "tanh")
    with pytest.raises(TypeError, match=r"^\[gelu\] x has dtype int32, expected float32"):
        _core.gelu(tensor(x.astype(np.int32)))
    with pytest.raises(ValueError, match=r"^\[gelu_backward\] dy has shape \(3, 2\), expected \(2, 3\)"):
        ops.gelu_backward(x.reshape(3, 2), x)
