"""CIFAR-10's contents and what can be wrong with them."""

import os

import numpy as np
import pytest
from cifar10_layouts import (
    PIXELS,
    batch_dict,
    check,
    pickled,
    small,
    write,
    write_archive,
)

from pyconv.datasets import cifar10, download


@pytest.fixture(autouse=True)
def small_batches(monkeypatch, tmp_path):
    small(monkeypatch, tmp_path)


LAYOUTS = ["binary", "python", "python3", "binary archive", "python archive"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reads(layout, tmp_path):
    root = write(layout, tmp_path / "data")
    check(cifar10.load_data(root))
    check(cifar10.load_data(str(next(root.iterdir()))))  # the folder or archive itself
    assert not (tmp_path / "outside").exists()
    assert sorted(os.listdir(tmp_path)) == ["data"]


def test_class_names():
    assert len(cifar10.CLASS_NAMES) == 10
    assert cifar10.CLASS_NAMES[0] == "airplane"
    assert cifar10.CLASS_NAMES[9] == "truck"


def test_official_sizes(monkeypatch):
    monkeypatch.undo()
    assert cifar10.BATCH_IMAGES * (1 + cifar10.PIXELS) == 30_730_000


@pytest.mark.parametrize("other", ["python", "python archive", "binary archive"])
def test_prefers_the_binary_version(other, tmp_path):
    for layout in ("binary", other):
        write(layout, tmp_path)
    assert cifar10.find(tmp_path) == tmp_path / "cifar-10-batches-bin"


def test_environment_comes_before_the_cache(tmp_path, monkeypatch):
    write("binary archive", tmp_path / "cache")
    assert cifar10.find() == tmp_path / "cache" / "cifar-10-binary.tar.gz"
    monkeypatch.setenv("PYCONV_DATA", str(write("python", tmp_path / "data")))
    assert cifar10.find() == tmp_path / "data" / "cifar-10-batches-py"


def test_downloads_to_the_cache(tmp_path, monkeypatch):
    calls = []

    def fetch(filename, urls, **options):
        calls.append(options)
        return write("binary archive", options["folder"]) / filename

    monkeypatch.setattr(download, "fetch", fetch)
    check(cifar10.load_data())
    check(cifar10.load_data())
    assert len(calls) == 1
    assert calls[0]["folder"] == tmp_path / "cache"


def test_no_network(tmp_path):
    with pytest.raises(download.DownloadError, match=r"(?s)127\.0\.0\.1:9.*--data-dir.*--dataset shapes"):
        cifar10.load_data()


def test_no_such_folder(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere does not exist, expected .*cifar-10-python\.tar\.gz"
    ):
        cifar10.load_data(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"has no CIFAR-10 in it, expected .*cifar-10-batches-bin"):
        cifar10.load_data(tmp_path)


def test_a_batch_is_missing(tmp_path):
    folder = write("binary", tmp_path) / "cifar-10-batches-bin"
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(
        ValueError, match=r"cifar-10-batches-bin has no data_batch_3, expected data_batch_1, "
    ):
        cifar10.load_data(tmp_path)


def test_a_batch_is_short(tmp_path):
    path = write("binary", tmp_path) / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"test_batch\.bin has 61,459 bytes, expected 61,460"):
        cifar10.load_data(tmp_path)


def copy(folder, source, target):
    (folder / f"{target}.bin").write_bytes((folder / f"{source}.bin").read_bytes())


@pytest.mark.parametrize(
    ("source", "target"),
    [("data_batch_1", "data_batch_2"), ("data_batch_1", "test_batch"), ("test_batch", "data_batch_5")],
)
def test_a_batch_is_a_copy_of_another(source, target, tmp_path):
    copy(write("binary", tmp_path) / "cifar-10-batches-bin", source, target)
    first, second = sorted([source, target])
    with pytest.raises(ValueError, match=rf"-bin: {second} has the same images as {first}"):
        cifar10.load_data(tmp_path)


@pytest.mark.parametrize("batch", ["data_batch_1.bin", "data_batch_3.bin", "test_batch.bin"])
@pytest.mark.parametrize("begin", [0, 0.5])
def test_a_batch_has_zeros(batch, begin, tmp_path):
    path = write("binary", tmp_path) / "cifar-10-batches-bin" / batch
    content = path.read_bytes()
    begin = int(begin * len(content))
    path.write_bytes(content[:begin] + bytes(len(content) - begin))
    with pytest.raises(ValueError, match=r"pixels are 0|images of class 0 \(airplane\), expected (10|2):"):
        cifar10.load_data(tmp_path)


def test_a_pickled_batch_without_pixels(tmp_path):
    path = write("python", tmp_path) / "cifar-10-batches-py" / "data_batch_4"
    path.write_bytes(pickled(batch_dict(3, data=np.zeros_like(PIXELS[3]))))
    with pytest.raises(ValueError, match=r"data_batch_4 is damaged: all its pixels are 0"):
        cifar10.load_data(tmp_path)


def test_a_label_is_out_of_range(tmp_path):
    path = write("binary", tmp_path) / "cifar-10-batches-bin" / "data_batch_2.bin"
    content = bytearray(path.read_bytes())
    content[3 * 3073] = 10
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"data_batch_2\.bin: label 10 in record 3, expected 0 to 9"):
        cifar10.load_data(tmp_path)


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.999])
def test_an_archive_is_cut(keep, tmp_path):
    path = write("binary archive", tmp_path) / "cifar-10-binary.tar.gz"
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz.*not a whole archive.*170,052,171 bytes"):
        cifar10.load_data(tmp_path)


def test_an_archive_of_something_else(tmp_path):
    path = write_archive(tmp_path / "cifar-10-binary.tar.gz", {"batches.meta.txt": b"x"})
    with pytest.raises(ValueError, match=r"tar\.gz has no data_batch_1, data_batch_2"):
        cifar10.load_data(path)


def test_an_archive_that_swells(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "LARGEST_FILE", 60_000)
    write("binary archive", tmp_path)
    with pytest.raises(ValueError, match=r"test_batch\.bin has 61,460 bytes, which is too many"):
        cifar10.load_data(tmp_path)


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (Evil(os.system, "true"), r"it asks for (posix|nt)\.system, which no CIFAR-10 batch needs"),
        (batch_dict(0, extra=Evil(os.mkdir, "evil")), r"it asks for posix\.mkdir"),
        (Evil(eval, "1"), r"it asks for __builtin__\.eval"),
        (Evil(np.load, "x"), r"it asks for numpy\.load"),
        ([1, 2], "AttributeError"),
        ({b"data": 1}, "KeyError"),
        (batch_dict(0, data=PIXELS[0, :19]), r"data is uint8 \(19, 3072\), expected uint8 \(20, 3072\)"),
        (batch_dict(0, data=PIXELS[0].astype(np.int8)), r"data is int8 \(20, 3072\), expected uint8"),
        (batch_dict(0, data=b"x"), r"data is bytes, expected"),
        (batch_dict(0, labels=[0] * 19), r"labels are 19, expected a list of 20"),
        (batch_dict(0, labels=None), r"labels are a NoneType, expected a list of 20"),
        (batch_dict(0, labels=[-1] * 20), r"labels are not all integers from 0 to 9"),
        (batch_dict(0, labels=[b"x"] * 20), r"labels are not all integers from 0 to 9"),
        (batch_dict(0, labels=[12] * 20), r"label 12 in record 0, expected 0 to 9"),
    ],
)
def test_pickles_that_hold_something_else(batch, message, tmp_path):
    path = write("python", tmp_path) / "cifar-10-batches-py" / "data_batch_1"
    path.write_bytes(pickled(batch))
    with pytest.raises(ValueError, match=message) as raised:
        cifar10.load_data(tmp_path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x02}", b"cpyconv\n_core\n."])
def test_damaged_pickles(content, tmp_path):
    path = write("python", tmp_path) / "cifar-10-batches-py" / "data_batch_1"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"data_batch_1 \({len(content)} bytes\) is not a pickled CIFAR-10 batch"
    ):
        cifar10.load_data(tmp_path)


def test_a_pickle_cannot_change_the_unpickler(tmp_path):
    # BUILD with a slot state calls setattr: on the stand-in for numpy.dtype, for one.
    path = write("python", tmp_path) / "cifar-10-batches-py" / "data_batch_1"
    path.write_bytes(b"\x80\x02cnumpy\ndtype\nN}X\x08\x00\x00\x00__func__K\x01s\x86b.")
    with pytest.raises(ValueError, match="AttributeError"):
        cifar10.load_data(tmp_path)
