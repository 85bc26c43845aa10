import pytest

from pyconv import cli, evaluate, train
from pyconv.datasets import shapes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "load_dataset", lambda *given: (*shapes.load_data(64, 50), shapes.CLASS_NAMES))
        assert train.main(["--dataset", "shapes", "--epochs", "1", "--run-dir", str(folder)]) == 0
    return folder


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    monkeypatch.setattr(cli, "load_dataset", lambda *given: (*shapes.load_data(0, 50), shapes.CLASS_NAMES))


@pytest.mark.parametrize("options", [[], ["--weights", "last", "--batch-size", "7"]])
def test_evaluate(folder, capsys, options):
    with open(folder / "history.csv") as file:
        names, values = (line.strip().split(",") for line in file)
    expected = dict(zip(names, values, strict=True))
    assert cli.run(evaluate.main, [str(folder), *options]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert " on 50 test images of shapes (cpu, " in first
    loss, accuracy, speed = second.split(", ")
    assert float(loss.removeprefix("loss ")) == pytest.approx(float(expected["val_loss"]), abs=1e-3)
    assert float(accuracy.removeprefix("accuracy ")) == pytest.approx(
        float(expected["val_accuracy"]), abs=1e-4
    )
    assert speed.endswith(" images/s")


def test_a_damaged_model_is_one_line(folder, capsys):
    path = folder / "best.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    assert cli.run(evaluate.main, [str(folder)]) == 1
    path.write_bytes(content)
    assert capsys.readouterr().err.startswith(f"error: [checkpoint] {path} is truncated")


def test_a_damaged_config_is_one_line(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{")
    assert cli.run(evaluate.main, [str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: [run] {tmp_path / 'config.json'} is damaged")
