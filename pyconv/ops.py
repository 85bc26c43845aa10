"""The functional ops and their gradients, one to one with csrc/kernels.h.

Arrays are NHWC, kernels HWIO, float32. NumPy arrays in give NumPy arrays out; anything else that has
`__dlpack__` (a Tensor, PyTorch, JAX, CuPy) is taken without a copy and gives a `Tensor`. Strided arrays are
copied; other dtypes are refused. Every op raises ValueError or TypeError with a message that names the op,
the argument, what was expected and what came.
"""

import numpy as np

from pyconv import _core


def as_tensor(array, op, name):
    """Return `array` as a Tensor, without a copy where it is contiguous."""
    if isinstance(array, _core.Tensor):
        return array
    if isinstance(array, np.ndarray):
        if array.dtype.name not in ("float32", "uint8", "int32", "int64", "uint32", "float64"):
            raise TypeError(f"[{op}] {name} has dtype {array.dtype.name}, expected float32")
        return _core.from_numpy(np.require(array, requirements=["C", "A"]))
    if hasattr(array, "__dlpack__"):
        return _core.from_dlpack(array)
    raise TypeError(
        f"[{op}] {name} is a {type(array).__name__}, "
        "expected a NumPy array, a Tensor or an object with __dlpack__"
    )


class _Arguments:
    """An op's arrays as Tensors (attributes of the same names), and the way back for its results."""

    def __init__(self, op, **arrays):
        self._numpy = all(isinstance(array, np.ndarray) for array in arrays.values() if array is not None)
        for name, array in arrays.items():
            setattr(self, name, None if array is None else as_tensor(array, op, name))

    def give(self, result):
        if isinstance(result, tuple):
            return tuple(self.give(item) for item in result)
        return result.numpy() if self._numpy and result is not None else result


def relu(x):
    """Rectified linear unit, max(x, 0), of any shape. NaN passes through."""
    a = _Arguments("relu", x=x)
    return a.give(_core.relu(a.x))


def relu_backward(dy, y):
    """Gradient of `relu` with respect to x, from its output `y`: dy where y > 0, else 0."""
    a = _Arguments("relu_backward", dy=dy, y=y)
    return a.give(_core.relu_backward(a.dy, a.y))
