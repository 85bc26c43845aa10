"""CIFAR-10 wherever it lies."""

import io
import tarfile

import pytest
from cifar10_layouts import (
    binary_files,
    binary_members,
    check,
    pickled_files,
    pickled_members,
    small,
    write,
    write_archive,
    write_folder,
)

from pyconv.datasets import cifar10, download

PY, BIN = "cifar-10-batches-py", "cifar-10-batches-bin"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch, tmp_path):
    small(monkeypatch, tmp_path)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("folder", "named"),
    [
        (PY, "."),  # torchvision's root
        (f"cifar/{PY}", "."),
        (f"all/cifar/{PY}", "."),
        (f"{PY}-target/{PY}", "."),  # Keras 3
        (f"{PY}-target/{PY}", f"{PY}-target"),
        (f"datasets/{PY}-target/{PY}", "."),  # ~/.keras
        (f"cifar-10-python/{PY}", "cifar-10-python"),  # a browser's unpacking
        (PY, f"{PY}/data_batch_3"),
        (PY, f"{PY}/test_batch"),
        ("renamed", "renamed"),
        ("renamed", "."),
    ],
)
def test_folders(root, folder, named):
    write_folder(root / folder, pickled_files())
    check(cifar10.load_data(root / named))


@pytest.mark.parametrize("named", [".", BIN, f"{BIN}/data_batch_1.bin"])
def test_binary_folders(root, named):
    write_folder(root / BIN, binary_files())
    check(cifar10.load_data(root / named))


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("cifar-10-binary.tar", "w"),
        ("cifar-10-python.tar", "w"),
        ("cifar-10-python.tgz", "w:gz"),
        ("cifar-10-python (1).tar.gz", "w:gz"),
        ("cifar-10-python(1).tar.gz", "w:gz"),
        ("cifar-10-python.tar(1).gz", "w:gz"),
        ("cifar-10-python.tar.gz.1", "w:gz"),  # wget
        ("cifar-10-python.tar.gz", "w"),  # unpacked on the way, with the old name
        ("cifar-10-batches-py.tar.gz", "w:gz"),  # Keras 2
        ("cifar-10-batches-py-target_archive", "w:gz"),  # Keras 3
        ("CIFAR10.tar", "w"),
        ("Copy of cifar-10-binary.tar.gz", "w:gz"),
        ("kriz_cifar-10-binary.tar.gz", "w:gz"),
        ("cs.toronto.edu_kriz_cifar-10-binaryABC-_123.tar.gz", "w:gz"),  # TensorFlow Datasets
        ("Kopie von CIFAR-10-python (1).tgz", "w:gz"),
        ("deeper/cifar-10-binary.tar.gz", "w:gz"),
    ],
)
@pytest.mark.parametrize("named", ["folder", "file"])
def test_archives(root, name, mode, named):
    write_archive(root / name, binary_members() if "binary" in name else pickled_members(), mode)
    check(cifar10.load_data(root if named == "folder" else root / name))


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("prefix", ["./", "a" * 70 + "/" + "ü" * 40 + "/"], ids=["dot", "long"])
def test_formats(root, format, prefix):
    root.mkdir()
    path = root / "cifar-10.tar"
    with tarfile.open(path, "w", format=format) as archive:
        for name, content in binary_members().items():
            member = tarfile.TarInfo(prefix + name)
            member.size, member.mtime = len(content), 1.5
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "elsewhere"
        archive.addfile(link)
    check(cifar10.load_data(path))


def test_both_versions_in_one_archive(root):
    write_archive(root / "cifar-10.tar.gz", {**pickled_members(), **binary_members()})
    check(cifar10.load_data(root))
    members = {**binary_members(), **pickled_members()}
    del members[f"{BIN}/test_batch.bin"]
    check(cifar10.load_data(write_archive(root / "cifar-10.tar.gz", members)))


def test_both_versions_in_one_folder(root):
    files = {**binary_files(), **pickled_files()}
    del files["data_batch_1.bin"]
    check(cifar10.load_data(write_folder(root, files)))


def test_a_whole_archive_comes_before_a_folder_that_is_not(root):
    write("python archive", root)
    write("python", root)
    (root / PY / "test_batch").unlink()
    check(cifar10.load_data(root))


def cut(path):
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize("whole", [PY, f"data/{BIN}", "other.tar/cifar-10-python.tar"])
@pytest.mark.parametrize("content", ["cut", b"<html>404</html>", b""])
def test_a_false_archive_beside_whole_data(root, whole, content, capsys):
    path = write("binary archive", root) / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:5000] if content == "cut" else content)
    if whole.endswith(".tar"):
        write_archive(root / whole, pickled_members(), "w")
    else:
        write_folder(root / whole, pickled_files() if whole == PY else binary_files())
    check(cifar10.load_data(root))
    note = capsys.readouterr().err
    assert note.startswith(f"note: {path} (")
    assert note.endswith(f"; trying {root / whole}\n")
    assert note.count("\n") == 1


@pytest.mark.parametrize("damage", ["short", "zeros", "label"])
@pytest.mark.parametrize("together", [False, True])
def test_a_damaged_folder_beside_a_whole_one(root, damage, together, capsys):
    binary, pickled = (root, root) if together else (root / BIN, root / PY)
    for folder, files in ((binary, binary_files()), (pickled, pickled_files())):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    path = binary / "data_batch_2.bin"
    content = path.read_bytes()
    path.write_bytes(
        {"short": content[:-1], "zeros": bytes(len(content)), "label": b"\x0a" + content[1:]}[damage]
    )
    check(cifar10.load_data(root))
    assert "data_batch_2" in capsys.readouterr().err


def test_a_damaged_version_in_an_archive_with_both(root):
    members = {**binary_members(), **pickled_members()}
    members[f"{BIN}/data_batch_1.bin"] = b"x"
    check(cifar10.load_data(write_archive(root / "cifar-10.tar.gz", members)))


def test_each_is_named_where_none_is_whole(root):
    for layout in ("binary archive", "python archive"):
        write(layout, root)
    for path in root.iterdir():
        cut(path)
    write("python", root)
    (root / PY / "test_batch").unlink()
    with pytest.raises(ValueError, match="none of the 3 that were found is whole") as raised:
        cifar10.load_data(root)
    for name in ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz", f"{PY} has no test_batch"):
        assert name in str(raised.value)


def test_a_cut_archive_in_the_cache(tmp_path, monkeypatch):
    path = write("binary archive", tmp_path / "cache") / "cifar-10-binary.tar.gz"
    cut(path)
    write("python", tmp_path / "keras" / "datasets")
    check(cifar10.load_data())
    monkeypatch.setattr(cifar10, "ARCHIVE_BYTES", path.stat().st_size)  # as if only its hash were wrong
    check(cifar10.load_data())


@pytest.mark.parametrize("prefix", ["", "./", "cifar10/", "a/b/c/", "cifar-10-batches-bin\\", ".\\x\\"])
@pytest.mark.parametrize("files", [binary_files, pickled_files])
def test_archives_laid_out_in_other_ways(root, prefix, files):
    path = root / "cifar-10.tar.gz"
    check(cifar10.load_data(write_archive(path, {prefix + name: c for name, c in files().items()})))


def test_an_archive_with_two_folders(root):
    members = {("test/" if "test" in name else "train/") + name: c for name, c in binary_files().items()}
    check(cifar10.load_data(write_archive(root / "cifar-10.tar.gz", members)))


def test_what_is_no_archive_is_passed_over(root):
    write("python", root)
    for name in ("cifar-10-binary.tar.gz.part", "cifar-10-binary.tar.gz.lock", "cifar-10-notes.txt"):
        (root / name).write_bytes(b"\x1f\x8b")
    (root / "cifar-100-python.tar.gz").write_bytes(b"\x1f\x8b")
    check(cifar10.load_data(root))


def test_the_home_folder(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    write("python", root)
    check(cifar10.load_data("~/data"))
    monkeypatch.setenv("PYCONV_DATA", "~/data")
    check(cifar10.load_data())


def test_no_such_user(root, monkeypatch):
    with pytest.raises(FileNotFoundError, match="~nouser-x/data does not exist"):
        cifar10.load_data("~nouser-x/data")
    monkeypatch.setenv("KERAS_HOME", "~nouser-x/keras")
    with pytest.raises(download.DownloadError):
        cifar10.load_data()
    monkeypatch.setenv("PYCONV_DATA", "~nouser-x/data")
    with pytest.raises(FileNotFoundError, match="PYCONV_DATA"):
        cifar10.load_data()


def test_keras_folder_comes_before_a_download(tmp_path):
    write("python", tmp_path / "keras" / "datasets")
    check(cifar10.load_data())


def test_an_environment_variable_that_is_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYCONV_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist.*PYCONV_DATA"):
        cifar10.load_data()
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(download.DownloadError, match=r"There is no CIFAR-10 in .*nowhere, .*cache, .*keras"):
        cifar10.load_data()
    assert "PYCONV_DATA" in capsys.readouterr().err


def test_what_lies_there_instead_is_said(root):
    root.mkdir()
    (root / "cifar-10-python.zip").write_bytes(b"PK")
    with pytest.raises(FileNotFoundError, match=r"there is cifar-10-python\.zip, which is none of these"):
        cifar10.load_data(root)


@pytest.mark.parametrize("data_dir", ["", 3, b"x"])
def test_no_path(data_dir):
    with pytest.raises((TypeError, ValueError), match=r"\[cifar10\] data_dir is .*expected a path"):
        cifar10.load_data(data_dir)


def test_a_cached_download_is_hashed_again(tmp_path, monkeypatch):
    path = write("binary archive", tmp_path / "cache") / "cifar-10-binary.tar.gz"
    check(cifar10.load_data())  # of another size: somebody's own
    monkeypatch.setattr(cifar10, "ARCHIVE_BYTES", path.stat().st_size)
    with pytest.raises(download.DownloadError, match="is damaged"):
        cifar10.load_data()
