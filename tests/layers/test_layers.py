"""Each layer: shapes, parameters, defaults and meanings are Keras'; configs go to JSON and back."""

import json

import numpy as np
import pytest

from pyconv import layers, ops
from pyconv.regularizers import l2
from pyconv.serialization import deserialize, serialize


def image(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("layer", "input_shape", "output_shape", "parameters"),
    [
        (layers.Conv2D(8, 3), (9, 7, 3), (7, 5, 8), {"kernel": (3, 3, 3, 8), "bias": (8,)}),
        (layers.Conv2D(8, 3, padding="same", strides=2), (9, 8, 3), (5, 4, 8), None),
        (layers.Conv2D(8, (1, 3), use_bias=False, groups=2), (4, 4, 6), (4, 2, 8), {"kernel": (1, 3, 3, 8)}),
        (layers.Conv2D(2, 3, dilation_rate=2, padding=((2, 1), (0, 3))), (5, 5, 1), (4, 4, 2), None),
        (layers.Dense(4), (5,), (4,), {"kernel": (5, 4), "bias": (4,)}),
        (layers.MaxPooling2D(), (7, 6, 2), (3, 3, 2), {}),
        (layers.MaxPooling2D(3, strides=2, padding="same"), (7, 6, 2), (4, 3, 2), {}),
        (layers.AveragePooling2D((1, 2)), (7, 6, 2), (7, 3, 2), {}),
        (layers.GlobalAveragePooling2D(), (7, 6, 2), (2,), {}),
        (layers.Flatten(), (7, 6, 2), (84,), {}),
        (layers.Activation("relu"), (7, 6, 2), (7, 6, 2), {}),
        (layers.Softmax(), (6,), (6,), {}),
        (layers.Dropout(0.5), (6,), (6,), {}),
        (
            layers.BatchNormalization(),
            (4, 4, 3),
            (4, 4, 3),
            {"gamma": (3,), "beta": (3,), "moving_mean": (3,), "moving_variance": (3,)},
        ),
        (layers.Normalization(), (4, 4, 3), (4, 4, 3), {"mean": (3,), "variance": (3,)}),
        (layers.Residual([layers.ReLU()]), (4, 4, 3), (4, 4, 3), {}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else "",
)
def test_shapes_and_parameters(layer, input_shape, output_shape, parameters, rng):
    layer.ensure_built(input_shape)
    assert tuple(layer.output_shape(input_shape)) == output_shape
    y = layer(image(rng, 2, *input_shape))
    assert y.shape == (2, *output_shape)
    if parameters is not None:
        assert {p.name: p.shape for p in layer.parameters} == parameters

    text = json.dumps(serialize(layer))
    again = deserialize(json.loads(text))
    again.ensure_built(input_shape)
    assert json.dumps(serialize(again)) == json.dumps(serialize(layer))
    again.set_weights(layer.get_weights())
    x = image(rng, 2, *input_shape)
    np.testing.assert_array_equal(again(x), layer(x))


def test_conv2d_is_the_op_with_its_parameters(rng):
    layer = layers.Conv2D(5, 3, strides=2, padding="same", activation="relu", kernel_regularizer=l2(0.1))
    x = image(rng, 2, 7, 7, 3)
    y = layer(x)
    kernel, bias = layer.get_weights()
    np.testing.assert_array_equal(y, ops.relu(ops.conv2d(x, kernel, bias, stride=2, padding="same")))
    assert layer.kernel.l2 == 0.1
    assert layer.bias.l2 == 0


def test_initial_weights_depend_on_seed_and_place_alone():
    def kernel(seed, place):
        layer = layers.Conv2D(4, 3)
        layer.ensure_built((5, 5, 3), seed=seed, place=place)
        return layer.kernel.numpy()

    np.testing.assert_array_equal(kernel(1, 2), kernel(1, 2))
    assert not np.array_equal(kernel(1, 2), kernel(2, 2))
    assert not np.array_equal(kernel(1, 2), kernel(1, 3))
    limit = np.sqrt(6 / (27 + 36))  # Glorot's: fans of 3x3x3 and 3x3x4
    assert np.abs(kernel(1, 2)).max() <= limit


def test_batch_normalization_trains_on_the_batch_and_predicts_by_moving_statistics(rng):
    layer = layers.BatchNormalization(momentum=0.9, epsilon=1e-3)
    x = 3 + 2 * image(rng, 16, 4, 4, 5)
    y = layer(x, training=True)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-3), atol=2e-5)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * variance, rtol=1e-5)
    moving_mean, moving_variance = (p.numpy().copy() for p in layer.parameters[2:])
    expected = (x - moving_mean) / np.sqrt(moving_variance + 1e-3)
    np.testing.assert_allclose(layer(x), expected, atol=2e-5)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), moving_mean)

    layer.trainable = False
    np.testing.assert_allclose(layer(x, training=True), expected, atol=2e-5)


def test_normalization_learns_its_statistics_and_takes_uint8(rng):
    x = rng.integers(0, 256, (50, 6, 6, 3)).astype(np.uint8)
    layer = layers.Normalization()
    layer.adapt(x)
    y = layer(x)
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-5)
    np.testing.assert_allclose(layer(x.astype(np.float32)), y, atol=1e-6)

    with pytest.raises(ValueError, match="expected mean and variance, or neither"):
        layers.Normalization(mean=1.0)
    with pytest.raises(ValueError, match="x is empty"):
        layers.Normalization().adapt(x[:0])


def test_residual_adds_its_branches(rng):
    main, other = layers.Conv2D(4, 3, padding="same"), layers.Conv2D(4, 1)
    layer = layers.Residual([main, layers.ReLU()], shortcut=[other])
    x = image(rng, 2, 5, 5, 3)
    y = layer(x)
    np.testing.assert_array_equal(y, ops.relu(main(x)) + other(x))
    assert [p.name for p in layer.all_parameters] == ["kernel", "bias", "kernel", "bias"]
    with pytest.raises(ValueError, match=r"layers give shape \(3, 3, 4\) and the shortcut \(5, 5, 3\)"):
        layers.Residual([layers.Conv2D(4, 3)])(x)


def test_dropout_is_for_training_only(rng):
    layer = layers.Dropout(0.25)
    x = np.ones((64, 100), np.float32)
    np.testing.assert_array_equal(layer(x), x)
    y = layer(x, training=True)
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert 0.2 < (y == 0).mean() < 0.3
    with pytest.raises(ValueError, match=r"\[Dropout\] rate is 1.0, expected a number in \[0, 1\)"):
        layers.Dropout(1.0)


def test_parameters_show_read_only_and_assign_writes():
    layer = layers.Dense(2)
    layer.ensure_built((3,))
    with pytest.raises(ValueError, match="read-only"):
        layer.kernel.numpy()[0, 0] = 1
    version = layer.kernel.version
    layer.kernel.assign(np.ones((3, 2)))
    assert layer.kernel.version == version + 1
    assert (np.asarray(layer.kernel) == 1).all()
    with pytest.raises(ValueError, match=r"kernel has shape \(3, 2\), the value has \(2, 3\)"):
        layer.kernel.assign(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"\[set_weights\] dense has 2 weights, got 1"):
        layer.set_weights([np.ones((3, 2))])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: layers.Dense(3)(np.ones((2, 4, 4, 3), np.float32)),
            r"\[dense\] input has shape \(4, 4, 3\)",
        ),
        (
            lambda: layers.Conv2D(3, 5)(np.ones((2, 4, 4, 3), np.float32)),
            r"\[conv2d\] the kernel spans 5 x 5",
        ),
        (lambda: layers.Conv2D(3, 3)(np.ones((2, 4), np.float32)), r"\[conv2d\] input has shape \(4,\)"),
        (lambda: layers.Activation("swish"), r"\[Activation\] activation is 'swish', expected one of relu"),
        (lambda: layers.Dense(3, activation="tanh"), r"\[Dense\] activation is 'tanh', expected one of"),
        (lambda: layers.Conv2D(4, 3, groups=2)(np.ones((1, 5, 5, 3), np.float32)), "groups is 2"),
    ],
)
def test_errors_name_the_layer(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_layer_keeps_its_input_shape(rng):
    layer = layers.Dense(3)
    layer(image(rng, 2, 4))
    with pytest.raises(ValueError, match=r"\[dense\] built for inputs of shape \(4,\), got \(5,\)"):
        layer(image(rng, 2, 5))
