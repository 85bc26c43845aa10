"""`pyconv inspect` on a run, and what draws."""

import sys

import numpy as np
import pytest

from pyconv import cli, train
from pyconv.datasets import shapes

pytest.importorskip("matplotlib", reason="the extra plot is not installed")

PICTURES = ["curves", "confusion", "mistakes", "filters", "features", "saliency", "channels", "dream"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run on a slice of `shapes`."""
    folder = tmp_path_factory.mktemp("runs") / "shapes"
    whole = shapes.load_data(train=256, test=64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "load_data", lambda: whole)
        assert cli.run(train.main, ["--dataset", "shapes", "--epochs", "2", "--run-dir", str(folder)]) == 0
        yield folder


def test_all_pictures(run, tmp_path, capsys):
    assert cli.main(["inspect", str(run), "--out", str(tmp_path / "out"), "--steps", "3"]) == 0
    printed = capsys.readouterr().out.split()
    assert printed == [str(tmp_path / "out" / f"{name}.png") for name in PICTURES]
    for path in printed:
        with open(path, "rb") as file:
            header = file.read(24)
        assert header.startswith(b"\x89PNG")
        width, height = (int.from_bytes(header[i : i + 4], "big") for i in (16, 20))
        assert 300 < width < 2000
        assert 80 < height < 2000


def test_ones_own_image(run, tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "black.png")
    out = tmp_path / "out"
    assert (
        cli.main(["inspect", str(run), str(tmp_path / "black.png"), "--out", str(out), "--steps", "1"]) == 0
    )
    assert "note: " in capsys.readouterr().err  # the image was resized
    assert (out / "dream.png").exists()


def test_errors(run, tmp_path, capsys, monkeypatch):
    for argv, message in (
        ([str(tmp_path)], "is not a run folder"),
        ([str(run), "--steps", "-1"], "[inspect] --steps is -1, expected at least 0"),
        ([str(run), str(tmp_path / "none.png")], "none.png"),
    ):
        assert cli.main(["inspect", *argv]) == 1
        assert message in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert cli.main(["inspect", str(run)]) == 1
    assert "pip install 'pyconv[plot]'" in capsys.readouterr().err
