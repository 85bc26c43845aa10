"""Objects to JSON and back, through a fixed registry of classes: nothing is imported by name."""

import inspect

_REGISTRY = {}


class Configurable:
    """An object described by its constructor's arguments, each kept as an attribute of the same name."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        _REGISTRY[cls.__name__] = cls

    def get_config(self):
        """Return the constructor's arguments as a JSON-ready dict."""
        return {name: serialize(getattr(self, name)) for name in inspect.signature(type(self)).parameters}

    @classmethod
    def from_config(cls, config):
        """Build an object from what `get_config` returned."""
        return cls(**{name: deserialize(value) for name, value in config.items()})

    def _expect(self, name, holds, expected):
        """Raise ValueError about the argument `name` unless it holds what the constructor asks of it."""
        if not holds:
            raise ValueError(
                f"[{type(self).__name__}] {name} is {getattr(self, name)!r}, expected {expected}"
            )

    def __repr__(self):
        arguments = ", ".join(f"{name}={deserialize(value)!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def serialize(value):
    """Return `value` with every Configurable in it replaced by `{"class_name", "config"}`."""
    if isinstance(value, Configurable):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    if isinstance(value, (list, tuple)):
        return [serialize(item) for item in value]
    return value


def deserialize(value):
    """Undo `serialize`. Raises ValueError for a class that is not registered."""
    if isinstance(value, dict) and value.keys() == {"class_name", "config"}:
        name = value["class_name"]
        if name not in _REGISTRY:
            raise ValueError(
                f"[deserialize] unknown class {name!r}, expected one of {', '.join(sorted(_REGISTRY))}"
            )
        return _REGISTRY[name].from_config(value["config"])
    if isinstance(value, list):
        return [deserialize(item) for item in value]
    return value


def find(identifier, classes, kind):
    """Return the object that `identifier` means: an instance of the base class, a name, or None.

    `classes` maps names to classes with no mandatory arguments; `kind` is what an error calls them.
    """
    if identifier is None or isinstance(identifier, Configurable):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str) and identifier in classes:
        return classes[identifier]()
    raise ValueError(f"[{kind}] unknown {kind} {identifier!r}, expected one of {', '.join(sorted(classes))}")
