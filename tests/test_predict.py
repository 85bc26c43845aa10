import sys

import numpy as np
import pytest

from pyconv import cli, models, predict, train
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
    assert capsys.readouterr().err == f"error: [predict] {text} is not an image that Pillow can read\n"
    assert cli.run(predict.main, [str(folder), str(tmp_path / "none.png")]) == 1
    assert "No such file" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert cli.run(predict.main, [str(folder), str(text)]) == 1
    assert capsys.readouterr().err.startswith("error: [predict] reading images needs Pillow")
