"""The blog's script and the README's Python run as they stand, on a slice of data."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from pyconv import layers
from pyconv.datasets import cifar10, shapes
from pyconv.models import model_from_json

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def small_data(monkeypatch, tmp_path):
    """Both data sets are a slice of `shapes`, and files go to a folder of their own."""
    whole = shapes.load_data(train=128, test=32)
    monkeypatch.setattr(shapes, "load_data", lambda: whole)
    monkeypatch.setattr(cifar10, "load_data", lambda data_dir=None: whole)
    monkeypatch.chdir(tmp_path)


def example(name):
    """Return an example's script as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_blogs_script(small_data, capsys):
    history = example("blog").main(["--epochs", "2", "--batch-size", "32"])

    assert len(history.history["val_accuracy"]) == 2
    assert all(np.isfinite(values).all() for values in history.history.values())
    model = model_from_json(Path("model.json").read_text())
    model.load_weights("model.safetensors")
    filters = [layer.filters for layer in model.layers if isinstance(layer, layers.Conv2D)]
    assert filters == [32, 32, 64, 64, 128, 128]
    assert "conv2d_5 (Conv2D)" in capsys.readouterr().out


def test_a_loss_of_ones_own(small_data):
    before, after = example("own_loss").main(["--epochs", "1"])
    assert before == after
    assert np.isfinite(before).all()


def test_the_tour(small_data, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    spec = importlib.util.spec_from_file_location("make_tour", ROOT / "docs" / "make_tour.py")
    tour = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tour)
    tour.main(tmp_path)
    drawn = {f"tour/{path.name}" for path in (tmp_path / "tour").iterdir()}
    shown = set(re.findall(r"!\[.*?\]\((.*?)\)", tour.PAGE.read_text()))
    assert shown - drawn == {"tour/cifar10_channels.png", "tour/cifar10_dream.png"}
    assert drawn <= shown
    assert all((ROOT / "docs" / path).exists() for path in shown)


def test_the_readmes_python(tmp_path, monkeypatch, capsys):
    """The whole training: a reader's first one keeps what the text below it promises."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    spaces = [{}, {}]
    for block, space in zip(blocks, spaces, strict=True):
        exec(block, space)
    assert Path("shapes.safetensors").exists()
    promised = int(re.search(r"about (\d+)% of the test images", text)[1]) / 100
    _, accuracy = spaces[0]["model"].evaluate(spaces[0]["x_test"], spaces[0]["y_test"])
    assert accuracy > promised - 0.03
