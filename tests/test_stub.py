"""pyconv/_core.pyi says what the extension module is: the same names, the same parameters."""

import ast
from pathlib import Path

import pytest

import pyconv
from pyconv import _core

STUB = ast.parse(Path(pyconv.__file__).with_name("_core.pyi").read_text())


def declared(body):
    """Return {name: node} of the public names that a stub's body declares."""
    names = {}
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names[node.name] = node
        elif isinstance(node, ast.AnnAssign):
            names[node.target.id] = node
    return {name: node for name, node in names.items() if not name.startswith("_") or name.endswith("__")}


def bound(function):
    """Return the AST of the signature that pybind11 puts on the first line of a docstring."""
    return ast.parse(f"def {function.__doc__.splitlines()[0]}: ...").body[0]


def parameters(node):
    """Return (kind, name, default) of each parameter; a default of None, '...' in the stub, matches any."""
    a = node.args
    positional = [*a.posonlyargs, *a.args]
    defaults = [None] * (len(positional) - len(a.defaults)) + a.defaults
    rows = [("positional", p.arg, d) for p, d in zip(positional, defaults, strict=True)]
    rows += [("keyword", p.arg, d) for p, d in zip(a.kwonlyargs, a.kw_defaults, strict=True)]
    rows += [(kind, p.arg, None) for kind, p in (("*", a.vararg), ("**", a.kwarg)) if p]
    return [(kind, name, default and ast.literal_eval(default)) for kind, name, default in rows]


def assert_same_parameters(function, node):
    actual, expected = parameters(bound(function)), parameters(node)
    assert [(kind, name) for kind, name, _ in actual] == [(kind, name) for kind, name, _ in expected]
    for (_, name, value), (_, _, stated) in zip(actual, expected, strict=True):
        if stated is not ...:
            assert value == pytest.approx(stated) if isinstance(stated, float) else value == stated, name


FUNCTIONS = {name: node for name, node in declared(STUB.body).items() if isinstance(node, ast.FunctionDef)}
CLASSES = {name: node for name, node in declared(STUB.body).items() if isinstance(node, ast.ClassDef)}


def test_the_same_public_names():
    public = {name for name in dir(_core) if not name.startswith("_")} | {"__version__"}
    assert declared(STUB.body).keys() == public


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_the_same_parameters(name):
    assert_same_parameters(getattr(_core, name), FUNCTIONS[name])


@pytest.mark.parametrize("name", CLASSES)
def test_classes_have_the_same_members(name):
    actual, expected = getattr(_core, name), declared(CLASSES[name].body)
    public = {member for member in vars(actual) if not member.startswith("_")}
    assert public == {member for member in expected if not member.startswith("_")}
    for member, node in expected.items():
        value = vars(actual)[member]
        is_property = any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)
        assert isinstance(value, property) == is_property, member
        if not is_property:
            assert_same_parameters(value, node)
