"""A name that is not there, answered with what is: for modules' attributes and for strings."""

import sys

_ALIKE = 0.75  # difflib's ratio of two names from which one may be a slip of the other


def missing(module, name, offered):
    """Return the error for `module.name`, to be raised by the module's `__getattr__`.

    An AttributeError, as `hasattr` and `getattr` expect; under `from module import name`, which would replace
    that one's text, an ImportError.
    """
    caller = sys._getframe(2)
    if name.startswith("_") or caller.f_globals.get("__name__") == "importlib._bootstrap":
        return AttributeError(f"module {module!r} has no attribute {name!r}")
    place = module.removeprefix("pyconv").removeprefix(".")
    offered = sorted(offered, key=str.lower)
    text = f"module {module!r} has no {name}{_hint(name, offered, place)}; there are {', '.join(offered)}"
    if _is_import_from(caller):
        return ImportError(text, name=module)
    return AttributeError(text)


def made_in(package, values):
    """Return the names of what the files of `package` make, of its namespace `values`: what it offers."""
    return sorted(name for name, value in values.items() if _maker(value).startswith(f"{package}."))


def _maker(value):
    return str(getattr(value, "__module__", ""))


def unknown(subject, value, offered, place):
    """Return the ValueError for text that names nothing: "SUBJECT 'value', expected one of ...".

    `place` is where Keras keeps such names: "optimizers", "activations", ...
    """
    hint = _hint(value, list(offered), place)
    return ValueError(f"{subject} {value!r}, expected one of {', '.join(offered)}{hint}")


def nearest(name, offered):
    """Return the offered name that `name` may be a slip of, or None."""
    import difflib  # here, since few ever get here

    plain = {_plain(other): other for other in offered}
    key = _plain(name)
    if key in plain:
        return plain[key]
    begun = [other for other in plain if len(key) > 3 and other.startswith(key)]
    alike = begun if len(begun) == 1 else difflib.get_close_matches(key, plain, n=1, cutoff=_ALIKE)
    return plain[alike[0]] if alike else None


def _hint(name, offered, place):
    """Return, in brackets, what is known of a name that is not offered; nothing where nothing is."""
    from pyconv.keras_names import INSTEAD, KERAS, SHORT

    known = name in f"{KERAS.get(place, '')} {SHORT.get(place, '')}".split()
    near = nearest(name, offered)
    if instead := INSTEAD.get(place, {}).get(name):
        return f" (use {instead})"
    if near and (not known or _plain(near) == _plain(name)):
        return f" (did you mean {near}?)"
    return " (Keras has it, pyconv does not)" if known else ""


def _plain(name):
    return name.lower().replace("_", "")


def _is_import_from(frame):
    """Whether a frame is at the second half of `from module import name`."""
    import dis

    code, place = frame.f_code.co_code, frame.f_lasti
    while code[place] == dis.EXTENDED_ARG:  # where Python 3.10 stands for a name beyond the 256th
        place += 2
    return code[place] == dis.opmap["IMPORT_FROM"]
