import json
import os
import pickle
import subprocess

import numpy as np
import pytest
from safetensors.numpy import save_file

from pyconv import checkpoint

ARRAYS = {
    "conv2d/kernel": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4),
    "scalar": np.array(2.5),
    "empty": np.zeros((0, 3), np.float32),
    "labels": np.array([3, 1, 2], np.uint8),
}
METADATA = {"epoch": 3, "best": None, "name": "größe", "history": {"loss": [0.1, 1e-9, 3.0]}}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, ARRAYS, METADATA)
    return path


def test_round_trip(path):
    arrays, metadata = checkpoint.load(path)
    assert metadata == METADATA
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        assert np.array_equal(arrays[name], array)


def test_strided_arrays(tmp_path):
    transposed = np.arange(6.0).reshape(2, 3).T
    checkpoint.save(tmp_path / "a", {"x": transposed}, {})
    assert np.array_equal(checkpoint.load(tmp_path / "a")[0]["x"], transposed)


def test_the_same_content_gives_the_same_bytes(path, tmp_path):
    checkpoint.save(tmp_path / "again", dict(reversed(ARRAYS.items())), METADATA)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_keeps_the_previous_file(path):
    before = path.read_bytes()
    checkpoint.save(path, ARRAYS, {"epoch": 4})
    checkpoint.save(path, ARRAYS, {"epoch": 5})
    previous = path.with_name("last.safetensors.previous")
    assert checkpoint.load(path)[1] == {"epoch": 5}
    assert checkpoint.load(previous)[1] == {"epoch": 4}
    assert before != previous.read_bytes()
    assert sorted(os.listdir(path.parent)) == ["last.safetensors", "last.safetensors.previous"]


def test_writes_through_a_symbolic_link(path):
    link = path.with_name("link")
    link.symlink_to(path)
    checkpoint.save(link, {}, {"epoch": 9})
    assert link.is_symlink()
    assert checkpoint.load(path)[1] == {"epoch": 9}


@pytest.mark.parametrize(
    ("step", "call"), [("fsync", 0), ("link", 0), ("replace", 0), ("replace", 1), ("fsync", 1)]
)
def test_a_crash_at_any_step_leaves_a_whole_file(path, monkeypatch, step, call):
    """What a kill leaves behind: every later step, the cleaning up included, does not happen."""
    calls = []
    real = getattr(os, step)

    def crash(*arguments):
        calls.append(arguments)
        if len(calls) <= call:
            return real(*arguments)
        for name in ("replace", "rename", "link", "unlink"):
            monkeypatch.setattr(os, name, dead)
        raise KeyboardInterrupt

    def dead(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, crash)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, ARRAYS, {"epoch": 4})
    monkeypatch.undo()
    assert checkpoint.load(path)[1] in (METADATA, {"epoch": 4})
    checkpoint.save(path, ARRAYS, {"epoch": 5})
    assert checkpoint.load(path)[1] == {"epoch": 5}


def test_a_full_disk_leaves_the_old_file_and_no_leftover(path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, ARRAYS, {"epoch": 4})
    monkeypatch.undo()
    assert checkpoint.load(path)[1] == METADATA
    assert os.listdir(path.parent) == ["last.safetensors"]


def test_without_hard_links_the_previous_file_is_a_copy(path, monkeypatch):
    def unsupported(*arguments):
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", unsupported)
    checkpoint.save(path, ARRAYS, {"epoch": 4})
    assert checkpoint.load(path.with_name("last.safetensors.previous"))[1] == METADATA


def test_every_corrupted_byte_is_noticed(path):
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(checkpoint.CheckpointError):
            checkpoint.load(path)


def test_truncated_files(path):
    content = path.read_bytes()
    for size in (0, 4, 8, 100, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(checkpoint.CheckpointError, match="truncated or not a safetensors file"):
            checkpoint.load(path)


def test_an_error_names_the_previous_file(path):
    checkpoint.save(path, ARRAYS, METADATA)
    path.write_bytes(b"")
    with pytest.raises(
        checkpoint.CheckpointError, match=r"the one before it is .*last\.safetensors\.previous"
    ):
        checkpoint.load(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no file .*the one before it is"):
        checkpoint.load(path)


def test_foreign_files(tmp_path):
    path = tmp_path / "foreign"
    save_file(ARRAYS, path)
    with pytest.raises(checkpoint.CheckpointError, match="pyconv did not write it"):
        checkpoint.load(path)
    for header in ("no json", "[]", '{"version": 1}'):
        save_file(ARRAYS, path, {"pyconv": header})
        with pytest.raises(checkpoint.CheckpointError, match="damaged header"):
            checkpoint.load(path)
    save_file(ARRAYS, path, {"pyconv": json.dumps({"version": 99, "sha256": "", "metadata": {}})})
    with pytest.raises(checkpoint.CheckpointError, match="has format version 99, expected 1"):
        checkpoint.load(path)


def test_a_file_cannot_run_code(tmp_path):
    class Payload:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    path = tmp_path / "payload"
    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.load(path)
    checkpoint.save(path, {}, {"class_name": "os.system", "config": {"command": "touch ran"}})
    assert checkpoint.load(path)[1]["class_name"] == "os.system"
    assert not (tmp_path / "ran").exists()


def write_header(path, arrays, text):
    save_file(arrays, path, {"pyconv": text})


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"version": 1, "sha256": "", "metadata": ' + "[" * 100_000,
        "null",
        "3",
        '{"version": null, "sha256": 1, "metadata": 2}',
        '{"version": 1, "sha256": null, "metadata": null}',
        '{"version": [1], "sha256": {}, "metadata": {}}',
        '{"version": 1, "sha256": "", "metadata": []}',
    ],
)
def test_headers_that_make_no_sense(tmp_path, text):
    write_header(tmp_path / "f", ARRAYS, text)
    with pytest.raises(checkpoint.CheckpointError, match=r"^\[checkpoint\] .*f (has|is) "):
        checkpoint.load(tmp_path / "f")


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2", "F4", "E8M0", "XYZ"])
def test_types_that_numpy_lacks(tmp_path, kind):
    header = json.dumps(
        {
            "__metadata__": {"pyconv": "{}"},
            "x": {"dtype": kind, "shape": [4], "data_offsets": [0, 4 * (1 + (kind == "BF16"))]},
        }
    ).encode()
    (tmp_path / "f").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(checkpoint.CheckpointError, match=r"^\[checkpoint\] .*f "):
        checkpoint.load(tmp_path / "f")


@pytest.mark.parametrize(
    "error",
    [KeyError("position"), TypeError("x"), AttributeError("y"), IndexError("z"), RecursionError("deep")],
)
def test_what_a_reader_stumbles_over_names_the_file(error):
    with (
        pytest.raises(
            checkpoint.CheckpointError, match=r"^\[checkpoint\] some/file holds no model that fits: "
        ),
        checkpoint.reading("some/file"),
    ):
        raise error


def test_leftovers_of_killed_processes_go(path):
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True).stdout.strip()
    living = os.getppid()
    for process in (dead, living):
        for end in ("new", "old"):
            path.with_name(f".{path.name}.{process}.{end}").touch()
    path.with_name(f".other.{dead}.new").touch()
    checkpoint.save(path, ARRAYS, METADATA)
    assert {name for name in os.listdir(path.parent) if name.startswith(".")} == {
        f".{path.name}.{living}.new",
        f".{path.name}.{living}.old",
        f".other.{dead}.new",
    }


def test_errors_name_the_file_itself(path, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"^\[checkpoint\] there is no folder .*nowhere for x$"):
        checkpoint.save(tmp_path / "nowhere" / "x", ARRAYS, METADATA)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as raised:
        checkpoint.save(tmp_path / "folder", ARRAYS, METADATA)
    assert str(raised.value) == f"[Errno 21] Is a directory: '{tmp_path / 'folder'}'"

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as raised:
        checkpoint.save(path, ARRAYS, METADATA)
    assert raised.value.filename == str(path)
