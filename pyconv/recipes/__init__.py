"""Recipes: a module each, with `network(settings)`, which gives a Sequential, and its `Settings`."""

import importlib

from pyconv import names

NAMES = ("blog", "shapes")


def get(name):
    """Return the module of the recipe `name`. Raises ValueError for an unknown one."""
    if name not in NAMES:
        raise ValueError(f"[recipes] unknown recipe {name!r}, expected one of {', '.join(NAMES)}")
    return importlib.import_module(f"pyconv.recipes.{name}")


def __getattr__(name):
    if name in NAMES:
        return get(name)
    raise names.missing(__name__, name, (*NAMES, "get"))
