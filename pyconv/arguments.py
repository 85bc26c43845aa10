"""What callers hand in, checked: one rule a kind of value, one form of message.

Each function returns the value as Python's own type. A value of another kind raises TypeError, one out of
range ValueError; both say `[op] name is VALUE, expected ...`. Arrays are checked in `ops/arguments.py`, and
what goes to the extension in `csrc/bindings/arguments.h`.
"""

import math
import numbers
import os

import numpy as np

_MOST_TEXT = 80  # characters of a value in a message


def integer(value, name, op, *, least=None, most=None):
    """Return a whole number in [least, most] as an int; a fraction, text or a bool is refused."""
    expected = _range("an integer", least, most)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(_message(op, name, value, expected))
    if (least is not None and value < least) or (most is not None and value > most):
        raise ValueError(_message(op, name, value, expected))
    return int(value)


def number(value, name, op, *, least=None, most=None, above=None, below=None, also=""):
    """Return a finite real number as a float: in [least, most], greater than `above`, less than `below`.

    `also` says what else the caller takes, for the message.
    """
    expected = _range("a number", least, most, above, below) + (f" or {also}" if also else "")
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(_message(op, name, value, expected))
    try:
        real = float(value)
    except OverflowError:
        real = math.inf
    holds = (
        abs(real) < math.inf
        and (least is None or real >= least)
        and (most is None or real <= most)
        and (above is None or real > above)
        and (below is None or real < below)
    )
    if not holds:  # NaN too
        raise ValueError(_message(op, name, value, expected))
    return real


def flag(value, name, op):
    """Return True or False."""
    if not isinstance(value, (bool, np.bool_)) and not (isinstance(value, int) and value in (0, 1)):
        raise TypeError(_message(op, name, value, "True or False"))
    return bool(value)


def text(value, name, op):
    """Return a text that is not empty."""
    if not isinstance(value, str):
        raise TypeError(_message(op, name, value, "text"))
    if not value:
        raise ValueError(_message(op, name, value, "text that is not empty"))
    return value


def verbosity(value, name, op, *, most=1):
    """Return 0 to `most`; True and False are 1 and 0."""
    return int(value) if isinstance(value, (bool, np.bool_)) else integer(value, name, op, least=0, most=most)


def choice(value, choices, name, op):
    """Return `value`, which must be one of `choices`."""
    if not any(type(value) is type(c) and value == c for c in choices):
        kind = ValueError if any(isinstance(value, type(c)) for c in choices) else TypeError
        raise kind(_message(op, name, value, f"one of {', '.join(map(str, choices))}"))
    return value


def items(value, name, op, expected):
    """Return what an iterable gives as a list; `expected` says what the error calls it. Text is none."""
    try:
        if isinstance(value, (str, bytes, dict)):
            raise TypeError
        return list(value)
    except TypeError:
        raise TypeError(_message(op, name, value, expected)) from None


def seed(value, op, name="seed"):
    """Return an integer in [0, 2**64), what a seed is."""
    if isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_)):
        if not 0 <= value < 2**64:
            raise ValueError(_message(op, name, value, "an integer in [0, 2**64)"))
        return int(value)
    raise TypeError(_message(op, name, value, "an integer in [0, 2**64)"))


def path(value, name, op):
    """Return a path (text or `os.PathLike`) as text."""
    if isinstance(value, (str, os.PathLike)):
        value = os.fspath(value)
        if isinstance(value, str) and value and "\0" not in value:
            return value
        raise ValueError(_message(op, name, value, "a path"))
    raise TypeError(_message(op, name, value, "a path"))


def shown(value):
    """Return a value as an error shows it: its repr, or what kind of thing it is where that would be long."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    try:
        text = repr(value)
    except Exception:  # a repr of the caller's own
        return kind_of(value)
    return text if len(text) <= _MOST_TEXT and "\n" not in text else kind_of(value)


def kind_of(value):
    """Return what kind of thing a value is: "an int", "a Conv2D", "None"."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _range(kind, least, most, above=None, below=None):
    """Return "an integer in [1, 5]", "a number of at least 0", "a number greater than 0", ..."""
    low = least if above is None else above
    high = most if below is None else below
    if low is not None and high is not None:
        return f"{kind} in {'[' if above is None else '('}{low}, {high}{']' if below is None else ')'}"
    if low is not None:
        return f"{kind} of at least {low}" if above is None else f"{kind} greater than {low}"
    if high is not None:
        return f"{kind} of at most {high}" if below is None else f"{kind} less than {high}"
    return kind


def _message(op, name, value, expected):
    return f"[{op}] {name} is {shown(value)}, expected {expected}"
