"""What users hand in, as the arrays that plans take: images, labels, and the part set aside to validate."""

import warnings

import numpy as np

from pyconv.arguments import kind_of, shown
from pyconv.engine.network import one_or_all
from pyconv.ops import as_tensor


def as_images(x, op, name="x"):
    """Return a batch as a contiguous array: uint8 stays, anything else becomes float32."""
    x = as_array(x, op, name)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"[{op}] {name} has dtype {x.dtype}, expected numbers")
    if x.ndim < 2:
        raise ValueError(f"[{op}] {name} has shape {x.shape}, expected a batch: (N, ...)")
    return np.ascontiguousarray(x if x.dtype == np.uint8 else x.astype(np.float32, copy=False))


def as_inputs(x, count, op, name="x"):
    """Return a batch for a network of `count` inputs as a tuple of arrays, each as `as_images` has it."""
    if count == 1:
        return (as_images(x, op, name),)
    if not isinstance(x, (list, tuple)) or len(x) != count:
        came = f"{len(x)} arrays" if isinstance(x, (list, tuple)) else kind_of(x)
        raise ValueError(f"[{op}] {name} is {came}, expected a list of {count} arrays, one for each input")
    arrays = tuple(as_images(one, op, f"{name}[{i}]") for i, one in enumerate(x))
    if len({len(one) for one in arrays}) > 1:
        raise ValueError(f"[{op}] {name} has {_and([len(one) for one in arrays])} rows, expected one number")
    return arrays


def kinds_of(arrays):
    """Return (shape of an example, dtype) of each array of a batch."""
    return tuple((one.shape[1:], one.dtype.name) for one in arrays)


def targets_of(y, outputs, op, name="y"):
    """Return what users hand in as targets, one for each output."""
    return (y,) if len(outputs) == 1 else tuple(of_each(y, outputs, name, op, one_for_all=False))


def of_each(value, outputs, name, op="compile", one_for_all=True):
    """Return an argument's values for the outputs: of a dict by name, a list, or one for all."""
    expected = f"expected {len(outputs)}, one for each output: {', '.join(outputs)}"
    if isinstance(value, dict) and value.keys() != {"class_name", "config"}:
        if unknown := [key for key in value if key not in outputs]:
            raise ValueError(f"[{op}] {name} names {shown(unknown[0])}, {expected}")
        if not one_for_all and len(value) < len(outputs):
            raise ValueError(f"[{op}] {name} has {len(value)} entries, {expected}")
        return [value.get(output) for output in outputs]
    if isinstance(value, (list, tuple)):
        if len(value) != len(outputs):
            raise ValueError(f"[{op}] {name} has {len(value)} entries, {expected}")
        return list(value)
    if one_for_all:
        return [value] * len(outputs)
    raise ValueError(f"[{op}] {name} is {shown(value)}, {expected}")


def _and(values):
    return " and ".join(map(str, values))


def as_targets(y, classes, rows, op, name="y"):
    """Return labels as int32 (N,), one-hot rows or probabilities as float32 (N, classes).

    Takes (N,) and (N, 1) integer labels and (N, classes) rows. Warns of rows that do not sum to 1.
    """
    y = as_array(y, op, name)
    if y.dtype.kind not in "fiub":
        raise TypeError(f"[{op}] {name} has dtype {y.dtype}, expected labels or rows of numbers")
    if y.ndim == 0 or len(y) != rows:
        count = f"{len(y)} rows" if y.ndim else "no rows"
        raise ValueError(f"[{op}] {name} has {count}, x has {rows}")
    if y.ndim == 2 and y.shape[1] == classes and classes > 1:
        return _as_rows(y, op, name)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(
            f"[{op}] {name} has shape {y.shape}, expected labels (N,) or (N, 1), or rows (N, {classes})"
        )
    if y.dtype.kind == "f" and not np.all(np.floor(y) == y):  # NaN too
        raise ValueError(f"[{op}] {name} holds fractions, expected integer labels")
    if rows and not 0 <= y.min() <= y.max() < classes:
        raise ValueError(
            f"[{op}] {name} has labels from {float(y.min()):g} to {float(y.max()):g}, expected [0, {classes})"
        )
    return y.astype(np.int32)


def as_values(y, shape, rows, op, name="y"):
    """Return numbers as float32 (rows, *shape); (rows,) will do for a shape of one value."""
    y = as_array(y, op, name)
    if y.dtype.kind not in "fiub":
        raise TypeError(f"[{op}] {name} has dtype {y.dtype}, expected numbers")
    if y.ndim == 1 and tuple(shape) == (1,):
        y = y[:, None]
    if y.shape != (rows, *shape):
        hint = "; utils.to_categorical makes rows of labels" if y.ndim == 1 and len(shape) == 1 else ""
        raise ValueError(
            f"[{op}] {name} has shape {y.shape}, expected {(rows, *shape)}, as the model's output has{hint}"
        )
    return np.ascontiguousarray(y, np.float32)


def as_array(array, op, name):
    """Return an array, or nested lists of numbers, as a NumPy array."""
    if isinstance(array, (list, tuple)):
        try:
            return np.asarray(array)
        except (ValueError, TypeError):
            raise ValueError(
                f"[{op}] {name} is a {type(array).__name__} whose parts differ in shape, expected an array"
            ) from None
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "__array__") and not hasattr(array, "__dlpack__"):  # pandas' columns
        return np.asarray(array)
    return as_tensor(array, op, name).numpy()


def is_array(x):
    """Whether `x` holds all its values, rather than giving them batch by batch."""
    return (
        isinstance(x, np.ndarray) or hasattr(x, "__dlpack__") or (hasattr(x, "shape") and hasattr(x, "dtype"))
    )


def split(x, y, fraction, inputs=1, outputs=("y",)):
    """Return (x, y), (x_validation, y_validation): the last `fraction` of the rows validates, as in Keras."""
    xs, ys = as_inputs(x, inputs, "fit"), [as_array(one, "fit", "y") for one in targets_of(y, outputs, "fit")]
    rows = len(xs[0])
    for y in ys:
        if rows != len(y):
            raise ValueError(f"[fit] y has {len(y)} rows, x has {rows}")
    cut = int(rows * (1 - fraction))
    if not 0 < cut < rows:
        raise ValueError(
            f"[fit] validation_split is {fraction}, expected one that leaves images on both sides: of "
            f"{rows}, {cut} would train"
        )
    parts = slice(cut), slice(cut, None)
    return [tuple(one_or_all([one[part] for one in some]) for some in (xs, ys)) for part in parts]


def _as_rows(y, op, name):
    rows = np.ascontiguousarray(y, np.float32)
    if not np.all(rows >= 0):  # NaN too
        raise ValueError(
            f"[{op}] {name} has a negative value or a NaN, expected one-hot rows or probabilities"
        )
    sums = rows.sum(axis=1, dtype=np.float64)
    if np.any(wrong := np.abs(sums - 1) > 1e-3):
        first = int(np.argmax(wrong))
        warnings.warn(
            f"[{op}] {np.count_nonzero(wrong)} of {len(rows)} rows of {name} do not sum to 1 (row {first}: "
            f"{sums[first]:g}): expected one-hot rows or probabilities; a row of zeros teaches nothing",
            stacklevel=outside(),
        )
    return rows


def outside():
    """Return the stack level of the first caller outside pyconv, for a warning."""
    import sys

    level, frame = 1, sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("pyconv"):
        level, frame = level + 1, frame.f_back
    return level
