"""Arrays of any library in, arrays of the same kind out."""

import numpy as np

from pyconv import _core
from pyconv.arguments import kind_of


def as_tensor(array, op, name):
    """Return `array` as a Tensor, without a copy where it is contiguous.

    Raises TypeError, in the name of argument `name` of `op`, for what is no array and for dtypes that a
    Tensor cannot hold.
    """
    if isinstance(array, _core.Tensor):
        return array
    if isinstance(array, np.ndarray):
        if str(array.dtype) not in _core.DTYPES:  # the byte order is part of it
            raise TypeError(f"[{op}] {name} has dtype {array.dtype}, expected float32")
        return _core.from_numpy(np.require(array, requirements=["C", "A"]))
    if hasattr(array, "__dlpack__"):
        try:
            return _core.from_dlpack(array)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise TypeError(f"[{op}] {name} cannot be taken: {error}") from error
    raise TypeError(
        f"[{op}] {name} is {kind_of(array)}, expected a NumPy array, a Tensor or an object with __dlpack__"
    )


def as_int32(array, op, name):
    """Return labels or indices of any integer dtype as int32; whatever is not integers comes back as it is.

    Raises ValueError for a value that int32 cannot hold.
    """
    if isinstance(array, np.ndarray):
        values = array
    elif isinstance(array, _core.Tensor):
        values = array.numpy()
    elif hasattr(array, "__dlpack__"):
        try:
            values = np.from_dlpack(array)
        except (BufferError, RuntimeError, TypeError, ValueError):
            return array  # as_tensor tells why
    else:
        return array
    if values.dtype.kind not in "iu" or values.dtype == np.int32:
        return array
    if values.size and not -(2**31) <= values.min() <= values.max() < 2**31:
        raise ValueError(
            f"[{op}] {name} goes from {values.min()} to {values.max()}, expected values of int32"
        )
    values = values.astype(np.int32)
    return values if isinstance(array, np.ndarray) else _core.from_numpy(values)


def copied(tensor):
    """Return a Tensor of its own with the contents of `tensor`; None for None."""
    return None if tensor is None else tensor.copy()


class Arguments:
    """An op's arrays as Tensors (attributes of the same names), and the way back for its results.

    Those in the dict `optional` may be None. NumPy arrays go where the Tensors beside them lie; where all are
    NumPy arrays, to the device of the backend that is selected.
    """

    def __init__(self, op, *, optional=None, **arrays):
        optional = optional or {}
        self.__dict__.update(dict.fromkeys(optional))
        arrays |= {name: array for name, array in optional.items() if array is not None}
        self._numpy = all(isinstance(array, np.ndarray) for array in arrays.values())
        tensors = {name: as_tensor(array, op, name) for name, array in arrays.items()}
        given = (t.device for name, t in tensors.items() if not isinstance(arrays[name], np.ndarray))
        self._device = next(given, _core.default_device())
        for name, array in arrays.items():
            if isinstance(array, np.ndarray):
                tensors[name] = tensors[name].to(self._device)
        self.__dict__.update(tensors)

    def constant(self, array):
        """Return a NumPy array as a Tensor beside the arguments."""
        return _core.from_numpy(array).to(self._device)

    def give(self, result):
        """Return a Tensor, or a tuple of them, as NumPy arrays if all arguments were NumPy arrays."""
        if isinstance(result, tuple):
            return tuple(self.give(item) for item in result)
        return result.numpy() if self._numpy and result is not None else result
