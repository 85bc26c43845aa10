"""What the constructors of layers take, checked when the layer is made."""

import math

from pyconv import initializers, names, regularizers
from pyconv.arguments import integer, items, shown
from pyconv.serialization import find

MOST = 2**31 - 1  # of a size, and of the numbers in one parameter or one example


def pair(value, name, op):
    """Return an integer of at least 1, or two of them, as [height, width]."""
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"[{op}] {name} is {shown(value)}, expected an integer or (height, width)")
        return [integer(v, f"{name}[{i}]", op, least=1, most=MOST) for i, v in enumerate(value)]
    return [integer(value, name, op, least=1, most=MOST)] * 2


def padding(value, op):
    """Return "valid" or "same" (in any case, as in Keras), or pixels as the ops take them."""
    expected = 'expected "valid", "same", an integer, (height, width) or ((top, bottom), (left, right))'
    if isinstance(value, str):
        if value.lower() in ("valid", "same"):
            return value.lower()
        raise ValueError(f"[{op}] padding is {shown(value)}, {expected}")
    if not isinstance(value, (tuple, list)):
        if value is None or isinstance(value, (bool, float)) or not hasattr(value, "__index__"):
            raise TypeError(f"[{op}] padding is {shown(value)}, {expected}")
        return integer(value, "padding", op, least=0, most=MOST)
    nested = [isinstance(side, (tuple, list)) for side in value]
    if len(value) != 2 or any(nested) != all(nested) or (nested[0] and {len(side) for side in value} != {2}):
        raise ValueError(f"[{op}] padding is {shown(value)}, {expected}")
    sides = value if nested[0] else [value]
    sides = [[integer(v, "padding", op, least=0, most=MOST) for v in side] for side in sides]
    return sides if nested[0] else sides[0]


def sides(pixels):
    """Return what `padding` gave as ((top, bottom), (left, right)); zeros for its names."""
    if isinstance(pixels, str):
        return (0, 0), (0, 0)
    rows = pixels if isinstance(pixels, list) else [pixels, pixels]
    return tuple(tuple(side) if isinstance(side, list) else (side, side) for side in rows)


def shape(value, name, op):
    """Return the shape of one example, without the batch, as a tuple of at most 2**31 - 1 numbers."""
    expected = "sizes without the batch, like (32, 32, 3)"
    sizes = tuple(items(value, name, op, expected))
    if any(size is None for size in sizes) or not sizes:
        raise ValueError(f"[{op}] {name} is {shown(value)}, expected {expected}")
    sizes = tuple(integer(size, f"{name}[{i}]", op, least=1, most=MOST) for i, size in enumerate(sizes))
    if math.prod(sizes) > MOST:
        raise ValueError(f"[{op}] {name} is {sizes}, {math.prod(sizes):,} numbers, expected at most {MOST:,}")
    return sizes


def layer_name(value, op):
    """Return a layer's name, or None. The files of weights separate names by slashes."""
    if value is None or (isinstance(value, str) and value and "/" not in value and value.isprintable()):
        return value
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind(f"[{op}] name is {shown(value)}, expected text without a slash")


def initializer(value, name, op):
    """Return the initializer that an argument means."""
    found = find(value, initializers.CLASSES, initializers.Initializer, f"[{op}] {name} is", "initializers")
    if found is None:
        raise TypeError(f"[{op}] {name} is None, expected an initializer or its name")
    return found


def regularizer(value, name, op):
    """Return the regularizer that an argument means, or None."""
    return find(value, regularizers.CLASSES, regularizers.L2, f"[{op}] {name} is", "regularizers")


def activation(value, activations, base, op):
    """Return the layer that the argument `activation` means: None, a name of `activations`, a layer."""
    if value is None:
        return None
    if isinstance(value, str):
        if value in activations:
            return activations[value]()
        raise names.unknown(f"[{op}] activation is", value, activations, "activations")
    plain = isinstance(value, base) and type(value).build is base.build
    if plain and (
        type(value).__module__ == "pyconv.layers.activation"
        or not type(value).__module__.startswith("pyconv.")
    ):
        return value
    raise TypeError(
        f"[{op}] activation is {shown(value)}, "
        f"expected None, an activation layer or one of {', '.join(activations)}"
    )
