"""Archives that are damaged or hostile."""

import gzip
import io
import struct
import tarfile
import tracemalloc

import numpy as np
import pytest
from cifar10_layouts import binary_members, check, small, write_archive

from pyconv.datasets import cifar10, tar


@pytest.fixture(autouse=True)
def small_batches(monkeypatch, tmp_path):
    small(monkeypatch, tmp_path)


def header(name, size, kind=b"0"):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def packed(tmp_path, content):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(content, 1))
    return path


def test_every_flipped_bit_of_a_gzipped_archive_is_noticed(tmp_path):
    path = write_archive(tmp_path / "cifar-10-binary.tar.gz", binary_members())
    content = path.read_bytes()
    header_bytes = {4, 5, 6, 7, 8, 9}  # gzip's time, flags for information and system: of no consequence
    places = np.linspace(0, len(content) - 1, 150).astype(int).tolist()
    for place in [*places, *range(len(content) - 8, len(content))]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        if place in header_bytes or (content[3] & 8 and 10 <= place < 40):  # the name in gzip's header
            continue
        with pytest.raises(ValueError, match=r"\[cifar10\] "):
            cifar10.load_data(path)


def test_a_plain_archive_that_is_cut(tmp_path):
    path = write_archive(tmp_path / "cifar-10-binary.tar", binary_members(), "w")
    content = path.read_bytes()
    end = len(content.rstrip(b"\0"))
    for length in (0, 1, 511, 513, 70_000, end, end - end % 512 + 512):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"cifar-10-binary\.tar .*is not a whole archive"):
            cifar10.load_data(path)


def test_a_damaged_header(tmp_path):
    path = write_archive(tmp_path / "cifar-10-binary.tar", binary_members(), "w")
    content = bytearray(path.read_bytes())
    second = 512 + -(-61460 // 512) * 512
    content[second + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"it has a damaged header at byte {second:,}"):
        cifar10.load_data(path)


def test_a_batch_that_is_there_twice(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    write_archive(path, {**binary_members(), **{f"a/{name}": x for name, x in binary_members().items()}})
    with pytest.raises(ValueError, match=r"data_batch_1\.bin is there twice"):
        cifar10.load_data(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header("././@LongLink", 3 << 29, b"L") + bytes(1 << 22), "a name or header of 1,610,612,736 bytes"),
        (header("x", 3 << 29, b"x") + bytes(1 << 22), "a name or header of 1,610,612,736 bytes"),
        (header("x", 3 << 29, b"g") + bytes(1 << 22), "a name or header of 1,610,612,736 bytes"),
        (header("x", 30 << 30) + bytes(1 << 22), "unpacks to more than"),
        (header("x", 512, b"S") + bytes(1024), "x in it is a sparse file"),
        (header("x", 24, b"x") + b"24 GNU.sparse.size=1e99\n".ljust(512, b"\0"), "a sparse file"),
        (header("x", 5, b"x") + b"9 a=b".ljust(512, b"\0"), "damaged pax header"),
        (header("x", 12, b"x") + b"12 size=abc\n".ljust(512, b"\0"), "damaged pax header"),
        (header("x", 1000) + bytes(512), "ends too early"),
        (b"no archive at all" * 100, "is no tar archive"),
        (header("cifar-10-batches-bin/test_batch.bin", 65 << 20), "which is too many"),
    ],
)
def test_archives_that_claim_too_much(tmp_path, content, message):
    path = packed(tmp_path, content)
    tracemalloc.start()
    with pytest.raises(ValueError, match=message):
        cifar10.load_data(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20  # bytes


def test_what_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(tar, "LARGEST_ARCHIVE", 1 << 20)
    path = packed(tmp_path, b"".join(header("x", 1 << 18) + bytes(1 << 18) for _ in range(5)))
    with pytest.raises(ValueError, match="unpacks to more than 1,048,576 bytes"):
        cifar10.load_data(path)
    path = packed(tmp_path, bytes(1 << 21))
    with pytest.raises(ValueError, match="unpacks to more than 1,048,576 bytes"):
        cifar10.load_data(path)


def test_sizes_in_binary(tmp_path):
    path = tmp_path / "cifar-10.tar"
    content = io.BytesIO()
    for name, data in binary_members().items():
        block = bytearray(header(name, len(data)))
        block[124:136] = b"\x80" + struct.pack(">IQ", 0, len(data))[1:]
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        content.write(block + data + bytes(-len(data) % 512))
    path.write_bytes(content.getvalue() + bytes(1024))
    check(cifar10.load_data(path))
