"""Receptive fields against what a lit pixel reaches."""

import numpy as np
import pytest

from pyconv import Model, Sequential, inspect
from pyconv.layers import (
    Add,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    Input,
    MaxPooling2D,
    ReLU,
    Residual,
)

SHAPE = (17, 19, 1)


def chain():
    return Sequential(
        [
            Conv2D(2, (3, 5), padding="same", input_shape=SHAPE),
            BatchNormalization(),
            MaxPooling2D(2),
            Conv2D(2, 3, dilation_rate=2, padding=((1, 2), (3, 0))),
            ReLU(),
            AveragePooling2D(3, strides=2, padding="same"),
            Conv2D(2, 2, strides=2, padding="same"),
        ],
        seed=1,
    )


def nested():
    return Sequential(
        [
            Conv2D(2, 3, strides=2, input_shape=SHAPE),
            Residual([Conv2D(2, 3, padding="same"), ReLU(), Conv2D(2, 5, padding="same")], [Conv2D(2, 1)]),
            Conv2D(2, (1, 2)),
        ],
        seed=1,
    )


def graph():
    x = Input(SHAPE)
    a = Conv2D(2, 3, padding="same")(x)
    b = Conv2D(2, 7, padding="same")(MaxPooling2D(3, strides=1, padding="same")(x))
    return Model(x, Conv2D(2, 1)(Add()([a, b])), seed=1)


def lit(model, layer, row, column):
    """The box of the pixels that reach a unit, with positive weights, in images dark but for one pixel."""
    for parameter in model.parameters:
        if parameter.name == "kernel":
            parameter.assign(np.abs(parameter.numpy()) + 0.1)
    height, width, _ = model.input_shape
    images = np.eye(height * width, dtype=np.float32).reshape(-1, height, width, 1)
    reached = inspect.features(model, images, layer)[layer][:, row, column].sum(-1).reshape(height, width)
    rows, columns = np.nonzero(reached > 1e-6 * reached.max())
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


@pytest.mark.parametrize("network", [chain, nested, graph])
def test_against_lit_pixels(network):
    model = network()
    paths = [path for path, layer in model.network.walk() if not isinstance(layer, (Input, Flatten))]
    for path in paths:
        shape = inspect.features(model, np.zeros((1, *SHAPE)), path)[path].shape[1:]
        for place in ((0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 3)):
            field = inspect.receptive_field(model, path, *place)
            assert tuple(field) == lit(model, path, *place), (path, place)


def test_the_middle_and_beyond_the_image():
    model = chain()
    assert inspect.receptive_field(model, "conv2d") == (7, 7, 10, 12)
    assert inspect.receptive_field(model, "conv2d", 0, 0, clip=False) == (-1, -2, 2, 3)
    assert inspect.receptive_field(model, "conv2d", 0, 0).height == 2


def test_dense_layers_see_all():
    model = Sequential([Conv2D(2, 3, input_shape=SHAPE), Flatten(), Dense(3)])
    for name in ("flatten", "dense"):
        assert inspect.receptive_field(model, name) == (0, 0, 17, 19)


def test_the_effective_field_lies_within(backend, rng):
    model = chain()
    x = rng.standard_normal((4, *SHAPE)).astype(np.float32)
    moved = inspect.effective_field(model, x, "conv2d_1", 3, 4)
    rows, columns = np.nonzero(moved)
    field = inspect.receptive_field(model, "conv2d_1", 3, 4)
    assert field.top <= rows.min()
    assert rows.max() < field.bottom
    assert field.left <= columns.min()
    assert columns.max() < field.right
    one = inspect.effective_field(model, x, "conv2d_1", 3, 4, channel=1)
    expected = np.abs(inspect.gradient(model, x, (3, 4, 1), "conv2d_1")).mean((0, 3))
    np.testing.assert_allclose(one, expected, atol=1e-6 * expected.max())


def test_errors():
    model = Sequential([Conv2D(2, 3, input_shape=SHAPE), Flatten(), Dense(3)])
    for call, message in (
        (lambda: inspect.receptive_field(model, "conv2d", 15), r"\[receptive_field\] row is 15"),
        (lambda: inspect.receptive_field(model, "dense", 1), r"\[receptive_field\] layer dense has no maps"),
        (
            lambda: inspect.effective_field(model, np.zeros((1, *SHAPE)), "dense"),
            r"\[effective_field\] layer dense",
        ),
        (
            lambda: inspect.receptive_field(Sequential([Dense(2)]), "dense"),
            r"\[receptive_field\] the model is not",
        ),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()
