"""Models as files."""

import json

import numpy as np
import pytest

from pyconv import layers, load_model, model_from_json
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
    with pytest.raises(ValueError, match="expected a Sequential, got a ReLU"):
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
