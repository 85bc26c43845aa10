"""Where CIFAR-10 lies: as folders or archives, under the names that torchvision, Keras and browsers leave."""

import os
import re
from pathlib import Path

from pyconv.datasets import tar

BATCHES = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")
BINARY, PICKLED = "cifar-10-batches-bin", "cifar-10-batches-py"
ARCHIVES = {BINARY: "cifar-10-binary.tar.gz", PICKLED: "cifar-10-python.tar.gz"}

DEEPEST = 3  # folders below the one that was named
MOST_FOLDERS = 1000  # looked into at most
_NAME = re.compile(r"cifar[-_ ]?10(?!\d)", re.IGNORECASE)
_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_UNFINISHED = (".part", ".crdownload", ".download", ".partial", ".tmp", ".lock")


def file_name(folder, batch):
    """Return the name of a batch's file in the folder BINARY or PICKLED."""
    return f"{batch}.bin" if folder == BINARY else batch


def keras_folder():
    """Return the folder where Keras keeps its data sets."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "datasets"


def look_in(path):
    """Return the batch folder or archive that `path` (a Path) is or holds, or None.

    `path` may be a batch folder or a folder up to `DEEPEST` levels above one, an archive, or a batch file. Of
    several a complete one comes first, then the nearest, then the binary version, then a folder.
    """
    if path.is_file():
        batch_files = {file_name(folder, batch) for folder in ARCHIVES for batch in BATCHES}
        return path.parent if path.name in batch_files else path
    return min(_candidates(path), default=(None,) * 5)[-1] if path.is_dir() else None


def describe(path):
    """Return what `look_in` expects at `path`, and what of a similar name lies there, in words."""
    text = (
        f"expected one of {', '.join([*ARCHIVES, *ARCHIVES.values()])} in it or up to {DEEPEST} folders below"
    )
    alike = [name for name in _entries(path)[1] if "cifar" in name.lower()]
    return text + (f"; there is {', '.join(sorted(alike)[:3])}, which is none of these" if alike else "")


def _candidates(root):
    """Yield (incomplete, depth, pickled, archive, path) of each batch folder and archive."""
    level, seen = [root], 0
    for depth in range(DEEPEST + 1):
        below = []
        for folder in level:
            seen += 1
            if seen > MOST_FOLDERS:
                return
            folders, files = _entries(folder)
            for kind in ARCHIVES:
                missing = [file_name(kind, batch) not in files for batch in BATCHES]
                if not all(missing):
                    yield any(missing), depth - 1, kind == PICKLED, False, folder
            for name in sorted(files):
                if _is_archive(folder / name):
                    yield False, depth, "bin" not in name.lower(), True, folder / name
            below += [folder / name for name in sorted(folders) if not name.startswith(".")]
        level = below


def _entries(folder):
    """Return the names of folders and of files in a folder; none where it cannot be read."""
    folders, files = set(), set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                (folders if entry.is_dir() else files if entry.is_file() else set()).add(entry.name)
    except OSError:
        pass
    return folders, files


def _is_archive(path):
    name = path.name.lower()
    if not _NAME.match(name) or name.endswith(_UNFINISHED):
        return False
    try:
        return name.endswith(_SUFFIXES) or tar.is_archive(path)
    except OSError:
        return False
