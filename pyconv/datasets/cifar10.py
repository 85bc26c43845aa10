"""CIFAR-10: 60,000 colour photographs of 32x32 pixels in ten classes.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html. The binary and the pickled ("python") version are read, as
folders or as archives.
"""

import os
import sys
from pathlib import Path

import numpy as np

from pyconv import arguments
from pyconv.datasets import cifar10_files as files
from pyconv.datasets import cifar10_pickle, tar
from pyconv.datasets.cifar10_files import ARCHIVES, BATCHES, BINARY, PICKLED

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

BATCH_IMAGES = 10_000
PIXELS = 3 * 32 * 32  # planes R, G, B, each row by row
LARGEST_FILE = 64 << 20  # bytes; a batch that is said to be larger is not read

# Size and hash as TensorFlow Datasets publishes them (tensorflow_datasets/url_checksums/cifar10.txt). The
# mirrors of TensorFlow's swift-models and of MindSpore's tutorials come before the official, slow host.
ARCHIVE_BYTES = 170_052_171
ARCHIVE_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
ARCHIVE_URLS = (
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
    "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
)


def load_data(data_dir=None):
    """Return CIFAR-10 as `(x_train, y_train), (x_test, y_test)`.

    Args:
        data_dir: where it lies: a batch folder (`cifar-10-batches-bin` or `cifar-10-batches-py`) or a file in
            one, an archive (.tar.gz, .tgz or .tar), or a folder up to three levels above; `~` is the home
            folder. The binary version is preferred. None: what the environment variable PYCONV_DATA names,
            then pyconv's cache folder, then Keras' folder, then a download of 170 MB to the cache folder.

    Returns:
        uint8 images (50000, 32, 32, 3) and (10000, 32, 32, 3); uint8 labels (50000, 1) and (10000, 1), which
        index `CLASS_NAMES`. Both in the official order.

    Raises:
        FileNotFoundError: if `data_dir` holds no CIFAR-10.
        ValueError: if a file is not what it should be: its size, its labels, its checksum, what its pickle
            asks for. (A folder and a plain .tar have no checksum: changed pixels are not noticed there.)
        DownloadError: if there is nothing on this machine and no mirror gave the archive.
    """
    path = find(data_dir)
    versions = {}
    for version, batch, name, content in _read_archive(path) if path.is_file() else _read_folder(path):
        versions.setdefault(version, _Version()).add(batch, *_parse(version, name, content), name)
    read = [versions[version] for version in ARCHIVES if version in versions]
    whole = [version for version in read if not version.missing]
    if not whole:
        missing = min((version.missing for version in read), key=len, default=BATCHES)
        raise ValueError(f"[cifar10] {path} has no {', '.join(missing)}, expected {', '.join(BATCHES)}")
    x, y = whole[0].x, whole[0].y
    return (x[:-1].reshape(-1, 32, 32, 3), y[:-1].reshape(-1, 1)), (x[-1], y[-1])


def find(data_dir=None):
    """Return the path of a batch folder or an archive: see `load_data`."""
    if data_dir is not None:
        return _find_in(arguments.path(data_dir, "data_dir", "cifar10"))
    from pyconv.datasets import download  # here, since urllib takes long to import

    cache, named, archive = download.cache_folder(), os.environ.get("PYCONV_DATA"), ARCHIVES[BINARY]
    if named:
        try:
            return _find_in(named)
        except FileNotFoundError as error:
            if not os.path.exists(os.path.expanduser(named)):
                raise FileNotFoundError(f"{error} (PYCONV_DATA names it)") from None
            print(f"note: PYCONV_DATA: {named} has no CIFAR-10, looking further", file=sys.stderr)
    for folder in (cache, files.keras_folder()):
        path = files.look_in(folder)
        # What has the download's size must have its hash: `fetch` sees to that.
        if path and not (path == cache / archive and path.stat().st_size == ARCHIVE_BYTES):
            return path
        if path:
            break
    looked = ", ".join(map(str, filter(None, (named, cache, files.keras_folder()))))
    return download.fetch(
        archive,
        ARCHIVE_URLS,
        sha256=ARCHIVE_SHA256,
        size=ARCHIVE_BYTES,
        folder=cache,
        hint=f"There is no CIFAR-10 in {looked}. Name a folder that holds it with --data-dir (in Python: "
        "data_dir=, or PYCONV_DATA), or train on the built-in data set with --dataset shapes.",
    )


def _find_in(place):
    path = Path(place).expanduser()
    found = files.look_in(path)
    if found is None:
        kind = "has no CIFAR-10 in it" if path.exists() else "does not exist"
        raise FileNotFoundError(f"[cifar10] {path} {kind}, {files.describe(path)}")
    return found


class _Version:
    """The batches of one version, as far as they have been read."""

    def __init__(self):
        self.x = np.empty((len(BATCHES), BATCH_IMAGES, 32, 32, 3), np.uint8)
        self.y = np.empty((len(BATCHES), BATCH_IMAGES, 1), np.uint8)
        self.missing = list(BATCHES)

    def add(self, batch, labels, pixels, name):
        """Put in a batch's labels (N,) and pixels (N, 3072); `name` is its file's."""
        if batch not in self.missing:
            raise ValueError(f"[cifar10] {name} is there twice")
        if labels.max(initial=0) > 9:
            record = int(np.argmax(labels > 9))
            raise ValueError(f"[cifar10] {name}: label {labels[record]} in record {record}, expected 0 to 9")
        self.x[BATCHES.index(batch)] = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        self.y[BATCHES.index(batch), :, 0] = labels
        self.missing.remove(batch)


def _read_folder(folder):
    """Yield `(version, batch, name, content)` of each batch file, of the version that has more of them."""
    found = {version: [] for version in ARCHIVES}
    for version in ARCHIVES:
        for batch in BATCHES:
            path = folder / files.file_name(version, batch)
            if path.is_file():
                found[version].append((batch, path))
    version = max(ARCHIVES, key=lambda version: len(found[version]))
    for batch, path in found[version]:
        _check_size(path, path.stat().st_size)
        yield version, batch, path, path.read_bytes()


def _read_archive(path):
    """Yield `(version, batch, name, content)` of each batch file, one at a time."""
    batches = {
        (folder, files.file_name(folder, batch)): (folder, batch) for folder in ARCHIVES for batch in BATCHES
    }
    try:
        for name, size, read in tar.members(path):
            found = batches.get(tuple(name.split("/")[-2:]))
            if found:
                _check_size(f"{path}: {name}", size)
                yield *found, f"{path}: {name}", read()
    except tar.ArchiveError as error:
        raise ValueError(
            f"[cifar10] {path} ({path.stat().st_size:,} bytes) is not a whole archive: {error}; the official "
            f"binary archive has {ARCHIVE_BYTES:,} bytes"
        ) from None


def _check_size(name, size):
    if size > LARGEST_FILE:
        raise ValueError(f"[cifar10] {name} has {size:,} bytes, which is too many")


def _parse(version, name, content):
    """Return labels (N,) and pixels (N, 3072) of a batch file's content."""
    if version == PICKLED:
        return cifar10_pickle.parse(name, content, BATCH_IMAGES, PIXELS)
    expected = BATCH_IMAGES * (1 + PIXELS)
    if len(content) != expected:
        raise ValueError(f"[cifar10] {name} has {len(content):,} bytes, expected {expected:,}")
    records = np.frombuffer(content, np.uint8).reshape(BATCH_IMAGES, 1 + PIXELS)
    return records[:, 0], records[:, 1:]
