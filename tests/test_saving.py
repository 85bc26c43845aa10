"""Models as files."""

import copy
import json
import pickle

import numpy as np
import pytest

from pyconv import checkpoint, layers, load_model, model_from_json, optimizers, saving, schedules
from pyconv.checkpoint import CheckpointError
from pyconv.models import Sequential
from pyconv.regularizers import l2


@pytest.fixture
def model():
    return Sequential(
        [
            layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0], input_shape=(6, 6, 3)),
            layers.Conv2D(4, 3, strides=2, padding="same", kernel_regularizer=l2(1e-3), activation="relu"),
            layers.Residual([layers.BatchNormalization(), layers.ReLU()]),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ],
        name="small",
        seed=5,
    )


@pytest.fixture
def x(rng):
    return rng.standard_normal((4, 6, 6, 3)).astype(np.float32)


def test_json_builds_the_same_model(model, x):
    text = model.to_json(indent=1)
    again = model_from_json(text)
    assert again.to_json(indent=1) == text
    assert (again.name, again.seed, again.input_shape) == ("small", 5, (6, 6, 3))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))  # same seed, same weights
    assert json.loads(text)["class_name"] == "Sequential"
    with pytest.raises(ValueError, match="unknown class 'Evil'"):
        model_from_json('{"class_name": "Evil", "config": {}}')
    with pytest.raises(ValueError, match="expected a model, got a ReLU"):
        model_from_json('{"class_name": "ReLU", "config": {"name": null}}')


def test_a_saved_model_predicts_the_same_without_anything_else(model, x, tmp_path):
    model.set_weights([w + 0.5 for w in model.get_weights()])
    model.save(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.optimizer is None


def test_weights_alone(model, x, tmp_path):
    model.save_weights(tmp_path / "w.safetensors")
    other = model_from_json(model.to_json())
    other.set_weights([np.zeros_like(w) for w in other.get_weights()])
    other.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(other.predict(x), model.predict(x))
    with pytest.raises(CheckpointError, match="holds weights alone"):
        load_model(tmp_path / "w.safetensors")
    model.add(layers.Dense(2))
    with pytest.raises(ValueError, match=r"\[load_weights\] the file has no dense_1/bias, dense_1/kernel"):
        model.load_weights(tmp_path / "w.safetensors")


def test_the_training_goes_along(model, x, tmp_path):
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    y = [0, 1, 2, 0]
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert again.optimizer.iterations == 2
    for one in (model, again):
        one.fit(x, y, epochs=5, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_file_name_says_what_it_is(model, tmp_path):
    with pytest.raises(ValueError, match=r"model.h5 ends in '.h5', expected .safetensors"):
        model.save_weights(tmp_path / "model.h5")


@pytest.mark.parametrize("fuse", [True, False])
def test_whether_to_fuse_is_kept(model, tmp_path, fuse):
    model.compile("adam", "sparse_categorical_crossentropy", fuse=fuse)
    model.save(tmp_path / "model.safetensors")
    assert load_model(tmp_path / "model.safetensors").fuse is fuse


def test_weights_that_do_not_fit_change_nothing(model, tmp_path):
    model.save_weights(tmp_path / "w.safetensors")
    other = Sequential([*model_from_json(model.to_json()).layers[:-1], layers.Dense(7, name="dense")], seed=1)
    other.build((6, 6, 3))
    before = other.get_weights()
    with pytest.raises(
        ValueError, match=r"\[load_weights\] dense/kernel has shape .*36, 3.*36, 7.*w.safetensors"
    ):
        other.load_weights(tmp_path / "w.safetensors")
    for wrong in (
        [],
        model.get_weights(),
        [*before[:-1], np.zeros((6, 1))],
        [*before[:-1], ["a"] * 7],
        [*before[:-1], np.ones(7, complex)],
        3,
    ):
        with pytest.raises((TypeError, ValueError), match=r"^\[set_weights\]"):
            other.set_weights(wrong)
    for a, b in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_layer_may_have_any_name(x, tmp_path):
    """Also that of something else in the file."""
    names = ("optimizer", "training", "model", "pyconv")
    model = Sequential([layers.Flatten(input_shape=(6, 6, 3))], seed=0)
    for name in names:
        model.add(layers.Dense(3, name=name))
    model.add(layers.Softmax())
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, [0, 1, 2, 0], verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    slots = [values.numpy() for _, _, values in model.slot_arrays()]
    for (_, _, values), expected in zip(again.slot_arrays(), slots, strict=True):
        np.testing.assert_array_equal(values.numpy(), expected)
    fresh = model_from_json(model.to_json())
    fresh.load_weights(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(fresh.predict(x), model.predict(x))


def test_files_from_before_slots_had_a_prefix_of_their_own_still_load(model, x, tmp_path):
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, [0, 1, 2, 0], verbose=0)
    arrays, metadata = saving.contents(model)
    arrays = {name.removeprefix("/"): array for name, array in arrays.items()}
    for name in ("slots", "passes", "single_steps"):
        del metadata["training"][name]
    del metadata["training"]["position"]["first_pass"]
    checkpoint.save(tmp_path / "old.safetensors", arrays, metadata)
    again = load_model(tmp_path / "old.safetensors")
    slots = {name: array for name, array in saving.contents(again)[0].items() if name.startswith("/")}
    assert len(slots) == 2 * len(model.trainable_parameters)
    assert all(np.array_equal(array, arrays[name[1:]]) for name, array in slots.items())
    model.load_weights(tmp_path / "old.safetensors")


def twins(model):
    return [pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)]


def test_a_model_pickles_and_copies(model, x):
    for twin in twins(model):
        np.testing.assert_array_equal(twin.predict(x), model.predict(x))
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(x, [0, 1, 2, 0], epochs=2, verbose=0)
    copies = twins(model)
    expected = model.fit(x, [0, 1, 2, 0], epochs=2, verbose=0).history
    for twin in copies:
        assert twin.fit(x, [0, 1, 2, 0], epochs=2, verbose=0).history == expected
    history = pickle.loads(pickle.dumps(model.history))
    assert history.history == expected
    assert history.model is None


def test_what_is_frozen_stays_so(model, x, tmp_path):
    model.layers[1].trainable = False
    model.layers[2].layers[0].trainable = False
    model.save(tmp_path / "m.safetensors")
    for again in (
        load_model(tmp_path / "m.safetensors"),
        model_from_json(model.to_json()),
        copy.deepcopy(model),
    ):
        assert [p.name for p in again.trainable_parameters] == [p.name for p in model.trainable_parameters]
        assert not again.layers[1].trainable
        assert not again.layers[2].layers[0].trainable
        assert again.layers[2].trainable


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "3", '"a"', '{"class_name": "Sequential"}', '{"config": {}}', "[" * 100_000],
    ids=lambda text: text[:30],
)
def test_json_that_is_no_model(text):
    with pytest.raises(ValueError, match=r"^\["):
        model_from_json(text)
    with pytest.raises(TypeError, match=r"\[model_from_json\] text is None"):
        model_from_json(None)


def test_a_run_folder_is_a_model(tmp_path, monkeypatch):
    from pyconv import train
    from pyconv.datasets import shapes

    monkeypatch.setattr(
        train.cli, "load_dataset", lambda *given: (*shapes.load_data(64, 20), shapes.CLASS_NAMES)
    )
    assert train.main(["--dataset", "shapes", "--epochs", "1", "--run-dir", str(tmp_path / "run")]) == 0
    model = load_model(tmp_path / "run")
    assert model.output_shape == (10,)
    (tmp_path / "run" / "best.safetensors").unlink()
    with pytest.raises(ValueError, match="has no finished epoch"):
        load_model(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        load_model(tmp_path)


def test_clones_are_no_twins_unless_a_seed_was_given(model, x):
    assert np.array_equal(model_from_json(model.to_json()).predict(x), model.predict(x))
    unseeded = Sequential([layers.Flatten(input_shape=(6, 6, 3)), layers.Dense(3, activation="softmax")])
    clones = [model_from_json(unseeded.to_json()) for _ in range(2)]
    assert len({unseeded.seed, *(clone.seed for clone in clones)}) == 3
    assert not np.array_equal(clones[0].predict(x), clones[1].predict(x))


def test_the_draws_of_an_unseeded_model_go_on_after_loading(x, tmp_path):
    unseeded = Sequential(
        [layers.Flatten(input_shape=(6, 6, 3)), layers.Dropout(0.5), layers.Dense(3, activation="softmax")]
    )
    unseeded.compile("sgd", "sparse_categorical_crossentropy")
    unseeded.fit(x, [0, 1, 2, 0], verbose=0)
    unseeded.save(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert again.seed == unseeded.seed
    for one in (unseeded, again):
        one.fit(x, [0, 1, 2, 0], verbose=0)
    np.testing.assert_array_equal(again.get_weights()[0], unseeded.get_weights()[0])


def test_a_class_of_the_callers_does_not_take_the_place_of_pyconvs(model, tmp_path):
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(tmp_path / "m.safetensors")

    class Adam(optimizers.Adam):
        def __init__(self, learning_rate=0.5):
            super().__init__(learning_rate)

    assert type(load_model(tmp_path / "m.safetensors").optimizer) is optimizers.Adam
    model.compile(Adam(), "sparse_categorical_crossentropy")
    model.save(tmp_path / "n.safetensors")
    assert type(load_model(tmp_path / "n.safetensors").optimizer) is Adam


def test_a_subclass_with_another_constructor(x, tmp_path):
    class Mine(Sequential):
        def __init__(self, units=3):
            super().__init__([layers.Flatten(input_shape=(6, 6, 3)), layers.Dense(units)])

    mine = Mine(4)
    mine.save(tmp_path / "m.safetensors")
    for again in (load_model(tmp_path / "m.safetensors"), copy.deepcopy(mine)):
        assert type(again) is Mine
        np.testing.assert_array_equal(again.predict(x), mine.predict(x))


def test_what_cannot_be_saved_is_refused_before_training():
    class Noam(schedules.LearningRateSchedule):
        def __init__(self, d):
            self._d = d

        def __call__(self, step):
            return self._d

    with pytest.raises(TypeError, match=r"\[Noam\] the argument d is kept under no attribute of its name"):
        Sequential([layers.Dense(3)]).compile(optimizers.SGD(Noam(1)), "sparse_categorical_crossentropy")


@pytest.mark.parametrize("name", ["passes", "single_steps", "iterations", "step", "count", "first_pass"])
@pytest.mark.parametrize("value", [None, "x", [], 2.5, -1])
def test_counters_that_are_none(model, tmp_path, name, value):
    if (name, value) == ("first_pass", -1):
        pytest.skip("a pass of a training that began later may be counted from below 0")
    model.compile("adam", "sparse_categorical_crossentropy")
    arrays, metadata = saving.contents(model)
    state = metadata["training"]
    for part in (state, state["position"], state["optimizer_state"]):
        if name in part:
            part[name] = value
    checkpoint.save(tmp_path / "m.safetensors", arrays, metadata)
    with pytest.raises(ValueError, match=f"{name} is"):
        load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize("frozen", [5, "a", [3], ["nobody"]])
def test_frozen_layers_that_are_none(model, frozen):
    description = {**json.loads(model.to_json()), "frozen": frozen}
    with pytest.raises(ValueError, match=r"^\[model_from_json\] frozen"):
        model_from_json(json.dumps(description))
