"""Arrays and JSON in one safetensors file that is whole or absent, whatever happens while it is written.

The file's metadata has one key, "pyconv": JSON with the format's version, the caller's metadata and a
SHA-256 over that and every array's name, dtype, shape and bytes. Nothing in a file is ever executed.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np

from pyconv import arguments

_VERSION = 1


class CheckpointError(ValueError):
    """A file that is damaged, or is no checkpoint of pyconv."""


def save(path, arrays, metadata):
    """Write `arrays` (name -> ndarray) and `metadata` (JSON-ready dict) to `path`, atomically.

    The file that was there is kept as `path` + ".previous". Raises OSError, with the old file in place.
    """
    from safetensors.numpy import save as to_bytes

    path = arguments.path(path, "path", "checkpoint")
    arrays = _checked(arrays)
    try:
        header = {"version": _VERSION, "sha256": _digest(arrays, metadata), "metadata": metadata}
        text = json.dumps(header)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"[checkpoint] metadata goes into no JSON: {error}") from None
    replace(path, to_bytes(arrays, {"pyconv": text}), keep_previous=True)


def load(path):
    """Return (arrays, metadata) as given to `save`.

    Raises FileNotFoundError, and CheckpointError for a file that is truncated, damaged or foreign.
    """
    path = Path(arguments.path(path, "path", "checkpoint"))
    if not path.is_file():
        raise FileNotFoundError(f"[checkpoint] there is no file {path}{_hint(path)}")
    text, arrays = _read(path)
    try:
        header = json.loads(text)
        version, digest, metadata = header["version"], header["sha256"], header["metadata"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(f"[checkpoint] {path} has a damaged header{_hint(path)}") from None
    if version != _VERSION:
        shown = arguments.shown(version)
        raise CheckpointError(f"[checkpoint] {path} has format version {shown}, expected {_VERSION}")
    if not isinstance(metadata, dict):
        raise CheckpointError(f"[checkpoint] {path} has a damaged header{_hint(path)}")
    if digest != _digest(arrays, metadata):
        raise CheckpointError(
            f"[checkpoint] {path} is damaged: its content differs from its hash{_hint(path)}"
        )
    return arrays, metadata


@contextlib.contextmanager
def reading(path):
    """Turn what goes wrong while a file's content is made use of into a CheckpointError that names the file.

    What it holds may have the right hash and still be nonsense: names that lack, values of another kind.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, ValueError) and str(error).startswith("["):
            raise
        text = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(f"[checkpoint] {path} holds no model that fits: {text}") from error


def _checked(arrays):
    """Return `arrays` as contiguous NumPy arrays. Raises TypeError for what a file cannot hold."""
    if not isinstance(arrays, dict):
        raise TypeError(
            f"[checkpoint] arrays is {arguments.shown(arrays)}, expected a dict of names and arrays"
        )
    checked = {}
    for name, array in arrays.items():
        checked[name] = array = np.asarray(array, order="C")
        if not isinstance(name, str) or array.dtype.kind not in "fiub":
            raise TypeError(
                f"[checkpoint] arrays holds {arguments.shown(array)} of {array.dtype} under "
                f"{arguments.shown(name)}, expected numbers under a text"
            )
    return checked


def _read(path):
    """Return the text under "pyconv" in a safetensors file's metadata, and the arrays."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("pyconv")
            arrays = {name: file.get_tensor(name) for name in file.keys()} if text else {}  # noqa: SIM118
    except (OSError, MemoryError):
        raise
    except Exception as error:  # types that NumPy lacks raise TypeError, AttributeError, ...
        raise CheckpointError(
            f"[checkpoint] {path} is truncated or not a safetensors file that pyconv can read "
            f"({error}){_hint(path)}"
        ) from None
    if text is None:
        raise CheckpointError(f"[checkpoint] {path} is a safetensors file, but pyconv did not write it")
    return text, arrays


def replace(path, content, *, keep_previous=False):
    """Put `content` (bytes) at `path` in one step: a reader or a crash sees the old file or the new one.

    Raises OSError, which names `path`, with the old file in place.
    """
    path = Path(os.path.realpath(path))
    try:
        _replace(path, content, keep_previous)
    except OSError as error:  # names the temporary files
        if not path.parent.is_dir():
            raise FileNotFoundError(
                f"[checkpoint] there is no folder {path.parent} for {path.name}"
            ) from None
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def sweep(path):
    """Remove the temporary files that killed processes left beside `path`."""
    path = Path(os.path.realpath(path))
    leftover = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.(new|old)")
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            match = leftover.fullmatch(name)
            if match and not _lives(int(match[1])):
                path.with_name(name).unlink(missing_ok=True)


def _replace(path, content, keep_previous):
    fresh, spare = (path.with_name(f".{path.name}.{os.getpid()}.{suffix}") for suffix in ("new", "old"))
    sweep(path)
    try:
        with open(fresh, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if keep_previous and path.exists():
            spare.unlink(missing_ok=True)  # a killed process of the same id may have left one
            try:
                os.link(path, spare)
            except OSError:  # a file system without hard links
                shutil.copyfile(path, spare)
            os.replace(spare, _previous(path))
        os.replace(fresh, path)
    finally:
        for leftover in (fresh, spare):
            with contextlib.suppress(OSError):
                leftover.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # makes the renames outlive a power cut
    finally:
        os.close(folder)


def _lives(process):
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True


def _digest(arrays, metadata):
    digest = hashlib.sha256(json.dumps(metadata).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _previous(path):
    return path.with_name(path.name + ".previous")


def _hint(path):
    return f"; the one before it is {_previous(path)}" if _previous(path).is_file() else ""
