"""Recipes: a module each, with `network(settings)`, which gives a Sequential, and its `Settings`."""

import importlib

from pyconv import names
from pyconv.arguments import shown

NAMES = ("blog", "blog90", "shapes")


def get(name):
    """Return the module of the recipe `name`. Raises ValueError for an unknown one."""
    if not isinstance(name, str) or name not in NAMES:
        kind = ValueError if isinstance(name, str) else TypeError
        raise kind(f"[recipes] unknown recipe {shown(name)}, expected one of {', '.join(NAMES)}")
    return importlib.import_module(f"pyconv.recipes.{name}")


def __getattr__(name):
    if name in NAMES:
        return get(name)
    raise names.missing(__name__, name, (*NAMES, "get"))
