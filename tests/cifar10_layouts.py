"""CIFAR-10 in each of its layouts, with batches of 20 random images."""

import io
import pickle
import struct
import tarfile

import numpy as np

from pyconv import _core, philox
from pyconv.datasets import cifar10, download

IMAGES = 20
WORDS = philox.words(6 * IMAGES * 769, seed=7, purpose=_core.PHILOX_DATA).reshape(6, IMAGES, 769)
PIXELS = WORDS[:, :, :768].copy().view(np.uint8)  # (6, 20, 3072)
ORDERS = [np.argsort(words.reshape(-1)) for words in (WORDS[:5, :, 768], WORDS[5, :, 768])]
LABELS = (np.concatenate(ORDERS) % 10).astype(np.uint8).reshape(6, IMAGES)  # of each class as many


def small(monkeypatch, tmp_path):
    """Make the batches small, and let nothing outside `tmp_path` be found."""
    monkeypatch.setattr(cifar10, "BATCH_IMAGES", IMAGES)
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(cifar10, "ARCHIVE_URLS", ("http://127.0.0.1:9/cifar-10-binary.tar.gz",))
    monkeypatch.delenv("PYCONV_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, as the official files have them."""

    def save_string(self, text):
        opcode = (
            b"U" + struct.pack("<B", len(text)) if len(text) < 256 else b"T" + struct.pack("<i", len(text))
        )
        self.write(opcode + text)
        self.memoize(text)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_string}  # noqa: RUF012


def pickled(batch, python2=True):
    if not python2:
        return pickle.dumps(batch, protocol=2)
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(batch)
    return file.getvalue().replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")


def batch_dict(k, **changes):
    return {
        b"batch_label": b"training batch",
        b"labels": LABELS[k].tolist(),
        b"data": PIXELS[k],
        b"filenames": [b"image.png"] * IMAGES,
        **{name.encode(): value for name, value in changes.items()},
    }


def binary_files():
    return {
        f"{name}.bin": np.hstack([LABELS[k, :, None], PIXELS[k]]).tobytes()
        for k, name in enumerate(cifar10.BATCHES)
    }


def pickled_files(**options):
    return {name: pickled(batch_dict(k), **options) for k, name in enumerate(cifar10.BATCHES)}


def write_folder(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(path, files, mode="w:gz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def binary_members():
    return {f"cifar-10-batches-bin/{name}": content for name, content in binary_files().items()}


def pickled_members():
    return {f"cifar-10-batches-py/{name}": content for name, content in pickled_files().items()}


def write(layout, root):
    binary, python = binary_members(), pickled_members()
    extra = {"cifar-10-batches-bin/readme.html": b"<p>", "../../outside": b"x"}
    root.mkdir(parents=True, exist_ok=True)
    if layout == "binary":
        write_folder(root / "cifar-10-batches-bin", binary_files())
    elif layout == "python":
        write_folder(root / "cifar-10-batches-py", pickled_files())
    elif layout == "python3":
        write_folder(root / "cifar-10-batches-py", pickled_files(python2=False))
    elif layout == "binary archive":
        write_archive(root / "cifar-10-binary.tar.gz", {**extra, **dict(reversed(binary.items()))})
    elif layout == "python archive":
        write_archive(root / "cifar-10-python.tar.gz", python)
    return root


def check(data):
    (x_train, y_train), (x_test, y_test) = data
    for array, shape in (
        (x_train, (5 * IMAGES, 32, 32, 3)),
        (y_train, (5 * IMAGES, 1)),
        (x_test, (IMAGES, 32, 32, 3)),
        (y_test, (IMAGES, 1)),
    ):
        assert array.dtype == np.uint8
        assert array.shape == shape
        assert array.flags.c_contiguous
    np.testing.assert_array_equal(np.concatenate([y_train, y_test])[:, 0], LABELS.reshape(-1))
    images = np.concatenate([x_train, x_test])
    for n, row, column, plane in [(0, 0, 0, 0), (21, 0, 31, 1), (50, 31, 0, 2), (119, 17, 5, 1)]:
        pixel = PIXELS.reshape(-1, 3072)[n, 1024 * plane + 32 * row + column]
        assert images[n, row, column, plane] == pixel
    assert images.astype(int).sum() == PIXELS.astype(int).sum()
