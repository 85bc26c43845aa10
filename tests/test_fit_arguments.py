"""What `fit`, `evaluate` and `predict` are given is honoured or refused, never ignored."""

import re

import numpy as np
import pytest

from pyconv import Augmentation, Sequential, layers, optimizers
from pyconv.callbacks import Callback, EarlyStopping, LambdaCallback
from pyconv.preprocessing import ImageDataGenerator


@pytest.fixture
def data(rng):
    return rng.standard_normal((24, 8, 8, 3)).astype(np.float32), rng.integers(0, 4, 24)


def network(**options):
    model = Sequential([layers.Flatten(input_shape=(8, 8, 3)), layers.Dense(4, activation="softmax")], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"], **options)
    return model


def steps_of(data, **options):
    """Return the numbers of the steps that a fit takes."""
    seen = []
    spy = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    network().fit(*data, verbose=0, callbacks=[spy], **options)
    return seen


def endless(x, y):
    while True:
        yield x, y


class Batches:
    """As Keras' Sequence: a length, batches by number, told when an epoch ends."""

    def __init__(self, x, y, size=8):
        self.x, self.y, self.size = x, y, size
        self.asked, self.ended = [], 0

    def __len__(self):
        return -(-len(self.x) // self.size)

    def __getitem__(self, i):
        self.asked.append(i)
        return self.x[i * self.size :][: self.size], self.y[i * self.size :][: self.size]

    def on_epoch_end(self):
        self.ended += 1


def test_steps_per_epoch(data):
    assert steps_of(data, batch_size=4) == list(range(6))
    assert steps_of(data, batch_size=4, steps_per_epoch=2) == [0, 1]
    assert steps_of(data, batch_size=8, steps_per_epoch=5, epochs=2) == [0, 1, 2, 3, 4] * 2


def test_initial_epoch(data):
    history = network().fit(*data, initial_epoch=2, epochs=5, verbose=0)
    assert history.epoch == [2, 3, 4]


def test_validation_steps_and_frequency(data):
    x, y = data
    counted = []
    spy = LambdaCallback(on_test_batch_end=lambda batch, logs: counted.append(batch))
    options = {
        "epochs": 4,
        "verbose": 0,
        "validation_data": data,
        "validation_batch_size": 4,
        "callbacks": [spy],
    }
    history = network().fit(x, y, validation_steps=2, validation_freq=2, **options).history
    assert counted == [0, 1, 0, 1]
    assert len(history["val_loss"]) == 2
    counted.clear()
    history = network().fit(x, y, validation_freq=[1, 4], **options).history
    assert counted == [0, 1, 2, 3, 4, 5] * 2
    model = network()
    expected = model.evaluate(x[:8], y[:8])
    assert model.evaluate(x, y, batch_size=4, steps=2) == expected


def test_streams_with_steps(data):
    model = network()
    model.fit(
        endless(*data),
        steps_per_epoch=2,
        epochs=2,
        validation_data=endless(*data),
        validation_steps=2,
        verbose=0,
    )
    assert model.optimizer.iterations == 4
    assert model.evaluate(endless(*data), steps=3) == pytest.approx(model.evaluate(*data), rel=1e-5)
    np.testing.assert_array_equal(
        model.predict(endless(*data), steps=2), np.concatenate([model.predict(data[0])] * 2)
    )
    np.testing.assert_array_equal(model.predict(iter([data[0][:5], data[0][5:]])), model.predict(data[0]))


def test_a_sequence_is_asked_by_number_in_a_new_order_each_epoch(data):
    batches, validation = Batches(*data, size=2), Batches(*data)
    model = network()
    model.fit(batches, epochs=3, verbose=0, validation_data=validation)
    asked = batches.asked[1:]  # the first look is for the shape
    assert all(sorted(asked[i : i + 12]) == list(range(12)) for i in (0, 12, 24))
    assert asked[:12] != asked[12:24]
    assert (batches.ended, validation.ended) == (3, 0)
    assert validation.asked == [0] + [0, 1, 2] * 3
    batches.asked.clear()
    model.fit(batches, verbose=0, shuffle=False)
    assert batches.asked[1:] == list(range(12))
    np.testing.assert_array_equal(model.predict(validation), model.predict(data[0]))


def test_an_iterable_builds_the_model(data):
    model = Sequential([layers.Flatten(), layers.Dense(4, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit([data], verbose=0)
    assert model.input_shape == (8, 8, 3)


def test_a_lone_callback(data):
    assert (
        len(network().fit(*data, epochs=5, verbose=0, callbacks=EarlyStopping("loss", min_delta=9)).epoch)
        == 2
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, ValueError, r"epochs is 0, expected an integer of at least 1"),
        ({"epochs": 2.0}, TypeError, r"epochs is 2.0, expected an integer"),
        ({"epochs": "3"}, TypeError, r"epochs is '3', expected an integer"),
        ({"epochs": True}, TypeError, r"epochs is True, expected an integer"),
        ({"epochs": None}, TypeError, r"epochs is None, expected an integer"),
        ({"batch_size": 4.0}, TypeError, r"batch_size is 4.0, expected an integer"),
        ({"batch_size": 0}, ValueError, r"batch_size is 0"),
        ({"initial_epoch": 3, "epochs": 3}, ValueError, r"initial_epoch is 3, expected less than epochs, 3"),
        ({"initial_epoch": -1}, ValueError, r"initial_epoch is -1"),
        ({"steps_per_epoch": 0}, ValueError, r"steps_per_epoch is 0"),
        ({"steps_per_epoch": 1.5}, TypeError, r"steps_per_epoch is 1.5"),
        ({"shuffle": "batch"}, TypeError, r"shuffle is 'batch', expected True or False"),
        ({"verbose": 3}, ValueError, r"verbose is 3, expected one of auto, 0, 1, 2"),
        ({"verbose": "loud"}, ValueError, r"verbose is 'loud'"),
        ({"callbacks": "stop"}, TypeError, r"callbacks is a str, expected a list"),
        ({"callbacks": [EarlyStopping]}, TypeError, r"callbacks holds <class .*EarlyStopping"),
        ({"callbacks": [print]}, TypeError, r"callbacks holds <built-in function print>"),
        ({"seed": -1}, ValueError, r"seed is -1"),
        ({"seed": 1.5}, TypeError, r"seed is 1.5"),
        ({"augment": True}, TypeError, r"augment is True, expected an Augmentation or None"),
        ({"resume": "runs/a"}, TypeError, r"resume is 'runs/a', expected True or False"),
        ({"validation_split": 1}, ValueError, r"validation_split is 1, expected a number in \[0, 1\)"),
        ({"validation_split": "half"}, TypeError, r"validation_split is 'half'"),
        ({"validation_split": float("nan")}, ValueError, r"validation_split is nan"),
        (
            {"validation_split": 0.99},
            ValueError,
            r"validation_split is 0.99, expected one that leaves images",
        ),
        ({"validation_steps": 2}, ValueError, r"validation_steps is 2, and there is no validation_data"),
        ({"validation_batch_size": 2}, ValueError, r"validation_batch_size is 2, and there is no"),
        ({"validation_freq": 2}, ValueError, r"validation_freq is 2, and there is no"),
        ({"validation_freq": 0, "validation_split": 0.5}, ValueError, r"validation_freq is 0"),
        ({"validation_freq": [0], "validation_split": 0.5}, ValueError, r"validation_freq is 0"),
        ({"validation_freq": "all", "validation_split": 0.5}, TypeError, r"validation_freq is 'all'"),
        (
            {"validation_steps": 99, "validation_split": 0.5},
            ValueError,
            r"validation_steps is 99, expected at most 1",
        ),
        ({"validation_batch_size": 0, "validation_split": 0.5}, ValueError, r"validation_batch_size is 0"),
    ],
    ids=str,
)
def test_fit_refuses(data, options, error, message):
    model = network()
    before = model.get_weights()
    with pytest.raises(error, match=r"\[fit\] (validation_data: )?" + message):
        model.fit(*data, **{"verbose": 0, **options})
    assert model.optimizer.iterations == 0
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda m, x, y: m.fit(x), "[fit] y is missing: x is an array"),
        (lambda m, x, y: m.fit([(x, y)], y), "[fit] x is a list whose parts differ in shape"),
        (lambda m, x, y: m.fit(endless(x, y), y), "[fit] x is a generator and y is given"),
        (
            lambda m, x, y: m.fit(endless(x, y), batch_size=3, steps_per_epoch=1),
            "[fit] batch_size works on arrays",
        ),
        (
            lambda m, x, y: m.fit(endless(x, y), validation_split=0.2),
            "[fit] validation_split works on arrays",
        ),
        (lambda m, x, y: m.fit([(x, y)], augment=Augmentation(5)), "[fit] augment works on arrays"),
        (lambda m, x, y: m.fit([(x, y, y)]), "[fit] x gives a tuple of 3, expected batches (x, y)"),
        (lambda m, x, y: m.fit([(x[:0], y[:0])]), "[fit] x gives a batch without images"),
        (
            lambda m, x, y: m.fit([(x, y), (x[:, :4], y)]),
            "[fit] x gives images of shape (4, 8, 3) after (8, 8, 3)",
        ),
        (
            lambda m, x, y: m.fit([(x[:, :4], y)]),
            "[fit] x has examples of shape (4, 8, 3), the model takes (8, 8, 3)",
        ),
        (lambda m, x, y: m.fit(3), "[fit] x is an int, expected arrays or an iterable of batches"),
        (lambda m, x, y: m.fit(None, y), "[fit] x is None and y is given"),
        (lambda m, x, y: m.fit(x[:0], y[:0]), "[fit] x has no images"),
        (lambda m, x, y: m.fit(x, y[:, None, None]), "[fit] y has shape (24, 1, 1)"),
        (lambda m, x, y: m.fit(x, y.astype(str)), "[fit] y has dtype <U"),
        (lambda m, x, y: m.fit(x, np.where(y == 0, np.nan, y)), "[fit] y holds fractions"),
        (lambda m, x, y: m.fit(x, y - 1), "[fit] y has labels from -1 to 2, expected [0, 4)"),
        (lambda m, x, y: m.fit(x, y + 2**40), "[fit] y has labels from 1.09951e+12"),
        (lambda m, x, y: m.fit(x, -np.eye(4)[y]), "[fit] y has a negative value or a NaN"),
        (
            lambda m, x, y: m.fit(x, y, validation_data=(x[:0], y[:0])),
            "[fit] validation_data: x has no images",
        ),
        (
            lambda m, x, y: m.fit(x, y, validation_data=[(x, y), (x, y)]),
            "[fit] validation_data is a pair of pairs",
        ),
        (lambda m, x, y: m.fit(x, y, validation_data=(x, y, y)), "[fit] validation_data is a tuple of 3"),
        (lambda m, x, y: m.fit(x, y, validation_data=x), "[fit] validation_data: y is missing"),
        (lambda m, x, y: m.fit(x, y, validation_data=[]), "[fit] validation_data: x gives no batch"),
        (
            lambda m, x, y: m.fit(x, y, validation_data=endless(x, y)),
            "[fit] validation_steps is missing: validation_data is a stream",
        ),
        (
            lambda m, x, y: m.fit(x, y, validation_data=(x, y), validation_split=0.5),
            "[fit] validation_split and validation_data are both given",
        ),
        (
            lambda m, x, y: m.fit(x, y, validation_data=[(x, y)], validation_batch_size=4),
            "[fit] validation_data: batch_size works on arrays",
        ),
        (
            lambda m, x, y: m.fit(x, y, resume=True, initial_epoch=1),
            "[fit] initial_epoch is 1 and resume is True",
        ),
        (lambda m, x, y: m.evaluate(x, y, steps=5), "[evaluate] steps is 5, expected at most 1"),
        (lambda m, x, y: m.evaluate(x), "[evaluate] y is missing"),
        (lambda m, x, y: m.evaluate(x, y, return_dict="yes"), "[evaluate] return_dict is 'yes'"),
        (lambda m, x, y: m.evaluate(x[:0], y[:0]), "[evaluate] x has no images"),
        (lambda m, x, y: m.evaluate(x, y, batch_size=2.5), "[evaluate] batch_size is 2.5"),
        (lambda m, x, y: m.predict(x, steps=1), "[predict] steps is 1, expected None: x is an array"),
        (
            lambda m, x, y: m.predict(endless(x, y), batch_size=1, steps=1),
            "[predict] batch_size is 1, expected None",
        ),
        (lambda m, x, y: m.predict(x, batch_size="8"), "[predict] batch_size is '8'"),
        (lambda m, x, y: m.predict(iter([])), "[predict] x gives no batch"),
        (lambda m, x, y: m.predict(None), "[predict] x is None"),
        (lambda m, x, y: m.compile(fuse="yes"), "[compile] fuse is 'yes', expected True or False"),
        (lambda m, x, y: Sequential(seed=-1), "[Sequential] seed is -1"),
        (lambda m, x, y: Sequential(seed="a"), "[Sequential] seed is 'a'"),
    ],
    ids=lambda value: re.sub(r"[^a-z ]", "", value)[:40] if isinstance(value, str) else "",
)
def test_refuses(data, act, message):
    with pytest.raises((TypeError, ValueError), match="^" + re.escape(message)):
        act(network(), *data)


def test_an_iterator_of_augmented_batches(data):
    flow = ImageDataGenerator(rotation_range=20).flow(*data, batch_size=8)
    model = network()
    history = model.fit(flow, epochs=2, verbose=0, validation_data=flow)
    assert model.optimizer.iterations == 6
    assert len(history.history["val_loss"]) == 2
    with pytest.raises(ValueError, match="validation_split works on arrays"):
        model.fit(flow, validation_split=0.25)


def test_an_optimizer_serves_one_model(data):
    optimizer = optimizers.Adam()
    one, other = network(), network()
    one.compile(optimizer, "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"\[compile\] this Adam serves another model"):
        other.compile(optimizer, "sparse_categorical_crossentropy")
    assert other.optimizer is not optimizer  # nothing was changed
    del one
    with pytest.raises(ValueError, match="serves another model"):
        other.compile(optimizer, "sparse_categorical_crossentropy")


def test_compiled_again_with_its_optimizer_a_model_keeps_the_optimizers_state(data):
    models = [network() for _ in range(2)]
    for again, model in enumerate(models):
        model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy")
        model.fit(*data, epochs=2, verbose=0)
        if again:
            model.compile(model.optimizer, "sparse_categorical_crossentropy")
        model.fit(*data, epochs=2, verbose=0)
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(a, b)
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    assert all(not values.numpy().any() for _, _, values in model.slot_arrays())


@pytest.mark.parametrize("act", ["fit", "train_on_batch", "compile", "to", "add"])
def test_what_training_forbids(data, act):
    model = network()
    calls = {
        "fit": lambda: model.fit(*data, verbose=0),
        "train_on_batch": lambda: model.train_on_batch(*data),
        "compile": lambda: model.compile("sgd"),
        "to": lambda: model.to("cpu"),
        "add": lambda: model.add(layers.Dense(2)),
    }

    class Meddler(Callback):
        def on_train_batch_end(self, batch, logs=None):
            calls[act]()

    with pytest.raises(RuntimeError, match=rf"\[{act}\] the model is in training"):
        model.fit(*data, verbose=0, callbacks=[Meddler()])
    calls[act]()  # and afterwards it may


def test_the_whole_model_can_be_frozen(data):
    model = network()
    model.trainable = False
    assert not model.trainable
    assert model.trainable_parameters == []
    model.trainable = True
    assert len(model.trainable_parameters) == 2


@pytest.mark.parametrize("kind", ["list", "sequence", "loader"])
def test_an_epoch_shorter_than_the_data_goes_on_in_it(data, kind):
    x, y = data

    class Loader:
        def __init__(self):
            self.batches = [(x[i : i + 4], y[i : i + 4]) for i in range(0, 24, 4)]
            self.given = []

        def __len__(self):
            return len(self.batches)

        def __iter__(self):
            for i, batch in enumerate(self.batches):
                self.given.append(i)
                yield batch

    loader, sequence = Loader(), Batches(x, y, size=4)
    source = {"list": loader.batches, "sequence": sequence, "loader": loader}[kind]
    model, losses = network(), []
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    spy = LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    model.fit(source, epochs=4, steps_per_epoch=2, shuffle=False, verbose=0, callbacks=[spy])
    first = [model.evaluate(*loader.batches[i]) for i in (0, 2, 4, 0)]
    assert losses[::2] == pytest.approx(first, rel=1e-5)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda m, x, y: m.fit(x, y, class_weight={}), r"\[fit\] .*'class_weight' \(pyconv weighs neither"),
        (lambda m, x, y: m.fit(x, y, batchsize=3), r"\[fit\] .*'batchsize' \(did you mean batch_size\?\)"),
        (lambda m, x, y: m.compile(jit_compile=True), r"\[compile\] .*'jit_compile' \(pyconv compiles"),
        (lambda m, x, y: m.predict(x, workers=2), r"\[predict\] .*'workers'.*; it takes x, batch_size"),
        (
            lambda m, x, y: m.save("a.safetensors", overwrite=True),
            r"\[save\] .*'overwrite' \(a file is",
        ),
        (lambda m, x, y: m.fit_generator(x), r"\[Sequential\] there is no fit_generator; there is fit"),
        (lambda m, x, y: m.optimizer.lr, r"\[SGD\] there is no lr; there is learning_rate"),
        (lambda m, x, y: m.layers[0].output, r"\[Flatten\] there is no output; there is output_shape"),
        (lambda m, x, y: m.predcit(x), r"\[Sequential\] there is no predcit: did you mean predict\?"),
        (
            lambda m, x, y: ImageDataGenerator().flow(x, y, subset="a"),
            r"\[flow\] .*'subset' \(split the",
        ),
        (lambda m, x, y: setattr(ImageDataGenerator(), "rotation_range", 3), r"\[ImageDataGenerator\]"),
        (
            lambda m, x, y: setattr(ImageDataGenerator().flow(x), "shuffle", False),
            r"\[ArrayIterator\] shuffle",
        ),
    ],
)
def test_keras_arguments_and_members_are_answered(data, act, message):
    with pytest.raises((TypeError, AttributeError), match=message):
        act(network(), *data)


def test_errors_of_the_callers_data_stay_theirs(data):
    import json

    def broken():
        raise json.JSONDecodeError("m", "doc", 0)
        yield data

    with pytest.raises(json.JSONDecodeError):
        network().fit(*data, validation_data=broken(), validation_steps=1, verbose=0)

    class Half(Batches):
        def __len__(self):
            return 1.5

    with pytest.raises(TypeError, match=r"\[fit\] the length of x is 1.5, expected an integer"):
        network().fit(Half(*data), verbose=0)

    class NoLength:
        def __getitem__(self, i):
            return data

    with pytest.raises(TypeError, match=r"\[fit\] x is a NoLength: it has no length"):
        network().fit(NoLength(), verbose=0)


def test_a_failed_fit_lets_the_data_go(data):
    import gc
    import weakref

    x = data[0].copy()
    gone = weakref.ref(x)

    def fail(batch, logs):
        raise RuntimeError("no")

    model = network()
    with pytest.raises(RuntimeError):
        model.fit(x, data[1], verbose=0, callbacks=[LambdaCallback(on_train_batch_end=fail)])
    del x
    gc.collect()
    assert gone() is None
