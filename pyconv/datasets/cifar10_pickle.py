"""The pickled CIFAR-10 batches, read by an unpickler that can make nothing but what they hold."""

import io
import pickle

import numpy as np


def parse(name, content, images, pixels):
    """Return labels (images,) and pixels (images, pixels), uint8, of a batch file's content.

    `name` is what an error calls the file. Raises ValueError for a pickle that asks for anything else than a
    dict of lists, strings and one NumPy array, or whose array or labels are not of this size.
    """
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        data, labels = batch["data"], batch["labels"]
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(
            f"[cifar10] {name} ({len(content):,} bytes) is not a pickled CIFAR-10 batch: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != (images, pixels):
        came = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise ValueError(f"[cifar10] {name}: data is {came}, expected uint8 {(images, pixels)}")
    if not isinstance(labels, list) or len(labels) != images:
        came = f"{len(labels):,}" if isinstance(labels, list) else f"a {type(labels).__name__}"
        raise ValueError(f"[cifar10] {name}: labels are {came}, expected a list of {images:,}")
    if not all(isinstance(label, int) and 0 <= label <= 255 for label in labels):
        raise ValueError(f"[cifar10] {name}: labels are not all integers from 0 to 9")
    return np.array(labels, np.uint8), data


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): "_reconstruct",
    ("numpy._core.multiarray", "_reconstruct"): "_reconstruct",
    ("numpy", "ndarray"): "_ndarray",
    ("numpy", "dtype"): "_dtype",
    ("_codecs", "encode"): "_encode",
}


class _Unpickler(pickle.Unpickler):
    """Gives a pickle its own stand-ins for the globals that the files name, and nothing else.

    They are bound methods, on which a pickle can set no attribute.
    """

    _ndarray = None  # only ever an argument of _reconstruct

    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR-10 batch needs")
        return getattr(self, _ALLOWED[module, name])

    def _reconstruct(self, kind, shape, dtype):
        return np.empty(0, np.uint8)  # the pickle fills it through __setstate__

    def _dtype(self, name, align=False, copy=False):
        # The files say 0 and 1, where NumPy now asks for booleans.
        return np.dtype(name, align=bool(align), copy=bool(copy))

    def _encode(self, text, encoding):
        # How Python 3 writes bytes in the old protocols.
        if encoding not in ("latin1", b"latin1"):
            raise pickle.UnpicklingError(f"it has text in the encoding {encoding!r}")
        return text.encode("latin1")
