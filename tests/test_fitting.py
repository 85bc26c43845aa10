"""Interruption, exact resume and the search for a NaN's source."""

import os
import signal

import numpy as np
import pytest

from pyconv import layers, load_model, optimizers, schedules
from pyconv.callbacks import LambdaCallback
from pyconv.models import Sequential
from pyconv.preprocessing import Augmentation

AUGMENT = Augmentation(20, 0.1, 0.1, horizontal_flip=True)


def network(optimizer):
    model = Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 3)),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


@pytest.fixture
def data(rng):
    return rng.integers(0, 256, (22, 8, 8, 3)).astype(np.uint8), rng.integers(0, 3, 22)


def fit(model, data, epochs, *callbacks):
    options = {"batch_size": 4, "verbose": 0, "validation_data": data, "augment": AUGMENT}
    return model.fit(*data, epochs=epochs, callbacks=list(callbacks), **options).history


def interrupt_at(step):
    """Press Ctrl-C after the `step`-th step of the whole training."""
    count = [0]

    def after(batch, logs):
        count[0] += 1
        if count[0] == step:
            os.kill(os.getpid(), signal.SIGINT)

    return LambdaCallback(on_train_batch_end=after)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: optimizers.Adam(1e-2),
        lambda: optimizers.SGD(schedules.CosineDecay(0.1, 18), momentum=0.9, nesterov=True),
        lambda: optimizers.SGD(0.05),
    ],
    ids=["adam", "nesterov", "sgd"],
)
@pytest.mark.parametrize("step", [1, 6, 9, 17])
def test_a_resumed_training_equals_an_uninterrupted_one(optimizer, step, data, tmp_path):
    whole = network(optimizer())
    expected = fit(whole, data, 3)

    cut = network(optimizer())
    before = fit(cut, data, 3, interrupt_at(step))
    assert cut.interrupted
    cut.save(tmp_path / "cut.safetensors")
    rest = load_model(tmp_path / "cut.safetensors")
    after = fit(rest, data, 3)
    assert not rest.interrupted
    for name, values in expected.items():
        assert before.get(name, []) + after.get(name, []) == values
    for a, b in zip(rest.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_second_fit_is_a_training_of_its_own(data):
    model = network("adam")
    fit(model, data, 2)
    history = fit(model, data, 3)
    assert len(history["loss"]) == 3
    assert model.optimizer.iterations == 5 * 6


@pytest.fixture
def interruptible():
    """Python's own handler, also where the tests run in the background, with SIGINT ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def test_a_second_interrupt_aborts(data, interruptible):
    def twice(batch, logs):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(network("sgd"), data, 2, LambdaCallback(on_train_batch_end=twice))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nan_stops_and_keeps_the_weights(data):
    model = network("adam")
    fit(model, data, 1)
    x, y = data[0].astype(np.float32), data[1]
    good = model.get_weights()
    x[3, 2, 2, 1] = np.nan
    with pytest.raises(FloatingPointError, match="the loss is nan at epoch 1, step 1: the batch itself"):
        model.fit(x, y, batch_size=22, verbose=0)
    for parameter, value in zip(model.parameters, good, strict=True):
        if parameter.trainable:
            np.testing.assert_array_equal(parameter.numpy(), value)
    assert np.isfinite(model.predict(data[0])).all()  # the moving statistics are as good


def test_a_too_high_learning_rate_is_named(data):
    model = network(optimizers.SGD(1e30))
    with pytest.raises(FloatingPointError, match=r"\[fit\] the loss is (nan|inf) at epoch \d, step \d"):
        fit(model, data, 3)


def test_stop_training_ends_within_the_epoch(data):
    model = network("sgd")

    def stop(batch, logs):
        model.stop_training = batch == 1

    history = fit(model, data, 3, LambdaCallback(on_train_batch_end=stop))
    assert len(history["loss"]) == 1
    assert model.optimizer.iterations == 2
