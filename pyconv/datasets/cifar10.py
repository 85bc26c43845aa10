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
            Where several are found, one that is not whole is passed over with a note.

    Returns:
        uint8 images (50000, 32, 32, 3) and (10000, 32, 32, 3); uint8 labels (50000, 1) and (10000, 1), which
        index `CLASS_NAMES`. Both in the official order.

    Raises:
        FileNotFoundError: if `data_dir` holds no CIFAR-10.
        ValueError: if a file is not what it should be: its size, its labels and how many there are of each
            class, its checksum, what its pickle asks for; or if two batches are the same. (A folder and a
            plain .tar have no checksum: a few changed pixels are not noticed there.)
        DownloadError: if there is nothing on this machine and no mirror gave the archive.
    """
    places, failures = _places(data_dir), []
    for path, version in places:
        try:
            return _load(_fetched(path) if data_dir is None else path, version)
        except (OSError, ValueError) as error:
            error.__traceback__ = error.__context__ = None  # their frames hold the images
            failures.append(error)
        if len(failures) < len(places):
            reason = _reason(failures[-1]).partition("\n")[0]
            print(f"note: {reason}; trying {places[len(failures)][0]}", file=sys.stderr)
    if len(failures) == 1:
        raise failures[0]
    tried = "".join(f"\n  {_reason(failure)}" for failure in failures)
    raise ValueError(f"[cifar10] none of the {len(failures)} that were found is whole:{tried}")


def find(data_dir=None):
    """Return the path of the batch folder or archive that `load_data` tries first."""
    path = _places(data_dir)[0][0]
    return _fetched(path) if data_dir is None else path


def _places(data_dir):
    """Return what there is to try, in turn: at least one (path, version)."""
    if data_dir is not None:
        return _places_in(arguments.path(data_dir, "data_dir", "cifar10"))
    from pyconv.datasets import download  # here, since urllib takes long to import

    named, cache = os.environ.get("PYCONV_DATA"), download.cache_folder()
    if named:
        try:
            return _places_in(named)
        except FileNotFoundError as error:
            if not os.path.exists(os.path.expanduser(named)):
                raise FileNotFoundError(f"{error} (PYCONV_DATA names it)") from None
            print(f"note: PYCONV_DATA: {named} has no CIFAR-10, looking further", file=sys.stderr)
    found = [*files.look_in(cache), *files.look_in(files.keras_folder())]
    return found or [(cache / ARCHIVES[BINARY], BINARY)]


def _places_in(place):
    path = Path(os.path.expanduser(place))
    found = files.look_in(path)
    if not found:
        kind = "has no CIFAR-10 in it" if path.exists() else "does not exist"
        raise FileNotFoundError(f"[cifar10] {path} {kind}, {files.describe(path)}")
    return found


def _fetched(path):
    """Return `path`. The cache folder's archive is downloaded if it is not there, else its hash compared."""
    from pyconv.datasets import download

    cache, archive = download.cache_folder(), ARCHIVES[BINARY]
    if path != cache / archive or (path.exists() and path.stat().st_size != ARCHIVE_BYTES):
        return path
    looked = ", ".join(map(str, filter(None, (os.environ.get("PYCONV_DATA"), cache, files.keras_folder()))))
    return download.fetch(
        archive,
        ARCHIVE_URLS,
        sha256=ARCHIVE_SHA256,
        size=ARCHIVE_BYTES,
        folder=cache,
        hint=f"There is no CIFAR-10 in {looked}. Name a folder that holds it with --data-dir (in Python: "
        "data_dir=, or PYCONV_DATA), or train on the built-in data set with --dataset shapes.",
    )


def _reason(error):
    return str(error).removeprefix("[cifar10] ")


def _load(path, version):
    """Return the data set in an archive, or that of a version in a folder."""
    sets = {}  # by version: an archive can have both
    batch_files = _in_archive(path) if path.is_file() else _in_folder(path, version)
    try:
        for kind, batch, name, size, read in batch_files:
            sets.setdefault(kind, _Batches()).add(kind, batch, name, size, read)
    except tar.ArchiveError as error:
        raise ValueError(
            f"[cifar10] {path} ({path.stat().st_size:,} bytes) is not a whole archive: {error}; the official "
            f"binary archive has {ARCHIVE_BYTES:,} bytes"
        ) from None
    found = [sets[kind] for kind in ARCHIVES if kind in sets] or [_Batches()]
    problems = [batches.problem(path) for batches in found]
    if None not in problems:
        nearest = min(range(len(found)), key=lambda k: len(found[k].missing))
        raise ValueError(f"[cifar10] {problems[nearest]}")
    x, y = found[problems.index(None)].arrays
    return (x[:-1].reshape(-1, 32, 32, 3), y[:-1].reshape(-1, 1)), (x[-1], y[-1])


class _Batches:
    """The batches of one data set, as far as they have been read."""

    def __init__(self):
        x = np.empty((len(BATCHES), BATCH_IMAGES, 32, 32, 3), np.uint8)
        self.arrays = x, np.empty((len(BATCHES), BATCH_IMAGES, 1), np.uint8)
        self.missing = list(BATCHES)
        self._error = None

    def add(self, version, batch, name, size, read):
        """Put in the batch in a file called `name`, whose `size` bytes `read()` returns."""
        if size > LARGEST_FILE:
            raise ValueError(f"[cifar10] {name} has {size:,} bytes, which is too many")
        try:
            if batch not in self.missing:
                raise ValueError(f"[cifar10] {name} is there twice")
            labels, pixels = _parse(version, name, read())
            if labels.max(initial=0) > 9:
                record = int(np.argmax(labels > 9))
                raise ValueError(
                    f"[cifar10] {name}: label {labels[record]} in record {record}, expected 0 to 9"
                )
        except ValueError as error:  # there may be another set that is whole
            self._error = self._error or _reason(error)
            return
        x, y = self.arrays
        x[BATCHES.index(batch)] = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        y[BATCHES.index(batch), :, 0] = labels
        self.missing.remove(batch)

    def problem(self, path):
        """Return what is wrong with the data set that lies at `path`, or None."""
        if self._error:
            return self._error
        if self.missing:
            return f"{path} has no {', '.join(self.missing)}, expected {', '.join(BATCHES)}"
        x, y = self.arrays
        for k, batch in enumerate(BATCHES):
            if (x[k] == x[k, 0, 0, 0, 0]).all():
                return f"{path}: {batch} is damaged: all its pixels are {x[k, 0, 0, 0, 0]}"
            for other in range(k):
                if (x[k, 0] == x[other, 0]).all() and (x[k] == x[other]).all():
                    return f"{path}: {batch} has the same images as {BATCHES[other]}, expected others"
        for labels, what in ((y[:-1], "the five training batches"), (y[-1], BATCHES[-1])):
            expected = labels.size // len(CLASS_NAMES)
            counts = np.bincount(labels.reshape(-1), minlength=len(CLASS_NAMES))
            wrong = int(np.argmax(np.abs(counts - expected)))
            if counts[wrong] != expected:
                return (
                    f"{path}: {what} have {counts[wrong]:,} images of class {wrong} ({CLASS_NAMES[wrong]}), "
                    f"expected {expected:,}: a batch is damaged or not CIFAR-10's"
                )
        return None


def _in_folder(folder, version):
    """Yield `(version, batch, name, size, read)` of each batch file of a version."""
    for batch in BATCHES:
        path = folder / files.file_name(version, batch)
        if path.is_file():
            yield version, batch, path, path.stat().st_size, path.read_bytes


def _in_archive(path):
    """Yield the same of each batch file in an archive, one at a time, whatever the folders' names are."""
    batches = {files.file_name(version, batch): (version, batch) for version in ARCHIVES for batch in BATCHES}
    for name, size, read in tar.members(path):
        file = name.replace("\\", "/").rpartition("/")[2]
        if file in batches:
            yield *batches[file], f"{path}: {name}", size, read


def _parse(version, name, content):
    """Return labels (N,) and pixels (N, 3072) of a batch file's content."""
    if version == PICKLED:
        return cifar10_pickle.parse(name, content, BATCH_IMAGES, PIXELS)
    expected = BATCH_IMAGES * (1 + PIXELS)
    if len(content) != expected:
        raise ValueError(f"[cifar10] {name} has {len(content):,} bytes, expected {expected:,}")
    records = np.frombuffer(content, np.uint8).reshape(BATCH_IMAGES, 1 + PIXELS)
    return records[:, 0], records[:, 1:]
