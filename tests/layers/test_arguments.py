"""What the constructors of layers refuse, and how they keep what they take."""

import json

import numpy as np
import pytest

from pyconv import Sequential, layers, utils
from pyconv.initializers import Initializer
from pyconv.serialization import serialize

CONV = {"filters": 4, "kernel_size": 3}
INTEGERS = ["32", 32.0, 64 / 2, True, None, np.float32(2), [1], float("nan"), float("inf")]
FLAGS = ["no", "False", None, 2, 0.5, [True]]


def refused(kinds, make, *words):
    with pytest.raises(kinds) as caught:
        make()
    text = str(caught.value)
    assert text.startswith("[")
    assert all(word in text for word in words), text


@pytest.mark.parametrize("value", INTEGERS, ids=repr)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda v: layers.Dense(v), "units"),
        (lambda v: layers.Conv2D(v, 3), "filters"),
        (lambda v: layers.Conv2D(4, 3, groups=v), "groups"),
        (lambda v: layers.Conv2D(4, v), "kernel_size"),
        (lambda v: layers.Conv2D(4, (3, v)), "kernel_size"),
        (lambda v: layers.Conv2D(4, 3, strides=v), "strides"),
        (lambda v: layers.Conv2D(4, 3, dilation_rate=v), "dilation_rate"),
        (lambda v: layers.Conv2D(4, 3, padding=v), "padding"),
        (lambda v: layers.MaxPooling2D(v), "pool_size"),
        (lambda v: layers.AveragePooling2D(2, strides=(v, 2)), "strides"),
        (lambda v: layers.Dense(3, input_shape=(v,)), "input_shape"),
        (lambda v: layers.Input((8, v, 3)), "shape"),
    ],
)
def test_whole_numbers(make, name, value):
    refused((TypeError, ValueError), lambda: make(value), name)


@pytest.mark.parametrize("value", [0, -1, 2**31, 2**64, 10**400], ids=["0", "-1", "2^31", "2^64", "10^400"])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda v: layers.Dense(v), "units"),
        (lambda v: layers.Conv2D(v, 3), "filters"),
        (lambda v: layers.Conv2D(4, (v, 1)), "kernel_size"),
        (lambda v: layers.Conv2D(4, 3, strides=v), "strides"),
        (lambda v: layers.Dense(3, input_shape=(v,)), "input_shape"),
    ],
)
def test_sizes_out_of_range(make, name, value):
    refused(ValueError, lambda: make(value), name, "expected an integer in [1, 2147483647]")


@pytest.mark.parametrize("value", FLAGS, ids=repr)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda v: layers.Dense(3, use_bias=v), "use_bias"),
        (lambda v: layers.Conv2D(3, 3, use_bias=v), "use_bias"),
        (lambda v: layers.BatchNormalization(center=v), "center"),
        (lambda v: layers.BatchNormalization(scale=v), "scale"),
        (lambda v: layers.ReLU()(np.ones((1, 1), np.float32), training=v), "training"),
    ],
)
def test_flags(make, name, value):
    refused(TypeError, lambda: make(value), f"{name} is", "True or False")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.Conv2D(4, (3, 3, 3)), ("[Conv2D] kernel_size is (3, 3, 3)", "(height, width)")),
        (lambda: layers.Conv2D(4, [3]), ("[Conv2D] kernel_size is [3]",)),
        (lambda: layers.Conv2D(4, 3, padding="full"), ("padding is 'full'", '"valid", "same"')),
        (lambda: layers.Conv2D(4, 3, padding=(1, 2, 3)), ("padding is (1, 2, 3)",)),
        (lambda: layers.Conv2D(4, 3, padding=((1, 2), 3)), ("padding is ((1, 2), 3)",)),
        (lambda: layers.Conv2D(4, 3, padding=-1), ("padding is -1",)),
        (lambda: layers.Conv2D(4, 3, groups=3), ("groups is 3, expected a divisor of filters, 4",)),
        (lambda: layers.MaxPooling2D(2, padding=2), ("padding is 2, expected less than pool_size, [2, 2]",)),
        (lambda: layers.Dropout(1), ("rate is 1",)),
        (lambda: layers.Dropout(float("nan")), ("rate is nan",)),
        (lambda: layers.BatchNormalization(momentum=1.5), ("[BatchNormalization] momentum is 1.5",)),
        (lambda: layers.BatchNormalization(epsilon=0), ("[BatchNormalization] epsilon is 0",)),
        (lambda: layers.Dense(3, input_shape=()), ("input_shape is ()",)),
        (lambda: layers.Conv2D(4, 3, input_shape=(None, 8, 8, 3)), ("input_shape", "without the batch")),
        (lambda: layers.Conv2D(4, 3, input_shape=(None, None, 3)), ("input_shape", "without the batch")),
        (lambda: layers.Input((2**20, 2**20, 3)), ("shape is", "expected at most 2,147,483,647")),
        (lambda: layers.Normalization(mean=1), ("variance is None beside mean",)),
        (lambda: layers.Normalization(mean=1, variance=0), ("variance is 0", "greater than 0")),
        (lambda: layers.Normalization(mean=[[1, 2], [1]], variance=1), ("mean is [[1, 2], [1]]",)),
        (lambda: layers.Normalization(mean=np.inf, variance=1), ("mean is inf",)),
        (lambda: layers.Normalization(mean=[], variance=1), ("mean is []",)),
        (lambda: layers.Residual([]), ("layers is empty",)),
        (lambda: layers.Dense(3, name=""), ("name is ''",)),
        (lambda: layers.Dense(3, name="a/b"), ("name is 'a/b', expected text without a slash",)),
    ],
)
def test_values(make, words):
    refused(ValueError, make, *words)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.Dense(3, input_shape=4), ("input_shape is 4, expected sizes without the batch",)),
        (lambda: layers.Dense(3, input_shape="4"), ("input_shape is '4'",)),
        (lambda: layers.Dropout("0.5"), ("rate is '0.5', expected a number in [0, 1)",)),
        (lambda: layers.Dropout(True), ("rate is True",)),
        (lambda: layers.Normalization(mean="a", variance=1), ("mean is 'a'",)),
        (lambda: layers.Activation(None), ("[Activation] activation is None",)),
        (lambda: layers.Activation(layers.ReLU()), ("[Activation] activation is ReLU()",)),
        (lambda: layers.Residual(layers.ReLU()), ("layers is ReLU(), expected a list of layers",)),
        (lambda: layers.Residual(["relu"]), ("layers has a str, expected layers",)),
        (lambda: layers.ReLU(6), ("[ReLU] name is 6",)),
        (lambda: layers.Dense(3, name=["a"]), ("name is ['a']",)),
    ],
)
def test_kinds(make, words):
    refused(TypeError, make, *words)


@pytest.mark.parametrize("padding", ["SAME", "Valid"])
def test_padding_in_any_case(padding):
    assert layers.Conv2D(4, 3, padding=padding).get_config()["padding"] == padding.lower()
    assert layers.MaxPooling2D(padding=padding).padding == padding.lower()


def test_values_are_kept_as_pythons_own():
    layer = layers.Conv2D(
        np.int64(4), np.int32(3), strides=(np.uint8(2), 1), padding=np.int64(1), groups=np.int8(2)
    )
    norm = layers.Normalization(
        np.array([1, 2], np.float32), np.ones(2, np.int64), input_shape=np.array([4, 4, 2])
    )
    dropout = layers.Dropout(np.float32(0.5))
    for thing in (layer, norm, dropout, layers.BatchNormalization(scale=np.False_)):
        json.dumps(serialize(thing))
    assert (layer.kernel_size, layer.strides, layer.padding) == ([3, 3], [2, 1], 1)


def test_strides_and_dilation_go_together(rng):
    x = rng.standard_normal((1, 9, 9, 2)).astype(np.float32)
    both, dilated = (layers.Conv2D(3, 3, strides=s, dilation_rate=2) for s in (2, 1))
    y = dilated(x)
    both.ensure_built((9, 9, 2))
    both.set_weights(dilated.get_weights())
    np.testing.assert_allclose(both(x), y[:, ::2, ::2], atol=1e-5)


def test_too_large_is_refused_before_anything_is_made():
    refused(
        ValueError,
        lambda: Sequential([layers.Dense(2**31 - 1, input_shape=(4,), name="wide")]),
        "[wide] kernel has shape (4, 2147483647), 8,589,934,588 numbers, expected at most 2,147,483,647",
    )
    refused(ValueError, lambda: layers.Conv2D(1, 1, padding=2**30)(np.ones((1, 2, 2, 1), "f")), "[conv2d] ")


def test_a_layer_too_small_is_named():
    refused(
        ValueError,
        lambda: Sequential(
            [
                layers.Conv2D(4, 3, input_shape=(8, 8, 3)),
                layers.MaxPooling2D(2),
                layers.AveragePooling2D(4, name="small"),
            ]
        ),
        "[small] the window spans 4 x 4 pixels, x has only 3 x 3",
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: layers.Residual([layers.ReLU()])([layers.Input((3,)), layers.Input((3,))]),
        lambda: layers.Dense(3)([layers.Input((3,)), np.ones((1, 3))]),
        lambda: layers.Conv2D(3, 3)(Sequential([layers.Input((3,))])),
        lambda: layers.Conv2D(3, 3)(layers.ReLU()),
    ],
)
def test_what_a_layer_is_not_called_on(call):
    refused(TypeError, call, " x ", "expected")


def test_a_layer_takes_lists_and_other_numbers():
    layer = layers.Dense(2, kernel_initializer="ones")
    for x in ([[1, 2]], np.array([[1, 2]]), np.array([[1.0, 2.0]]), np.array([[1, 2]], np.uint8)):
        np.testing.assert_array_equal(layer(x), [[3, 3]])
    refused(ValueError, lambda: layer([[1, 2], [3]]), "[dense] x has rows of different lengths")
    refused(TypeError, lambda: layer([["a", "b"]]), "[dense] x has dtype")
    refused(ValueError, lambda: layer(np.ones(2)), "[dense] x has shape (2,), expected a batch")
    refused(TypeError, lambda: layer(None), "[dense] x is")


def test_activation_layers_with_a_shape_of_their_own_are_refused():
    refused(TypeError, lambda: layers.Dense(3, activation=layers.Dense(4)), "[Dense] activation is Dense(")
    refused(
        ValueError,
        lambda: layers.Conv2D(3, 3, activation="softmax").ensure_built((4, 4, 1)),
        "[conv2d_softmax] input has shape (2, 2, 3), expected (K,)",
    )


def test_an_initializers_result_is_checked():
    class Odd(Initializer):
        def __init__(self, value):
            self.value = value

        def __call__(self, shape, *, seed, purpose):
            return self.value

    for value in (np.ones(3), "text", None, np.ones((2, 3), complex)):
        layer = layers.Dense(3, kernel_initializer=Odd(value))
        refused((TypeError, ValueError), lambda layer=layer: layer.ensure_built((2,)), "[dense] kernel")
        assert not layer.built
        assert layer.parameters == []
    layer = layers.Dense(3, kernel_initializer=Odd(np.ones((2, 3))))
    layer.ensure_built((2,))
    assert layer.kernel.numpy().dtype == np.float32


def test_weights_are_written_whole_or_not_at_all():
    layer = layers.Dense(3)
    layer.ensure_built((2,))
    before = layer.get_weights()
    for weights, kind in [
        ([np.ones((2, 3)), np.ones(4)], ValueError),
        ([np.ones((2, 3)), ["a", "b", "c"]], TypeError),
        ([[[1, 2, 3], [1]], np.ones(3)], ValueError),
        (None, TypeError),
        (np.ones((2, 3)), TypeError),
    ]:
        refused(kind, lambda weights=weights: layer.set_weights(weights), "")
        assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))


# ---- draws of layers called on their own


@pytest.fixture
def seeds(monkeypatch):
    """As `utils.random_seed` gives them: each another one."""
    given = iter(range(100, 200))
    monkeypatch.setattr(utils, "random_seed", lambda: next(given))


def test_dropout_on_its_own_draws_anew():
    layer, x = layers.Dropout(0.5), np.ones((4, 64), np.float32)
    first, second, third = (layer(x, training=True) for _ in range(3))
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)
    assert not np.array_equal(layer(x[:2], training=True), third[:2])  # another plan goes on too


def test_layers_on_their_own_differ(seeds):
    x = np.ones((1, 5, 5, 2), np.float32)
    one, two = layers.Conv2D(3, 3), layers.Conv2D(3, 3)
    assert not np.array_equal(one(x), two(x))
    branches = layers.Residual([layers.Conv2D(2, 1)], [layers.Conv2D(2, 1)])
    branches(x)
    main, other = branches.children
    assert not np.array_equal(main.get_weights()[0], other.get_weights()[0])
    drops = [layers.Dropout(0.5)(np.ones((2, 64), np.float32), training=True) for _ in range(2)]
    assert not np.array_equal(*drops)


def test_a_seed_that_is_given_pins():
    one, two = layers.Dense(3), layers.Dense(3)
    for layer in (one, two):
        layer.ensure_built((4,), seed=5)
    np.testing.assert_array_equal(one.get_weights()[0], two.get_weights()[0])
