"""CIFAR-10: 60,000 colour photographs of 32x32 pixels in ten classes.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html. The binary and the pickled ("python") version are read, as
folders or as the archives they come in.
"""

import os
from pathlib import Path

import numpy as np

from pyconv.datasets import cifar10_pickle

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

BATCHES = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")
BATCH_IMAGES = 10_000
PIXELS = 3 * 32 * 32  # planes R, G, B, each row by row
LARGEST_FILE = 64 << 20  # bytes; what an archive claims beyond is not read

BINARY, PICKLED = "cifar-10-batches-bin", "cifar-10-batches-py"
ARCHIVES = {BINARY: "cifar-10-binary.tar.gz", PICKLED: "cifar-10-python.tar.gz"}

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
        data_dir: a folder with `cifar-10-batches-bin`, `cifar-10-batches-py` or one of the official archives
            in it, one of these folders, or one of these archives; the binary version is preferred. None: the
            folder that the environment variable PYCONV_DATA names, then the cache folder, then a download of
            170 MB to the cache folder.

    Returns:
        uint8 images (50000, 32, 32, 3) and (10000, 32, 32, 3); uint8 labels (50000, 1) and (10000, 1), which
        index `CLASS_NAMES`. Both in the official order.

    Raises:
        FileNotFoundError: if `data_dir` holds no CIFAR-10.
        ValueError: if a file is not what it should be: its size, its labels, what its pickle asks for.
        DownloadError: if there is nothing on this machine and no mirror gave the archive.
    """
    path = find(data_dir)
    x = np.empty((len(BATCHES), BATCH_IMAGES, 32, 32, 3), np.uint8)
    y = np.empty((len(BATCHES), BATCH_IMAGES, 1), np.uint8)
    missing = list(BATCHES)
    for batch, name, content in _read_archive(path) if path.is_file() else _read_folder(path):
        labels, pixels = _parse(name, content)
        if labels.max(initial=0) > 9:
            record = int(np.argmax(labels > 9))
            raise ValueError(f"[cifar10] {name}: label {labels[record]} in record {record}, expected 0 to 9")
        x[BATCHES.index(batch)] = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        y[BATCHES.index(batch), :, 0] = labels
        missing.remove(batch)
    if missing:
        raise ValueError(f"[cifar10] {path} has no {', '.join(missing)}, expected {', '.join(BATCHES)}")
    train = x[:-1].reshape(-1, 32, 32, 3), y[:-1].reshape(-1, 1)
    return train, (x[-1], y[-1])


def find(data_dir=None):
    """Return the path of a batch folder or an archive: see `load_data`."""
    if data_dir is not None:
        path = _look_in(Path(data_dir))
        if path is None:
            names = ", ".join([*ARCHIVES, *ARCHIVES.values()])
            kind = "has no CIFAR-10 in it" if os.path.exists(data_dir) else "does not exist"
            raise FileNotFoundError(f"[cifar10] {data_dir} {kind}, expected one of {names}")
        return path
    from pyconv.datasets import download  # here, since urllib takes long to import

    cache = download.cache_folder()
    for folder in (os.environ.get("PYCONV_DATA"), cache):
        path = folder and _look_in(Path(folder))
        if path:
            return path
    return download.fetch(
        ARCHIVES[BINARY],
        ARCHIVE_URLS,
        sha256=ARCHIVE_SHA256,
        size=ARCHIVE_BYTES,
        folder=cache,
        hint="Name a folder that holds CIFAR-10 with --data-dir (in Python: data_dir=, or PYCONV_DATA), or "
        "train on the built-in data set with --dataset shapes.",
    )


def _look_in(path):
    if path.is_file():
        return path
    for folder, archive in ARCHIVES.items():
        for candidate in (path / folder, path):
            if (candidate / _file_name(folder, BATCHES[0])).is_file():
                return candidate
        if (path / archive).is_file():
            return path / archive
    return None


def _file_name(folder, batch):
    return f"{batch}.bin" if folder == BINARY else batch


def _read_folder(folder):
    """Yield `(batch, name, content)` of each batch file."""
    binary = (folder / _file_name(BINARY, BATCHES[0])).is_file()
    for batch in BATCHES:
        path = folder / _file_name(BINARY if binary else PICKLED, batch)
        if path.is_file():
            yield batch, path, path.read_bytes()


def _read_archive(path):
    """Yield `(batch, name, content)` of each batch file, one at a time; nothing is written to disk."""
    import tarfile
    import zlib

    members = {f"{folder}/{_file_name(folder, batch)}": batch for folder in ARCHIVES for batch in BATCHES}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                batch = members.pop(member.name.removeprefix("./"), None)
                if batch and member.isfile():
                    name = f"{path}: {member.name}"
                    if member.size > LARGEST_FILE:
                        raise ValueError(f"[cifar10] {name} has {member.size:,} bytes, which is too many")
                    yield batch, name, archive.extractfile(member).read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        size = path.stat().st_size
        raise ValueError(
            f"[cifar10] {path} ({size:,} bytes) is not a whole archive: {error}; the official binary archive "
            f"has {ARCHIVE_BYTES:,} bytes"
        ) from error


def _parse(name, content):
    """Return labels (N,) and pixels (N, 3072) of a batch file's content."""
    if not str(name).endswith(".bin"):
        return cifar10_pickle.parse(name, content, BATCH_IMAGES, PIXELS)
    expected = BATCH_IMAGES * (1 + PIXELS)
    if len(content) != expected:
        raise ValueError(f"[cifar10] {name} has {len(content):,} bytes, expected {expected:,}")
    records = np.frombuffer(content, np.uint8).reshape(BATCH_IMAGES, 1 + PIXELS)
    return records[:, 0], records[:, 1:]
