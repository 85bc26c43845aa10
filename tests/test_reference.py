"""docs/reference.md lists all there is."""

import importlib.util
from pathlib import Path

import pytest

import pyconv
from pyconv import callbacks, layers, losses, ops, optimizers, schedules

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(maker):
    assert (DOCS / "reference.md").read_text() == maker.page(), "run python docs/make_reference.py"


def test_every_public_name_is_on_it():
    text = (DOCS / "reference.md").read_text()
    for module in (layers, losses, optimizers, schedules, callbacks, ops):
        for name in module.__all__:
            assert f"- `{name}" in text
    modules = [name for name in pyconv.__all__ if f"## `pyconv.{name}`" in text]
    assert set(pyconv._SUBMODULES) - set(modules) == {"cuda", "metrics"}
    assert all(f"- `{name}" in text for name in pyconv.__all__ if name not in pyconv._SUBMODULES)


def test_each_name_says_something(maker):
    lines = [line for line in maker.page().splitlines() if line.startswith("- `")]
    assert all(len(line.partition("`: ")[2]) > 3 for line in lines)
    assert all("<" not in line.partition("`: ")[0] for line in lines)
