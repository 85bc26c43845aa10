import shutil
import sys

import numpy as np
import pytest

from pyconv import cli, layers, losses, models, predict, train
from pyconv.datasets import shapes

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "load_dataset", lambda *given: (*shapes.load_data(64, 50), shapes.CLASS_NAMES))
        assert train.main(["--dataset", "shapes", "--epochs", "1", "--run-dir", str(folder)]) == 0
    return folder


def test_predict(folder, tmp_path, capsys):
    (x, _), _ = shapes.load_data(2, 0)
    files = [str(tmp_path / f"{i}.png") for i in range(2)]
    for path, image in zip(files, x, strict=True):
        Image.fromarray(image).save(path)
    assert cli.run(predict.main, [str(folder), *files, "--top", "2"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    scores = models.load_model(folder / "best.safetensors").predict(x)
    expected = []
    for path, row in zip(files, scores, strict=True):
        expected.append(path)
        for label in np.argsort(-row)[:2]:
            expected.append(f"  {row[label]:6.1%}  {shapes.CLASS_NAMES[label]}")
    assert out.splitlines() == expected


def test_other_sizes_and_modes_are_converted_with_a_note(folder, tmp_path, capsys):
    path = str(tmp_path / "wide.png")
    Image.new("LA", (64, 48), (200, 128)).save(path)
    assert cli.run(predict.main, [str(folder), path]) == 0
    assert capsys.readouterr().err == f"note: {path} is resized from 64x48 to 32x32\n"


def test_errors_are_one_line(folder, tmp_path, capsys, monkeypatch):
    text = tmp_path / "text.png"
    text.write_text("no image")
    assert cli.run(predict.main, [str(folder), str(text)]) == 1
    formats = "PNG, JPEG, GIF, BMP, TIFF, WEBP or PPM"
    assert (
        capsys.readouterr().err
        == f"error: [predict] {text} is not an image that can be read, expected {formats}\n"
    )
    assert cli.run(predict.main, [str(folder), str(tmp_path / "none.png")]) == 1
    assert "No such file" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert cli.run(predict.main, [str(folder), str(text)]) == 1
    assert capsys.readouterr().err.startswith("error: [predict] reading images needs Pillow")


def test_one_bad_picture_among_many(folder, tmp_path, capsys):
    good, cut, none = (str(tmp_path / name) for name in ("good.png", "cut.png", "none.png"))
    Image.new("RGB", (32, 32)).save(good)
    with open(good, "rb") as file, open(cut, "wb") as other:
        other.write(file.read()[:60])
    assert cli.run(predict.main, [str(folder), cut, good, none, good, "--top", "1"]) == 1
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [good, good]
    first, second = err.splitlines()
    assert first.startswith(f"error: [predict] {cut} is cut or damaged: ")
    assert second == f"error: [Errno 2] No such file or directory: '{none}'"


def test_a_folder_of_pictures(folder, tmp_path, capsys):
    pictures, empty = tmp_path / "pictures", tmp_path / "empty"
    pictures.mkdir()
    empty.mkdir()
    for name in ("b.png", "a.bmp"):
        Image.new("RGB", (32, 32)).save(pictures / name)
    (pictures / "c.heic").touch()
    assert cli.run(predict.main, [str(folder), str(empty), str(pictures)]) == 1
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [
        str(pictures / "a.bmp"),
        str(pictures / "b.png"),
    ]
    note, error = err.splitlines()
    assert note == f"note: {pictures}: left out c.heic: expected PNG, JPEG, GIF, BMP, TIFF, WEBP or PPM"
    assert error.startswith(f"error: [predict] {empty} is a folder without images (.png, ")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (32, 32), (9, 99, 199)).save(path)
    return str(path)


def test_a_models_file(folder, tmp_path, picture, capsys):
    assert cli.run(predict.main, [str(folder), picture, "--top", "99"]) == 0
    expected = capsys.readouterr().out.splitlines()
    assert len(expected) == 11
    assert cli.run(predict.main, [str(folder / "best.safetensors"), picture, "--top", "99"]) == 0
    assert capsys.readouterr().out.splitlines() == expected
    assert cli.run(predict.main, [str(folder), picture, "--weights", "last"]) == 0
    capsys.readouterr()
    file = str(shutil.copy(folder / "best.safetensors", tmp_path / "model.safetensors"))
    (tmp_path / "config.json").write_text("[]")  # of something else
    assert cli.run(predict.main, [file, picture, "--top", "99"]) == 0
    out, err = capsys.readouterr()
    assert err == f"note: {file} lies in no run folder, so classes have no names\n"
    numbers = [str(shapes.CLASS_NAMES.index(line.split()[1])) for line in expected[1:]]
    assert [line.split()[-1] for line in out.splitlines()[1:]] == numbers


def test_logits_become_probabilities(tmp_path, picture, capsys):
    model = models.Sequential([layers.Flatten(input_shape=(32, 32, 3)), layers.Dense(2)])
    model.set_weights([np.zeros((3072, 2), np.float32), np.array([0, np.log(3)], np.float32)])
    path = str(tmp_path / "m.safetensors")
    model.save(path)
    assert cli.run(predict.main, [path, picture]) == 1
    assert "gives no probabilities" in capsys.readouterr().err
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    model.save(path)
    assert cli.run(predict.main, [path, picture]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["   75.0%  class 1", "   25.0%  class 0"]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ([layers.Dense(3, input_shape=(5,))], "takes inputs of shape (5,), expected images"),
        ([layers.Conv2D(3, 3, input_shape=(8, 8, 4))], "takes inputs of shape (8, 8, 4), expected images"),
        (
            [layers.Conv2D(3, 3, input_shape=(8, 8, 3))],
            "gives outputs of shape (6, 6, 3), expected (classes,)",
        ),
        (
            [layers.Flatten(input_shape=(8, 8, 3)), layers.Dense(1)],
            "gives outputs of shape (1,), expected (classes,)",
        ),
    ],
)
def test_models_that_classify_no_images(tmp_path, picture, capsys, network, message):
    path = str(tmp_path / "m.safetensors")
    models.Sequential(network).save(path)
    assert cli.run(predict.main, [path, picture]) == 1
    assert capsys.readouterr().err.startswith(f"error: [predict] {path} {message}")


def test_top(folder, picture, capsys):
    assert cli.run(predict.main, [str(folder), picture, "--top", "0"]) == 1
    assert capsys.readouterr().err == "error: [predict] --top is 0, expected at least 1\n"


def test_a_name_that_is_no_text(folder, tmp_path, picture):
    import os
    import subprocess

    name = os.path.join(os.fsencode(tmp_path), b"\xff.png")
    shutil.copy(picture, name)
    done = subprocess.run([sys.executable, "-m", "pyconv.predict", folder, name], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\udcff.png" in done.stdout
