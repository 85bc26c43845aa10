"""What trains may change at any time: layers frozen and freed between steps, layers that models share."""

import itertools

import numpy as np
import pytest

from pyconv import Sequential, layers, optimizers
from pyconv.callbacks import Callback, LambdaCallback


@pytest.fixture
def data(rng):
    return rng.standard_normal((24, 8, 8, 3)).astype(np.float32), rng.integers(0, 4, 24)


def network(optimizer):
    model = Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 3)),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ],
        seed=0,
    )
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def moves(model, data, callback):
    """Return how far the first kernel moves in each epoch."""
    kernels = [model.layers[0].kernel.numpy().copy()]
    watch = LambdaCallback(on_epoch_end=lambda e, logs: kernels.append(model.layers[0].kernel.numpy().copy()))
    model.fit(*data, epochs=len(kernels) + 3, verbose=0, callbacks=[callback, watch])
    return [float(np.abs(b - a).max()) for a, b in itertools.pairwise(kernels)]


@pytest.mark.parametrize("optimizer", [optimizers.SGD, optimizers.Adam])
def test_a_callback_freezes_and_frees(data, optimizer):
    class Turn(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.layers[0].trainable = epoch % 2 == 0

    first, second, third, fourth = moves(network(optimizer(0.1)), data, Turn())
    assert first > 0 == second
    assert third > 0 == fourth


def test_the_whole_model_frozen_in_a_callback(data):
    def freeze(epoch, logs):
        model.trainable = epoch < 1

    model = network(optimizers.Adam(0.1))
    first, *rest = moves(model, data, LambdaCallback(on_epoch_begin=freeze))
    assert first > 0
    assert rest == [0, 0, 0]


def test_slots_come_along_when_what_trains_changes(data):
    """A layer frozen for a step has the slots that it had, and so have those that trained on."""
    model = network(optimizers.Adam(0.01))
    model.fit(*data, epochs=3, verbose=0)
    before = {(slot, p): values.numpy().copy() for slot, p, values in model.slot_arrays()}
    model.layers[0].trainable = False
    model.trainer.prepare()
    for slot, parameter, values in model.slot_arrays():
        np.testing.assert_array_equal(values.numpy(), before[slot, parameter])
    model.layers[0].trainable = True
    model.trainer.prepare()
    after = {(slot, p): values.numpy() for slot, p, values in model.slot_arrays()}
    assert after.keys() == before.keys()
    for key, values in after.items():
        np.testing.assert_array_equal(values, before[key])


def test_a_model_that_shares_layers_trains_in_a_callback(data):
    model = network(optimizers.SGD(0.1))
    probe = Sequential([*model.layers[:2], layers.Dense(4, activation="softmax")])
    probe.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    probing = LambdaCallback(on_epoch_end=lambda epoch, logs: probe.fit(*data, verbose=0))
    assert all(distance > 0 for distance in moves(model, data, probing))


def test_layers_change_by_add_and_pop_alone(data):
    model = network(optimizers.SGD(0.1))
    before = model.predict(data[0])
    with pytest.raises(AttributeError):
        model.layers.pop()
    with pytest.raises(AttributeError, match="layers"):
        model.layers = []
    assert isinstance(model.pop(), layers.Dense)
    assert model.predict(data[0]).shape == (24, 144)
    model.add(layers.Dense(4, activation="softmax", kernel_initializer="zeros"))
    assert not np.array_equal(model.predict(data[0]), before)
    np.testing.assert_allclose(model.predict(data[0]), 0.25)


def test_a_copied_layer_has_parameters_of_its_own():
    import copy

    first = layers.Dense(3)
    second = copy.copy(first)
    for layer in (first, second):
        layer.ensure_built((2,))
    assert len(first.parameters) == len(second.parameters) == 2
    assert first.kernel is not second.kernel
