"""Every public callable outside `ops`, with wrong values for each argument: errors of the promised kinds.

TypeError for a wrong kind of value, ValueError for a wrong value, OSError for files; the message names who
refuses and the argument: `[Dense] units is 'text', expected ...`. tests/test_ops.py walks the ops.
"""

import inspect
import warnings

import numpy as np
import pytest

from pyconv import (
    Augmentation,
    Sequential,
    callbacks,
    checkpoint,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    recipes,
    regularizers,
    schedules,
    utils,
)
from pyconv import inspect as looking
from pyconv.datasets import cifar10, shapes
from pyconv.preprocessing.image import ImageDataGenerator

X = np.zeros((4, 6, 6, 2), np.float32)
Y = np.array([0, 1, 2, 0])
NEVER = object()  # no argument takes it

WRONG = {
    "object": NEVER,
    "text": "text",
    "empty text": "",
    "bytes": b"text",
    "fraction": 3.7,
    "nan": float("nan"),
    "infinity": float("inf"),
    "negative": -5,
    "huge": 2**70,
    "beyond float": 10**400,
    "complex": 1j,
    "None": None,
    "list": [],
    "ragged": [[1, 2], [3]],
    "texts": ["a", "b"],
    "dict": {"a": 1},
    "config": {"class_name": "Nothing", "config": {}},
    "bad config": {"class_name": [], "config": 3},
    "tuple": (1, 2, 3, 4, 5),
    "array": np.ones((2, 2)),
    "text array": np.array(["a"]),
    "objects": np.array([object()]),
    "function": lambda: 0,
    "class": dict,
    "layer": layers.ReLU(),
}


def net():
    model = Sequential(
        [layers.Conv2D(2, 3, input_shape=(6, 6, 2)), layers.Flatten(), layers.Dense(3, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def method(cls, name, **made):
    """Return a function that calls a method of a new object, with the method's signature."""

    def call(**arguments):
        return getattr(cls(**made), name)(**arguments)

    parameters = list(inspect.signature(getattr(cls, name)).parameters.values())[1:]
    call.__signature__ = inspect.Signature(parameters)
    return call


def of_model(name):
    """Return a function that calls a method of a compiled model."""

    def call(**arguments):
        return getattr(net(), name)(**arguments)

    call.__signature__ = inspect.Signature(
        list(inspect.signature(getattr(Sequential, name)).parameters.values())[1:]
    )
    return call


def set_weights(weights):
    """Write the weights of a layer."""
    layer = layers.Dense(3)
    layer.ensure_built((2,))
    layer.set_weights(weights)


def needs_nothing(cls):
    """Whether objects of a class are made without arguments."""
    return all(p.default is not p.empty for p in inspect.signature(cls).parameters.values())


# name -> (callable, the arguments it takes as they should be)
CALLS = {
    **{
        name: (cls, {})
        for name, cls in vars(layers).items()
        if name in layers.__all__ and name != "Layer" and needs_nothing(cls)
    },
    "Activation": (layers.Activation, {"activation": "relu"}),
    "Conv2D": (layers.Conv2D, {"filters": 4, "kernel_size": 3}),
    "Dense": (layers.Dense, {"units": 4}),
    "Dropout": (layers.Dropout, {"rate": 0.5}),
    "Input": (layers.Input, {"shape": (4, 4, 3)}),
    "Normalization": (layers.Normalization, {"mean": 1, "variance": 2}),
    "Concatenate": (layers.Concatenate, {"axis": -1}),
    "ByName": (optimizers.ByName, {"rules": {"*": "sgd"}}),
    "Residual": (layers.Residual, {"layers": [layers.ReLU()]}),
    "Dense.__call__": (method(layers.Dense, "__call__", units=3), {"x": np.ones((2, 3), np.float32)}),
    "Dense.set_weights": (set_weights, {"weights": [np.ones((2, 3)), np.ones(3)]}),
    "Normalization.adapt": (method(layers.Normalization, "adapt"), {"x": X}),
    "CategoricalCrossentropy": (losses.CategoricalCrossentropy, {}),
    "SparseCategoricalCrossentropy": (losses.SparseCategoricalCrossentropy, {}),
    "losses.get": (losses.get, {"identifier": "categorical_crossentropy"}),
    "Adam": (optimizers.Adam, {}),
    "SGD": (optimizers.SGD, {}),
    "optimizers.get": (optimizers.get, {"identifier": "adam"}),
    "ConstantRate": (schedules.ConstantRate, {"learning_rate": 0.1}),
    "CosineDecay": (
        schedules.CosineDecay,
        {"initial_learning_rate": 0.1, "decay_steps": 9, "warmup_target": 0.2, "warmup_steps": 3},
    ),
    "CosineDecay.__call__": (
        method(schedules.CosineDecay, "__call__", initial_learning_rate=0.1, decay_steps=9),
        {"step": 1},
    ),
    "ExponentialDecay": (
        schedules.ExponentialDecay,
        {"initial_learning_rate": 0.1, "decay_steps": 9, "decay_rate": 0.5},
    ),
    "LinearWarmup": (schedules.LinearWarmup, {"schedule": 0.1, "warmup_steps": 3}),
    "OneCycle": (schedules.OneCycle, {"max_learning_rate": 0.1, "total_steps": 9}),
    "PiecewiseConstantDecay": (schedules.PiecewiseConstantDecay, {"boundaries": [1], "values": [1, 0.5]}),
    "Constant": (initializers.Constant, {}),
    "GlorotUniform": (initializers.GlorotUniform, {}),
    "HeNormal.__call__": (
        method(initializers.HeNormal, "__call__"),
        {"shape": (3, 4), "seed": 1, "purpose": 0},
    ),
    "Ones.__call__": (method(initializers.Ones, "__call__"), {"shape": (3, 4)}),
    "initializers.get": (initializers.get, {"identifier": "zeros"}),
    "L2": (regularizers.L2, {}),
    "regularizers.get": (regularizers.get, {"identifier": "l2"}),
    "metrics.resolve": (metrics.resolve, {"metrics": "accuracy"}),
    "metrics.named": (metrics.named, {"metrics": "accuracy"}),
    "Accuracy": (metrics.Accuracy, {}),
    "to_categorical": (utils.to_categorical, {"y": Y}),
    "set_random_seed": (utils.set_random_seed, {"seed": 0}),
    "Augmentation": (Augmentation, {}),
    "Augmentation.__call__": (method(Augmentation, "__call__", rotation_range=9), {"x": X, "seed": 1}),
    "ImageDataGenerator": (ImageDataGenerator, {}),
    "ImageDataGenerator.fit": (method(ImageDataGenerator, "fit"), {"x": X}),
    "ImageDataGenerator.flow": (method(ImageDataGenerator, "flow"), {"x": X, "y": Y}),
    "shapes.load_data": (shapes.load_data, {"train": 1, "test": 1}),
    "cifar10.load_data": (cifar10.load_data, {"data_dir": "no folder"}),
    "cifar10.find": (cifar10.find, {"data_dir": "no folder"}),
    "recipes.get": (recipes.get, {"name": "blog"}),
    "Sequential": (Sequential, {}),
    "load_model": (models.load_model, {"path": "no file"}),
    "model_from_json": (models.model_from_json, {"text": Sequential([layers.ReLU()]).to_json()}),
    "checkpoint.load": (checkpoint.load, {"path": "no file"}),
    "checkpoint.save": (checkpoint.save, {"path": "w.safetensors", "arrays": {"a": Y}, "metadata": {}}),
    **{
        f"Sequential.{name}": (of_model(name), arguments)
        for name, arguments in {
            "add": {"layer": layers.ReLU()},
            "build": {"input_shape": (6, 6, 2)},
            "compile": {},
            "evaluate": {"x": X, "y": Y},
            "fit": {"x": X, "y": Y, "verbose": 0},
            "get_layer": {"name": "dense"},
            "load_weights": {"path": "no file"},
            "predict": {"x": X},
            "predict_on_batch": {"x": X},
            "save": {"path": "m.safetensors"},
            "save_weights": {"path": "w.safetensors"},
            "set_weights": {"weights": net().get_weights()},
            "summary": {"print_fn": lambda text: None},
            "to": {"device": "cpu"},
            "train_on_batch": {"x": X, "y": Y},
        }.items()
    },
    **{
        f"inspect.{name}": (getattr(looking, name), {"model": net(), "x": X, **arguments})
        for name, arguments in {
            "confusion": {"y": Y},
            "deep_dream": {"layer": "conv2d", "octaves": 1, "steps": 1},
            "effective_field": {"layer": "conv2d"},
            "explain": {"x": X[0], "layer": "dense", "index": 0},
            "mistakes": {"y": Y},
            "top_patches": {"layer": "conv2d", "channel": 0},
            "features": {},
            "grad_cam": {},
            "gradient": {},
            "occlusion": {"size": 2, "stride": 2},
            "saliency": {"samples": 1},
        }.items()
    },
    "inspect.maximise": (looking.maximise, {"model": net(), "of": 0, "steps": 1}),
    "inspect.receptive_field": (looking.receptive_field, {"model": net(), "layer": "conv2d"}),
    "CSVLogger": (callbacks.CSVLogger, {"filename": "log.csv"}),
    "EarlyStopping": (callbacks.EarlyStopping, {}),
    "LambdaCallback": (callbacks.LambdaCallback, {}),
    "LearningRateScheduler": (callbacks.LearningRateScheduler, {"schedule": lambda epoch: 0.1}),
    "ModelCheckpoint": (callbacks.ModelCheckpoint, {"filepath": "w.safetensors"}),
    "ReduceLROnPlateau": (callbacks.ReduceLROnPlateau, {}),
    "TensorBoard": (callbacks.TensorBoard, {}),
}


# What a message says for an argument that has no name of its own there.
SAID = {
    "layers": ("layer",),
    "input_shape": ("input_shape", "inputs of shape"),
    "path": ("path", "expected .safetensors"),
    "identifier": ("unknown", " is None"),
    "name": ("name", "unknown recipe"),
    "cval": ("fill_value",),
}

# What an argument takes, though it would take for ever.
ENDLESS = {(name, kind) for name in ("epochs", "steps_per_epoch") for kind in ("huge", "beyond float")}

# A function of the caller's own, which may take nothing or raise what it likes.
FUNCTIONS = {("print_fn", kind) for kind in ("function", "class", "layer")}


def faults(call, good):
    """Return what is wrong with the answers to wrong values, a line each."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, parameter in inspect.signature(call).parameters.items():
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            for kind, value in WRONG.items():
                if (name, kind) in ENDLESS | FUNCTIONS:
                    continue
                try:
                    call(**{**good, name: value})
                except OSError:
                    continue
                except (TypeError, ValueError) as error:
                    text = str(error)
                    bad = type(error) not in (TypeError, ValueError) and not isinstance(
                        error, checkpoint.CheckpointError
                    )
                    if (
                        bad
                        or not text.startswith("[")
                        or not any(said in text for said in SAID.get(name, [name]))
                        or "incompatible function" in text
                    ):
                        found.append(f"{name}={kind}: {type(error).__name__}: {text[:100]}")
                except Exception as error:
                    found.append(f"{name}={kind}: {type(error).__name__}: {str(error)[:100]}")
                else:
                    if value is NEVER:
                        found.append(f"{name}: anything is taken")
    return found


@pytest.mark.parametrize("name", CALLS)
def test_wrong_values_are_refused_by_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYCONV_DATA", str(tmp_path))
    assert faults(*CALLS[name]) == []


def test_every_public_class_and_function_is_walked():
    """But for bases of others' classes, and what takes no argument."""
    bases = {
        "Layer",
        "Metric",
        "Parameter",
        "Loss",
        "Optimizer",
        "LearningRateSchedule",
        "Initializer",
        "Callback",
    }
    bases |= {
        "Callback",
        "CallbackList",
        "History",
        "l2",
        "get",
        "random_seed",
        "resolve",
        "HeNormal",
        "HeUniform",
        "Ones",
        "Zeros",
    }
    bases |= {"GlorotNormal"}
    walked = {name.split(".")[-1] for name in CALLS}
    for module in (
        layers,
        losses,
        optimizers,
        schedules,
        initializers,
        regularizers,
        metrics,
        utils,
        callbacks,
    ):
        assert set(module.__all__) - walked - bases == set()
