import shutil

import pytest

from pyconv import cli, evaluate, layers, train
from pyconv.datasets import shapes
from pyconv.models import Sequential


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch-size", "0"], "[evaluate] --batch-size is 0, expected at least 1"),
        (["--data-dir", "somewhere"], "[data] --data-dir is somewhere, expected none"),
        (["--dataset", "cifar10"], "was trained on another data set, expected no --dataset cifar10"),
    ],
)
def test_refuses(folder, capsys, options, message):
    assert cli.run(evaluate.main, [str(folder), *options]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_models_file(folder, tmp_path, capsys):
    assert cli.run(evaluate.main, [str(folder)]) == 0
    expected = capsys.readouterr().out.splitlines()[1].rpartition(", ")[0]
    assert cli.run(evaluate.main, [str(folder / "best.safetensors")]) == 0  # its run says the data set
    assert capsys.readouterr().out.splitlines()[1].rpartition(", ")[0] == expected
    file = str(shutil.copy(folder / "best.safetensors", tmp_path / "model.safetensors"))
    assert cli.run(evaluate.main, [file, "--dataset", "shapes"]) == 0
    assert capsys.readouterr().out.splitlines()[1].rpartition(", ")[0] == expected
    assert cli.run(evaluate.main, [file]) == 1
    assert capsys.readouterr().err == f"error: [evaluate] {file} lies in no run folder, expected --dataset\n"
    assert cli.run(evaluate.main, [file, "--weights", "last"]) == 1
    assert "is one model, expected a run folder with --weights last" in capsys.readouterr().err


def test_models_that_cannot_be_evaluated(tmp_path, capsys):
    file = tmp_path / "model.safetensors"
    for shape, message in (((32, 32, 3), "was saved before it was compiled"), ((8, 8, 1), "the model takes")):
        model = Sequential([layers.Flatten(input_shape=shape), layers.Dense(10, activation="softmax")])
        if shape[0] == 8:
            model.compile("sgd", "sparse_categorical_crossentropy")
        model.save(file)
        assert cli.run(evaluate.main, [str(file), "--dataset", "shapes"]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert cli.run(evaluate.main, [str(tmp_path / "none.safetensors"), "--dataset", "shapes"]) == 1
    assert "there is no file" in capsys.readouterr().err
