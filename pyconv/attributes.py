"""What may be set on an object once it is made: an attribute that nothing reads is refused."""

import contextlib
import functools
import inspect
from typing import ClassVar

from pyconv import names

_MEANT = {"lr": "learning_rate"}  # Keras 2's

_ABSENT = object()


def _marking(init):
    """Wrap a class' `__init__`: wrong arguments are named, and the outermost one marks the object as made."""

    @functools.wraps(init)
    def wrapper(self, *args, **kwargs):
        outermost = type(self).__init__ is wrapper
        if outermost:
            self._made = False
        try:
            init(self, *args, **kwargs)
        except TypeError:
            if outermost:
                _refuse_arguments(init, type(self).__name__, (self, *args), kwargs)
            raise
        if outermost:
            self._made = True

    return wrapper


class Guarded:
    """Base of objects whose public attributes are those that they were made with.

    `settable` names those that may be set later; None: each that exists. `set_by` names the method that
    sets what may not be. A property and a `Checked` decide for themselves; names with an underscore are
    free. A class outside pyconv may set what it likes, but for the arguments of pyconv's own class and for
    what looks like a slip.
    """

    settable = None
    set_by: ClassVar[dict] = {}
    _made = False

    @_marking
    def __init__(self):
        pass

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _marking(cls.__init__)

    def __setattr__(self, name, value):
        if self._made and name[0] != "_" and not self._plain(name):
            _check(self, name)
        super().__setattr__(name, value)

    def __getattr__(self, name):
        """Answer what is not there."""
        cls = type(self)
        if name.startswith("_"):
            raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}")
        from pyconv.keras_names import MEMBERS

        for base in cls.__mro__:
            if instead := MEMBERS.get(base.__name__, {}).get(name):
                raise AttributeError(f"[{cls.__name__}] there is no {name}; there is {instead}")
        near = _near(name, sorted({n for n in (*dir(cls), *vars(self)) if not n.startswith("_")}))
        raise AttributeError(
            f"[{cls.__name__}] there is no {name}" + (f": did you mean {near}?" if near else "")
        )

    def _plain(self, name):
        """Whether an attribute may be set without a closer look, which a training step has no time for."""
        own = vars(self)
        if self.settable is not None:
            return name in self.settable
        return name in own and not isinstance(own[name], Guarded)

    @contextlib.contextmanager
    def _open(self):
        """Let attributes be set, as in `__init__`."""
        made, self._made = self._made, False
        try:
            yield
        finally:
            self._made = made


class Checked:
    """An attribute that a rule of `arguments` checks whenever it is set."""

    def __init__(self, rule, **limits):
        self._rule, self._limits = rule, limits

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, owner, cls=None):
        if owner is None:
            return self
        try:
            return vars(owner)[self._name]
        except KeyError:
            raise AttributeError(f"[{type(owner).__name__}] {self._name} is not set") from None

    def __set__(self, owner, value):
        vars(owner)[self._name] = self._rule(value, self._name, type(owner).__name__, **self._limits)


def _check(owner, name):
    """Raise AttributeError unless `owner.name` may be set."""
    cls = type(owner)
    found = inspect.getattr_static(cls, name, _ABSENT)
    if isinstance(found, Checked) or (isinstance(found, property) and found.fset):
        return
    foreign = cls.__module__.partition(".")[0] != "pyconv"
    if found is _ABSENT and name not in vars(owner):
        offered = _offered(owner)
        near = _near(name, offered)
        if foreign and not (near and (near == _MEANT.get(name) or sorted(near) == sorted(name))):
            return  # theirs, unless it is a name with its letters swapped
        hint = f": did you mean {near}?" if near else f"; there are {', '.join(offered)}"
        raise AttributeError(f"[{cls.__name__}] there is no attribute {name} to set{hint}")
    value = vars(owner).get(name)
    if isinstance(value, Guarded) and hasattr(value, "assign"):  # a Parameter
        raise AttributeError(f"[{cls.__name__}] {name} cannot be replaced; write to it with {name}.assign")
    if name in cls.set_by:
        raise AttributeError(f"[{cls.__name__}] {name} is set by {cls.set_by[name]}")
    if isinstance(found, property):
        raise AttributeError(f"[{cls.__name__}] {name} can only be read")
    if cls.settable is None or name in cls.settable or (foreign and name not in _arguments(cls)):
        return
    raise AttributeError(
        f"[{cls.__name__}] {name} is read when the object is made: make a new {cls.__name__}"
    )


def _near(name, offered):
    """Return the offered name that is probably meant, or None."""
    return _MEANT[name] if _MEANT.get(name) in offered else names.nearest(name, offered)


def _offered(owner):
    """Return the public names that may be set or were given to the constructor."""
    cls = type(owner)
    members = [member for base in cls.__mro__ for member in vars(base).items()]
    descriptors = [n for n, v in members if isinstance(v, Checked) or getattr(v, "fset", None)]
    own = vars(owner) if cls.settable is None else cls.settable
    return sorted(n for n in {*descriptors, *own, *_arguments(cls)} if not n.startswith("_"))


def _arguments(cls):
    """Return the arguments of the constructors that pyconv wrote."""
    own = [
        base
        for base in cls.__mro__
        if base.__module__.partition(".")[0] == "pyconv" and "__init__" in vars(base)
    ]
    return {name for base in own for name in inspect.signature(base.__init__).parameters if name != "self"}


def answering(function):
    """Wrap a function: of arguments that it does not take, the error says what it takes."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__.tb_next is None:  # raised by the call, not in the function
                _refuse_arguments(function, function.__name__, args, kwargs)
            raise

    return wrapper


def _refuse_arguments(function, label, args, kwargs):
    """Raise a TypeError that names `label` and arguments, if these are not what `function` takes."""
    from pyconv.keras_names import ARGUMENTS

    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as wrong:
        error = str(wrong)
        offered = [name for name in signature.parameters if name != "self"]
        hint = ""
        unknown = next((name for name in kwargs if name not in offered), None)
        if unknown is not None:
            error, near = f"got an unexpected keyword argument {unknown!r}", _near(unknown, offered)
            said = ARGUMENTS.get(unknown, f"did you mean {near}?" if near else "")
            hint = f" ({said})" if said else ""
        text = f"[{label}] {error}{hint}; it takes {', '.join(offered) or 'nothing'}"
        raise TypeError(text) from None
