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
_NAME = re.compile(r"^cifar[-_ ]?10(?!\d)|cifar[-_ ]?10[-_ ](binary|python|batches)")  # in small letters
_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_UNFINISHED = (".part", ".crdownload", ".download", ".partial", ".tmp", ".lock")


def file_name(folder, batch):
    """Return the name of a batch's file in the folder BINARY or PICKLED."""
    return f"{batch}.bin" if folder == BINARY else batch


def keras_folder():
    """Return the folder where Keras keeps its data sets."""
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras")) / "datasets"


def look_in(path):
    """Return the batch folders and archives that `path` (a Path) is or holds, as a list of (path, version).

    `path` may be a batch folder or a folder up to `DEEPEST` levels above one, an archive, or a batch file. Of
    several one that misses no file comes first, then the nearest, then the binary version, then a folder.
    An archive's version is what its name says.
    """
    if path.is_file():
        if path.name not in {file_name(version, batch) for version in ARCHIVES for batch in BATCHES}:
            return [(path, BINARY)]
        found = _batch_folders(path.parent, _entries(path.parent)[1], 0)
    else:
        found = _candidates(path)
    return [(place, PICKLED if pickled else BINARY) for _, _, pickled, _, place in sorted(found)]


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
            yield from _batch_folders(folder, files, depth - 1)
            for name in sorted(files):
                if _is_archive(folder / name):
                    yield False, depth, "bin" not in name.lower(), True, folder / name
            below += [folder / name for name in sorted(folders) if not name.startswith(".")]
        level = below


def _batch_folders(folder, files, depth):
    """Yield the same of each version that a folder has some of its `files` of."""
    for version in ARCHIVES:
        missing = [file_name(version, batch) not in files for batch in BATCHES]
        if not all(missing):
            yield any(missing), depth, version == PICKLED, False, folder


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
    if not _NAME.search(name) or name.endswith(_UNFINISHED):
        return False
    try:
        return name.endswith(_SUFFIXES) or tar.is_archive(path)
    except OSError:
        return False
