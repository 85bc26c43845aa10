"""Draws never repeat in silence, and the same script draws the same."""

import numpy as np
import pytest

from pyconv import Augmentation, Sequential, layers, load_model, optimizers, utils
from pyconv.callbacks import LambdaCallback
from pyconv.preprocessing import ImageDataGenerator

AUGMENT = Augmentation(rotation_range=45, horizontal_flip=True)


@pytest.fixture(autouse=True)
def seeded():
    utils.set_random_seed(3)
    yield
    utils.set_random_seed(0)


@pytest.fixture
def data(rng):
    return rng.standard_normal((24, 8, 8, 3)).astype(np.float32), rng.integers(0, 4, 24)


def network(seed=None, drop=0.5):
    """A network that learns nothing: its loss depends on order, warps and masks alone."""
    model = Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 3)),
            layers.Flatten(),
            layers.Dropout(drop),
            layers.Dense(4, activation="softmax"),
        ],
        seed=seed,
    )
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    return model


def losses(model, data, calls, **options):
    options = {"epochs": 1, "verbose": 0, "batch_size": 8, **options}
    return [loss for _ in range(calls) for loss in model.fit(*data, **options).history["loss"]]


@pytest.mark.parametrize(
    "options", [{}, {"augment": AUGMENT}, {"steps_per_epoch": 2}, {"epochs": 2}], ids=str
)
def test_a_loop_of_fits_draws_anew(data, options):
    seen = losses(network(), data, 4, **options)
    assert len(set(seen)) == len(seen)


def test_augmentation_alone_draws_anew(data):
    seen = losses(network(drop=0.0), data, 4, augment=AUGMENT, shuffle=False)
    assert len(set(seen)) == 4


def test_a_loop_of_fits_has_the_draws_of_one_fit(data):
    assert losses(network(seed=1), data, 4) == losses(network(seed=1), data, 1, epochs=4)


def test_draws_go_on_after_saving_and_compiling(data, tmp_path):
    model = network(seed=1)
    expected = losses(network(seed=1), data, 3)
    assert losses(model, data, 1) == expected[:1]
    model.save(tmp_path / "m.safetensors")
    assert losses(load_model(tmp_path / "m.safetensors"), data, 2) == expected[1:]
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    assert losses(model, data, 2) == expected[1:]


def test_a_seed_pins(data):
    seen = losses(network(), data, 3, seed=7)
    assert len(set(seen)) == 1
    assert losses(network(seed=4), data, 1, seed=7) != losses(network(seed=4), data, 1, seed=8)


def test_an_epoch_cut_short_does_not_come_again(data):
    model, seen = network(), []

    def stop(batch, logs):
        seen.append(logs["loss"])
        model.stop_training = True

    for _ in range(4):
        model.fit(*data, batch_size=8, verbose=0, callbacks=[LambdaCallback(on_train_batch_end=stop)])
    assert len(set(seen)) == 4


def test_train_on_batch_draws_anew_also_once_compiled_again(data):
    model, seen = network(), []
    for _ in range(3):
        model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
        seen += [model.train_on_batch(*data) for _ in range(2)]
    assert len(set(seen)) == 6


def test_models_are_no_twins():
    one, other = network(), network()
    assert one.seed != other.seed
    assert not np.array_equal(one.get_weights()[0], other.get_weights()[0])


def test_the_same_script_draws_the_same(data):
    def script():
        utils.set_random_seed(5)
        models = [network() for _ in range(3)]
        flow = ImageDataGenerator(rotation_range=45).flow(*data, batch_size=8)
        return [loss for model in models for loss in losses(model, data, 2)], next(flow)[0]

    (first, images), (again, same) = script(), script()
    assert first == again
    np.testing.assert_array_equal(images, same)


def test_each_flow_draws_anew(data):
    generator = ImageDataGenerator(rotation_range=45)
    first = [next(generator.flow(*data, batch_size=16))[0] for _ in range(3)]
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[1], first[2])
    pinned = [next(generator.flow(*data, seed=1))[0] for _ in range(2)]
    np.testing.assert_array_equal(*pinned)


def test_steps_per_epoch_goes_on_in_the_data(data):
    x, y = data
    seen = []
    model = network(drop=0.0)
    spy = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["loss"] * (batch + 1)))
    model.fit(x, y, batch_size=8, steps_per_epoch=2, epochs=3, shuffle=False, verbose=0, callbacks=[spy])
    steps = [seen[i] - (seen[i - 1] if i % 2 else 0.0) for i in range(6)]
    parts = [model.evaluate(x[i : i + 8], y[i : i + 8]) for i in (0, 8, 16)]
    assert steps == pytest.approx(parts * 2, rel=1e-5)


def test_seeds_are_a_sequence_of_their_own():
    utils.set_random_seed(9)
    first = [utils.random_seed() for _ in range(100)]
    assert first[0] == 9
    assert len(set(first)) == 100
    assert all(0 <= seed < 2**64 for seed in first)
    utils.set_random_seed(9)
    assert [utils.random_seed() for _ in range(100)] == first
