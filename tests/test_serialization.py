"""Configs that do not hold are refused with ValueError or TypeError, whatever they are."""

import json

import pytest

from pyconv import layers, optimizers
from pyconv.serialization import deserialize, serialize


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"class_name": "Nothing", "config": {}},
            r"\[deserialize\] unknown class 'Nothing', expected one of ",
        ),
        ({"class_name": [], "config": {}}, r"\[deserialize\] unknown class \[\]"),
        ({"class_name": None, "config": {}}, r"\[deserialize\] unknown class None"),
        (
            {"class_name": "Dense", "config": None},
            r"the config of Dense is None, expected a dict of arguments",
        ),
        ({"class_name": "Dense", "config": {1: 2}}, r"the config of Dense is \{1: 2\}"),
        ({"class_name": "Dense", "config": {"units": -1}}, r"\[Dense\] units is -1, expected an integer in"),
        (
            {"class_name": "Dense", "config": {"unit": 3}},
            r"\[Dense\] .*argument.*; it takes units, activation",
        ),
        ({"class_name": "Dense", "config": {}}, r"\[Dense\] missing a required argument: 'units'"),
        (
            {"class_name": "Residual", "config": {"layers": [3]}},
            r"\[Residual\] layers has an int, expected layers",
        ),
    ],
)
def test_bad_configs(config, message):
    with pytest.raises((TypeError, ValueError), match=message):
        deserialize(config)


def test_nested_beyond_reason():
    config = serialize(layers.ReLU())
    for _ in range(5000):
        config = {"class_name": "Residual", "config": {"layers": [config]}}
    with pytest.raises(ValueError, match=r"\[deserialize\] the config of Residual is nested too deeply"):
        deserialize(config)


def test_an_optimizers_config_of_another_class():
    with pytest.raises(TypeError, match=r"unknown optimizer .*expected an object of pyconv.optimizers"):
        optimizers.get(serialize(layers.ReLU()))
    with pytest.raises(
        ValueError, match=r"unknown optimizer a config that does not hold: \[Adam\] beta_1 is 2"
    ):
        optimizers.get({"class_name": "Adam", "config": {"beta_1": 2}})


def test_repr_shows_what_differs_from_the_defaults():
    layer = layers.Conv2D(8, 3, padding="same", kernel_initializer="he_normal", name="first")
    expected = (
        "Conv2D(filters=8, kernel_size=[3, 3], padding='same', kernel_initializer=HeNormal(), name='first')"
    )
    assert repr(layer) == expected
    assert repr(optimizers.SGD()) == "SGD()"
    json.dumps(serialize(layer))
