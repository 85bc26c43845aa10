"""Write docs/reference.md: every public name with its signature and the first line of what it says of itself.

    python docs/make_reference.py        # with pyconv importable

tests/test_reference.py holds that it is up to date.
"""

import importlib
import inspect
import re
from pathlib import Path

from pyconv import initializers, metrics
from pyconv.keras_names import INSTEAD, KERAS
from pyconv.layers.activation import ACTIVATIONS
from pyconv.models import Model, Sequential

PAGE = Path(__file__).with_name("reference.md")

MODULES = (  # and what stands under each heading
    (
        "layers",
        "Shapes leave out the batch. Every layer takes `name`; a model's first one takes `input_shape`.",
    ),
    ("models", ""),
    ("losses", "`compile` takes the objects, and the names `categorical_crossentropy` and `sparse_...`."),
    ("optimizers", '`compile` takes the objects, and `"adam"` and `"sgd"`.'),
    ("schedules", "An optimizer's `learning_rate`; Keras keeps them in `optimizers.schedules`."),
    ("callbacks", ""),
    ("inspect", "Of a built model of one input: what goes on inside. Arrays in, arrays out."),
    ("initializers", f"By name too: {', '.join(initializers.CLASSES)}."),
    ("regularizers", ""),
    ("preprocessing", ""),
    ("datasets", ""),
    ("recipes", "Networks with their settings, for `python -m pyconv.train RECIPE`."),
    ("utils", ""),
    ("ops", "NHWC arrays, HWIO kernels. `pyconv.ops` lists the gradients beside their ops."),
    ("checkpoint", ""),
)

EXTENSION = {  # the C++ names say nothing of themselves
    "Tensor": "An array on the CPU or a GPU: `shape`, `dtype`, `device`, `numpy()`, `to(device)`",
    "empty_cache": "Give the memory that the pool keeps back to the system",
    "from_dlpack": "Return anything with `__dlpack__` as a Tensor, without a copy",
    "memory_statistics": "Return a dict of bytes that are in use, cached and were at most",
    "num_threads": "Return the number of threads that compute",
    "precision": "Return the precision of convolutions and dense layers on a GPU",
    "set_num_threads": "Set the number of threads that compute",
    "set_precision": "Set that precision: `float32`, `tf32` or `bfloat16`",
}

LOGS = """\
What `fit` logs, in its `History`, in `history.csv` and for callbacks (`data_loss` where there is a penalty):

| name | meaning |
|---|---|
| `loss` | mean over the epoch's examples of what training minimises: loss and regularizers' penalty |
| `data_loss` | the loss without that penalty: what compares to other networks' |
| `accuracy` | fraction of the examples whose largest score is the label's, under its name in `compile` |
| `val_...` | the same of the validation set, after the epoch |
| `learning_rate` | that of the epoch's end |

A bar and a line of progress leave out `data_loss` and `learning_rate`."""


def main():
    """Write the page."""
    PAGE.write_text(page())


def page():
    """Return the text of the page."""
    parts = [
        "# All there is",
        "What pyconv offers, by module; Keras' names and arguments. Made by `docs/make_reference.py`.",
        section("", "The package itself has these, and the modules below."),
    ]
    parts += [section(place, text) for place, text in MODULES]
    parts += [f"## Names\n\nactivation: {listed(ACTIVATIONS)}\n\nmetrics: {listed(metrics._ACCURACY)}"]
    parts += [f"## Logs\n\n{LOGS}", absent()]
    return "\n\n".join(parts) + "\n"


def section(place, text):
    """Return one module's heading and its names, a line each."""
    module = imported(place)
    lines = [entry(name, getattr(module, name)) for name in offered(module)]
    lines = [line for line in lines if line]
    if place == "models":
        for kind in (Model, Sequential):
            methods = [n for n, f in vars(kind).items() if inspect.isfunction(f) and n[0] != "_"]
            lines += [entry(f"{kind.__name__}.{name}", getattr(kind, name)) for name in methods]
    heading = f"## `{module.__name__}`"
    return "\n\n".join(filter(None, [heading, text, "\n".join(lines)]))


def entry(name, thing):
    """Return the line of one name; a module's names follow under it."""
    if inspect.ismodule(thing):
        if not thing.__name__.startswith(("pyconv.datasets.", "pyconv.recipes.")):
            return ""
        inner = [(n, getattr(thing, n)) for n in offered(thing)]
        rows = [entry(f"{name}.{n}", v) for n, v in inner if callable(v)]
        return "\n".join([f"- `{name}`: {first_line(thing)}", *rows])
    signature, text = described(thing)
    return f"- `{name}{signature}`: {text or EXTENSION[name]}"


def described(thing):
    """Return a callable's signature and the first line of its docstring."""
    text = inspect.getdoc(thing) or ""
    if isinstance(thing, type) and issubclass(thing, Exception):
        return "", first_line(text)
    try:
        signature = inspect.signature(thing)
        parameters = [p for p in signature.parameters.values() if p.name != "self"]
        plain = signature.replace(
            parameters=[p.replace(annotation=p.empty) for p in parameters], return_annotation=signature.empty
        )
        shown = re.sub(r"<\w+[^>]*>", "...", str(plain))
    except ValueError:  # of the extension: pybind11 writes it into the docstring
        first, _, rest = text.partition("\n")
        text = rest if "->" in first else text
        names = re.findall(r"(\w+):", first.partition(" ->")[0])
        shown = f"({', '.join(names)})" if "(" in first else ""
    return shown, first_line(text)


def first_line(thing):
    """Return the first line of a docstring, without its full stop."""
    text = thing if isinstance(thing, str) else inspect.getdoc(thing)
    return text.strip().splitlines()[0].rstrip(".") if text.strip() else ""


def absent():
    """Return the section of Keras' names that are not there."""
    rows = []
    for place in KERAS:
        if place and place not in dict(MODULES) and place not in ("metrics", "activations"):
            continue
        module = None if place == "activations" else imported(place)
        offered_here = ACTIVATIONS if module is None else ()
        there = {plain(n) for n in (offered_here if module is None else dir(module)) if n[0] != "_"}
        names = [
            n for n in KERAS[place].split() if plain(n) not in {*there, "serialize", "deserialize", "get"}
        ]
        shown = [f"{n} ({INSTEAD[place][n]})" if n in INSTEAD.get(place, {}) else n for n in names]
        keras = f"keras.{place}".rstrip(".").replace("keras.schedules", "keras.optimizers.schedules")
        rows.append(f"**{keras}**: {', '.join(shown)}.")
    intro = "Asked for, each is answered with what is; in brackets what stands in for it."
    return "\n\n".join(["## Keras' names that are not there", intro, *rows])


def plain(name):
    """Return a name as it is whether it is a class' or a function's."""
    return name.lower().replace("_", "")


def imported(place):
    """Return the module `pyconv.PLACE`."""
    return importlib.import_module(f"pyconv.{place}".rstrip("."))


def offered(module):
    """Return a module's public names."""
    own = [n for n, v in vars(module).items() if n[0] != "_" and inspect.getmodule(v) is module]
    if module.__name__ == "pyconv.recipes":
        return [*module.NAMES, "get"]
    if module.__name__ == "pyconv.models":
        return module.__all__
    return sorted(getattr(module, "__all__", own), key=str.lower)


def listed(names):
    """Return names as code."""
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    main()
