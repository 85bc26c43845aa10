"""Silent nonsense is warned of, and sense is not."""

import warnings

import numpy as np
import pytest

from pyconv import Sequential, layers, losses
from pyconv.preprocessing import ImageDataGenerator


@pytest.fixture
def data(rng):
    return rng.standard_normal((12, 8, 8, 3)).astype(np.float32), rng.integers(0, 4, 12)


def network(*first, units=4, softmax=True, from_logits=False):
    model = Sequential(
        [
            *first,
            layers.Conv2D(4, 3),
            layers.Flatten(),
            layers.Dense(units, activation="softmax" if softmax else None),
        ],
        seed=0,
    )
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=from_logits))
    return model


def warned(model, x, y=None, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y, verbose=0, **options)
    assert all(w.filename == __file__ for w in caught)  # they point at the caller
    return [str(w.message) for w in caught]


def test_sense(data):
    x, y = data
    assert warned(network(), x, y) == []
    assert warned(network(softmax=False, from_logits=True), x, y) == []
    assert warned(network(), x, np.eye(4)[y]) == []
    assert warned(network(), x, np.full((12, 4), 0.25)) == []


def test_a_softmax_under_a_loss_that_takes_logits(data):
    (message,) = warned(network(from_logits=True), *data)
    assert "from_logits=True and the model ends in a softmax" in message
    model = Sequential([layers.Flatten(), layers.Dense(4), layers.Activation("softmax")])
    model.compile("sgd", losses.CategoricalCrossentropy(from_logits=True))
    assert "ends in a softmax" in warned(model, *data)[0]


def test_two_softmaxes(data):
    model = Sequential(
        [layers.Flatten(), layers.Dense(4, activation="softmax"), layers.Activation("softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert "two softmaxes" in warned(model, *data)[0]


@pytest.mark.parametrize("softmax", [True, False])
def test_one_unit(data, softmax):
    (message,) = warned(
        network(units=1, softmax=softmax, from_logits=not softmax), data[0], np.zeros(12, int)
    )
    assert "the model ends in one unit, whose softmax is always 1" in message


@pytest.mark.parametrize(
    ("rows", "sums"),
    [(np.zeros((12, 4)), "0"), (np.ones((12, 4)), "4"), (np.eye(4)[np.arange(12) % 4] * 2, "2")],
    ids=["zeros", "all", "twice"],
)
def test_rows_that_are_no_one_hot_labels(data, rows, sums):
    (message,) = warned(network(), data[0], rows)
    assert f"12 of 12 rows of y do not sum to 1 (row 0: {sums})" in message
    model = network()
    model.build((8, 8, 3))
    with pytest.warns(UserWarning, match=r"\[evaluate\] 12 of 12 rows"):
        model.evaluate(data[0], rows)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_raw_pictures(rng, dtype):
    x, y = rng.integers(0, 256, (12, 8, 8, 3)).astype(dtype), rng.integers(0, 4, 12)
    assert "the model does not rescale them" in warned(network(), x, y)[0]
    assert "the model does not rescale them" in warned(network(layers.Dropout(0.1)), x, y)[0]
    assert "the model does not rescale them" in warned(network(), ImageDataGenerator().flow(x, y))[0]
    assert warned(network(), ImageDataGenerator(rescale=1 / 255).flow(x, y)) == []
    assert "adapted" in warned(network(layers.Normalization()), x, y)[0]
    assert warned(network(layers.Normalization(128.0, 4000.0)), x, y) == []
    assert warned(network(layers.BatchNormalization()), x, y) == []
    assert warned(network(), x / 255, y) == []
