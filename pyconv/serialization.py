"""Objects to JSON and back, through a fixed registry of classes: nothing is imported by name."""

import inspect

from pyconv import names
from pyconv.arguments import shown
from pyconv.attributes import Guarded

_REGISTRY = {}


class Configurable(Guarded):
    """An object described by its constructor's arguments, each kept as an attribute of the same name."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        taken = _REGISTRY.get(cls.__name__)
        ours = [c is not None and c.__module__.partition(".")[0] == "pyconv" for c in (taken, cls)]
        # A caller's class of a name that pyconv has does not take its place in files.
        cls._registered = f"{cls.__module__}.{cls.__name__}" if ours == [True, False] else cls.__name__
        _REGISTRY[cls._registered] = cls

    def get_config(self):
        """Return the constructor's arguments as a JSON-ready dict."""
        parameters = inspect.signature(type(self)).parameters
        if lost := [name for name in parameters if not hasattr(self, name)]:
            raise TypeError(
                f"[{type(self).__name__}] the argument {lost[0]} is kept under no attribute of its name, "
                f"expected self.{lost[0]}, or a get_config that returns it"
            )
        return {name: serialize(getattr(self, name)) for name in parameters}

    @classmethod
    def from_config(cls, config):
        """Build an object from what `get_config` returned."""
        return cls(**{name: deserialize(value) for name, value in config.items()})

    def _expect(self, name, holds, expected):
        """Raise ValueError about the argument `name` unless it holds what the constructor asks of it."""
        if not holds:
            raise ValueError(
                f"[{type(self).__name__}] {name} is {shown(getattr(self, name))}, expected {expected}"
            )

    def __repr__(self):
        parameters, config = inspect.signature(type(self)).parameters, self.get_config().items()
        given = {name: value for name, value in config if not _is_default(value, parameters.get(name))}
        arguments = ", ".join(f"{name}={deserialize(value)!r}" for name, value in given.items())
        return f"{type(self).__name__}({arguments})"


def _is_default(value, parameter):
    """Whether a value of a config is what the constructor takes by default."""
    default = parameter.default if parameter else None
    if isinstance(value, dict) and isinstance(default, str):
        return value == {"class_name": value.get("class_name"), "config": {}} and (
            value["class_name"].lower() == default.replace("_", "")
        )
    return value == (list(default) if isinstance(default, tuple) else default)


def serialize(value):
    """Return `value` with every Configurable in it replaced by `{"class_name", "config"}`."""
    if isinstance(value, Configurable):
        return {"class_name": type(value)._registered, "config": value.get_config()}
    if isinstance(value, (list, tuple)):
        return [serialize(item) for item in value]
    return value


def deserialize(value):
    """Undo `serialize`. Raises ValueError for a class that is not registered."""
    if isinstance(value, dict) and value.keys() == {"class_name", "config"}:
        name, config = value["class_name"], value["config"]
        if not isinstance(name, str) or name not in _REGISTRY:
            raise ValueError(
                f"[deserialize] unknown class {shown(name)}, expected one of {', '.join(sorted(_REGISTRY))}"
            )
        if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
            raise ValueError(
                f"[deserialize] the config of {name} is {shown(config)}, expected a dict of arguments"
            )
        try:
            return _REGISTRY[name].from_config(config)
        except RecursionError:
            raise ValueError(f"[deserialize] the config of {name} is nested too deeply") from None
    if isinstance(value, list):
        return [deserialize(item) for item in value]
    return value


def find(identifier, classes, base, subject, place):
    """Return the object that `identifier` means: an instance of `base`, a name, a config or None.

    `classes` maps names to classes with no mandatory arguments; a class' own name is taken too, in any case,
    as in Keras. `subject` begins the error: "[Dense] kernel_initializer is"; `place` is Keras' module.
    """
    if identifier is None or isinstance(identifier, base):
        return identifier
    if isinstance(identifier, dict):
        try:
            found = deserialize(identifier)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{subject} a config that does not hold: {error}") from error
        if isinstance(found, base):
            return found
    if isinstance(identifier, str):
        for name, cls in classes.items():
            if identifier.lower() in (name, cls.__name__.lower()):
                return cls()
        raise names.unknown(subject, identifier, classes, place)
    if isinstance(identifier, type) and issubclass(identifier, base):
        hint = f"; an object of the class is {identifier.__name__}()"
    else:
        hint = ""
    raise TypeError(
        f"{subject} {shown(identifier)}, "
        f"expected an object of pyconv.{place} or one of {', '.join(classes)}{hint}"
    )
