"""Interruption, exact resume and the search for a NaN's source."""

import os
import signal

import numpy as np
import pytest

from pyconv import layers, load_model, optimizers, regularizers, schedules
from pyconv.callbacks import EarlyStopping, LambdaCallback, ModelCheckpoint
from pyconv.models import Sequential
from pyconv.preprocessing import Augmentation

# The networks here see raw bytes, which fit warns of.
pytestmark = pytest.mark.filterwarnings("ignore:.*x holds values up to")

AUGMENT = Augmentation(20, 0.1, 0.1, horizontal_flip=True)


def network(optimizer):
    model = Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 3)),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ],
        seed=0,
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


@pytest.fixture
def data(rng):
    return rng.integers(0, 256, (22, 8, 8, 3)).astype(np.uint8), rng.integers(0, 3, 22)


def fit(model, data, epochs, *callbacks, **more):
    options = {"batch_size": 4, "verbose": 0, "validation_data": data, "augment": AUGMENT, **more}
    return model.fit(*data, epochs=epochs, callbacks=list(callbacks), **options).history


def interrupt_at(step):
    """Press Ctrl-C after the `step`-th step of the whole training."""
    count = [0]

    def after(batch, logs):
        count[0] += 1
        if count[0] == step:
            os.kill(os.getpid(), signal.SIGINT)

    return LambdaCallback(on_train_batch_end=after)


@pytest.fixture(autouse=True)
def interruptible():
    """Python's own handler, also where the tests run in the background, with SIGINT ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


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
    before = fit(cut, data, 3, interrupt_at(step), return_on_interrupt=True)
    assert cut.interrupted
    cut.save(tmp_path / "cut.safetensors")
    rest = load_model(tmp_path / "cut.safetensors")
    after = fit(rest, data, 3, resume=True)
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


def test_a_second_interrupt_aborts(data):
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


def test_ctrl_c_ends_a_loop_of_fits(data):
    """After the step it raises, once callbacks have closed; the training can be gone on with."""
    whole = network("adam")
    expected = fit(whole, data, 3)
    model, closed = network("adam"), []

    class Closing(LambdaCallback):
        def _close(self):
            closed.append(model.optimizer.iterations)

    with pytest.raises(
        KeyboardInterrupt, match=r"interrupted in epoch 2 after step 2; fit\(..., resume=True\)"
    ):
        fit(model, data, 3, interrupt_at(8), Closing())
    assert closed == [8]
    assert model.interrupted
    before = model.history.history
    after = fit(model, data, 3, resume=True)
    assert not model.interrupted
    for name, values in expected.items():
        assert before[name] + after[name] == values
    for a, b in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_ctrl_c_in_a_validation_leaves_it_to_be_done(data):
    pressed = []

    def press(batch, logs):
        if not pressed:
            pressed.append(os.kill(os.getpid(), signal.SIGINT))

    model = network("adam")
    fit(model, data, 1, LambdaCallback(on_test_batch_begin=press), return_on_interrupt=True)
    assert model.interrupted
    assert model.position.epoch == 0
    history = fit(model, data, 1, resume=True)
    assert model.optimizer.iterations == 6
    assert history == fit(network("adam"), data, 1)


def test_ctrl_c_at_the_very_end_raises_and_leaves_nothing_to_resume(data):
    model = network("adam")
    press = LambdaCallback(on_epoch_end=lambda epoch, logs: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match="the training had just ended"):
        fit(model, data, 1, press)
    assert not model.interrupted
    assert model.position.epoch == 0


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None], ids=["ignored", "own"])
def test_a_handler_that_is_not_pythons_stays(data, handler):
    signal.signal(signal.SIGINT, handler)
    model = network("sgd")
    fit(model, data, 1, interrupt_at(2))
    assert not model.interrupted
    assert model.optimizer.iterations == 6
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_new_training_does_not_go_on_with_an_old_one(data, tmp_path):
    """A checkpoint of a callback, or a training cut short, does not shorten a fit that did not ask for it."""
    model = network("adam")
    fit(model, data, 3, ModelCheckpoint(tmp_path / "{epoch}.safetensors"))
    loaded = load_model(tmp_path / "2.safetensors")
    assert len(fit(loaded, data, 3)["loss"]) == 3
    assert len(fit(load_model(tmp_path / "2.safetensors"), data, 3, resume=True)["loss"]) == 1
    with pytest.raises(
        ValueError, match=r"epochs is 2, expected more than 2: the training to resume has had"
    ):
        fit(load_model(tmp_path / "2.safetensors"), data, 2, resume=True)
    cut = network("adam")
    fit(cut, data, 3, interrupt_at(8), return_on_interrupt=True)
    assert len(fit(cut, data, 3)["loss"]) == 3


def test_callbacks_go_on_with_a_resumed_training(data):
    stopping = EarlyStopping("loss", patience=3, min_delta=100)
    model = network("sgd")
    fit(model, data, 9, stopping, interrupt_at(13), return_on_interrupt=True)
    fit(model, data, 9, stopping, resume=True)
    assert model.optimizer.iterations == 4 * 6  # the first epoch improves, three do not
    assert len(fit(model, data, 9, stopping)["loss"]) == 4  # and a new training starts anew


def test_the_first_error_is_told(data):
    class Broken(LambdaCallback):
        def _close(self):
            raise RuntimeError("closing")

    def fail(logs):
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fit(network("sgd"), data, 1, LambdaCallback(on_train_begin=fail), Broken())
    with pytest.raises(RuntimeError, match="closing"):
        fit(network("sgd"), data, 1, Broken())


def test_a_penalty_that_is_infinite_stops(data):
    model = Sequential(
        [
            layers.Conv2D(4, 3, kernel_regularizer=regularizers.L2(3e38), input_shape=(8, 8, 3)),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    with pytest.raises(FloatingPointError, match="the L2 penalty is inf at epoch 1, step 1"):
        model.fit(data[0], data[1], batch_size=22, verbose=0)
