"""A name that is not there is answered with what is: modules, imports and strings."""

import copy
import importlib
import pickle
import re
import subprocess
import sys

import pytest

import pyconv
from pyconv import initializers, layers, losses, metrics, names, optimizers, regularizers
from pyconv.keras_names import INSTEAD, KERAS

MODULES = ("layers", "models", "optimizers", "schedules", "losses", "metrics", "callbacks", "initializers")
MODULES += ("regularizers", "utils", "datasets", "preprocessing", "recipes", "ops")


def imported(module, name):
    exec(f"from {module} import {name}", {})


@pytest.mark.parametrize("place", ["", *MODULES])
def test_every_name_of_keras_is_there_or_answered(place):
    path = f"pyconv.{place}".rstrip(".")
    module = importlib.import_module(path)
    for name in [*KERAS.get(place, "").split(), "NoSuchThing"]:
        if hasattr(module, name):
            continue
        with pytest.raises(AttributeError) as attribute:
            getattr(module, name)
        with pytest.raises(ImportError) as imports:
            imported(path, name)
        for error in (attribute, imports):
            text = str(error.value)
            assert text.startswith(f"module '{path}' has no {name}")
            assert "\n" not in text
            assert "; there are " in text
        assert ("Keras has it" in text or "(use " in text or "did you mean" in text) == (
            name != "NoSuchThing"
        )


@pytest.mark.parametrize(
    ("module", "name", "answer"),
    [
        ("layers", "Conv2d", "did you mean Conv2D?"),
        ("layers", "Maxpooling2D", "did you mean MaxPooling2D?"),
        ("layers", "BatchNorm", "did you mean BatchNormalization?"),
        ("layers", "MaxPool2D", "use MaxPooling2D"),
        ("layers", "LeakyReLU", "Keras has it, pyconv does not"),
        ("layers", "Conv1D", "Keras has it, pyconv does not"),
        ("models", "save_model", "use Model.save"),
        ("callbacks", "EarlyStoping", "did you mean EarlyStopping?"),
        ("optimizers", "Sgd", "did you mean SGD?"),
        ("optimizers", "schedules", "use pyconv.schedules"),
        ("losses", "sparse_categorical_crossentropy", "did you mean SparseCategoricalCrossentropy?"),
        ("initializers", "glorot_uniform", "did you mean GlorotUniform?"),
        ("utils", "to_categoricals", "did you mean to_categorical?"),
        ("ops", "conv_2d", "did you mean conv2d?"),
    ],
)
def test_the_answer(module, name, answer):
    with pytest.raises(ImportError, match=re.escape(f"has no {name} ({answer}")):
        imported(f"pyconv.{module}", name)


def test_top_level():
    assert pyconv.metrics is metrics
    for name, answer in [("Input", "pyconv.layers.Input"), ("activations", 'activation="relu"')]:
        with pytest.raises(AttributeError, match=rf"module 'pyconv' has no {name} \(use .*{answer}"):
            getattr(pyconv, name)
    with pytest.raises(ImportError, match=r"has no applications .use pyconv.recipes"):
        imported("pyconv", "applications")


def test_hints_name_what_is_there():
    for place, hints in INSTEAD.items():
        module = importlib.import_module(f"pyconv.{place}".rstrip("."))
        for name, hint in hints.items():
            assert not hasattr(module, name)
            word = hint.split("(")[0].split(" ")[0].strip(";,")
            if word.startswith("pyconv."):
                *path, last = word.split(".")
                assert hasattr(importlib.import_module(".".join(path)), last), hint


@pytest.mark.parametrize("module", MODULES)
def test_what_else_asks_for_names_is_left_alone(module):
    path = f"pyconv.{module}"
    found = importlib.import_module(path)
    assert not hasattr(found, "nothing")
    assert not hasattr(found, "__wrapped__")
    assert getattr(found, "nothing", 7) == 7
    with pytest.raises(AttributeError, match="has no attribute '__wrapped__'"):
        _ = found.__wrapped__
    space = {}
    exec(f"from {path} import *", space)
    assert all(name in space for name in getattr(found, "__all__", ()))
    assert "__getattr__" not in getattr(found, "__all__", ())


def test_modules_and_classes_pickle_and_copy():
    assert pickle.loads(pickle.dumps(layers.Conv2D)) is layers.Conv2D
    assert copy.deepcopy(optimizers.Adam(0.5)).learning_rate == 0.5


def test_an_import_of_many_names():
    many = ", ".join(f"Conv2D as a{i}" for i in range(300))  # beyond one byte of the instruction
    with pytest.raises(ImportError, match="has no Nothing; there are Activation"):
        exec(f"from pyconv.layers import {many}, Nothing", {})


def test_importing_loads_nothing_of_this():
    code = "import pyconv.layers, sys; print({'difflib', 'pyconv.keras_names'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: layers.Dense(3, activation="gelu"),
            r"\[Dense\] activation is 'gelu', expected one of relu, ",
        ),
        (
            lambda: layers.Activation("gelu"),
            r"\[Activation\] activation is 'gelu'.*Keras has it, pyconv does",
        ),
        (lambda: layers.Dense(3, activation="Relu"), r"did you mean relu\?"),
        (
            lambda: layers.Conv2D(3, 3, kernel_initializer="orthogonal"),
            r"kernel_initializer is 'orthogonal'.*Ker",
        ),
        (
            lambda: layers.Conv2D(3, 3, kernel_regularizer="l1"),
            r"\[Conv2D\] kernel_regularizer is 'l1', expected",
        ),
        (
            lambda: optimizers.get("rmsprop"),
            "unknown optimizer 'rmsprop', expected one of adam, sgd .Keras has it",
        ),
        (lambda: optimizers.get("adamm"), r"did you mean adam\?"),
        (
            lambda: losses.get("mse"),
            r"unknown loss 'mse', expected one of cat.*Keras has it, pyconv does not",
        ),
        (
            lambda: losses.get("sparse_categorical_crossentropi"),
            r"did you mean sparse_categorical_crossentropy\?",
        ),
        (lambda: metrics.resolve(["auc"]), r"unknown metric 'auc', expected one of accuracy.*Keras has it"),
        (lambda: metrics.resolve("accurcy"), r"did you mean accuracy\?"),
        (lambda: initializers.get("he_norm"), r"did you mean he_normal\?"),
        (lambda: regularizers.get("l1_l2"), "expected one of l2 .Keras has it"),
    ],
)
def test_strings(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_strings_as_keras_takes_them():
    assert type(optimizers.get("Adam")) is optimizers.Adam
    assert type(optimizers.get("SGD")) is optimizers.SGD
    assert type(losses.get("SparseCategoricalCrossentropy")) is losses.SparseCategoricalCrossentropy
    assert type(initializers.get("HeNormal")) is initializers.HeNormal


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optimizers.get(optimizers.Adam), r"an object of the class is Adam\(\)"),
        (lambda: optimizers.get(losses.CategoricalCrossentropy()), "expected an object of pyconv.optimizers"),
        (
            lambda: losses.get(lambda a, b: 0),
            r"\[loss\] unknown loss .*, expected an object of pyconv.losses",
        ),
        (
            lambda: layers.Dense(3, kernel_regularizer=0.01),
            r"\[Dense\] kernel_regularizer is 0.01, expected an",
        ),
        (lambda: layers.Dense(3, kernel_initializer=None), r"\[Dense\] kernel_initializer is None, expected"),
        (
            lambda: layers.Dense(3, activation=layers.ReLU),
            r"\[Dense\] activation is <class .*, expected None",
        ),
        (
            lambda: layers.Dense(3, activation=layers.Flatten()),
            r"\[Dense\] activation is Flatten\(\), expected",
        ),
        (
            lambda: metrics.resolve([len]),
            r"\[metrics\] metrics is \[<built-in function len>\], expected a list",
        ),
    ],
)
def test_what_is_no_name(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_nearest():
    assert names.nearest("conv2_d", ["Conv2D", "Dense"]) == "Conv2D"
    assert names.nearest("zzz", ["Conv2D", "Dense"]) is None
