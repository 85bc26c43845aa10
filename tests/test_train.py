import csv
import json
import signal
import sys

import numpy as np
import pytest

from pyconv import callbacks, checkpoint, cli, evaluate, models, train
from pyconv.datasets import shapes

SMALL = ["--dataset", "shapes", "--epochs", "3", "--batch-size", "32"]


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    def load_dataset(name, data_dir=None):
        assert name == "shapes"
        return *shapes.load_data(200, 60), shapes.CLASS_NAMES

    monkeypatch.setattr(cli, "load_dataset", load_dataset)


@pytest.fixture
def interrupt(monkeypatch):
    """A function that makes the next training receive Ctrl-C at its n-th step."""

    def arm(at_step):
        steps = iter(range(1, 10**6))

        def count(batch, logs):
            if next(steps) == at_step:
                signal.raise_signal(signal.SIGINT)

        watch = train.watch
        hook = callbacks.LambdaCallback(on_train_batch_end=count)
        monkeypatch.setattr(train, "watch", lambda *given, **named: [*watch(*given, **named), hook])
        return lambda: monkeypatch.setattr(train, "watch", watch)

    return arm


def run(*options):
    return cli.run(train.main, [str(option) for option in options])


def rows(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def assert_same_run(one, other):
    for name in ("last.safetensors", "best.safetensors"):
        (arrays, metadata), (expected, expected_metadata) = (
            checkpoint.load(run / name) for run in (one, other)
        )
        assert metadata == expected_metadata
        assert arrays.keys() == expected.keys()
        for key, array in expected.items():
            assert np.array_equal(arrays[key], array), key
    assert (one / "history.csv").read_bytes() == (other / "history.csv").read_bytes()


def test_writes_a_run_folder(tmp_path, capsys):
    folder = tmp_path / "run"
    assert run(*SMALL, "--run-dir", folder, "--seed", 5) == 0
    out, err = capsys.readouterr()
    assert 'Model "shapes"' in out
    assert "device: cpu, " in out
    assert "data:   shapes, 200 training and 60 test images of 32x32x3, 10 classes" in out
    assert f"the run is in {folder}" in out
    assert [line.split(":")[0] for line in err.splitlines()] == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]

    config = json.loads((folder / "config.json").read_text())
    assert config["recipe"] == "shapes"
    assert (config["settings"]["seed"], config["settings"]["batch_size"]) == (5, 32)
    assert config["class_names"] == list(shapes.CLASS_NAMES)
    history = rows(folder)
    assert [row["epoch"] for row in history] == ["0", "1", "2"]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"} <= history[0].keys()

    logs = models.load_model(folder / "last.safetensors").evaluate(
        *shapes.load_data(0, 60)[1], return_dict=True
    )
    assert logs["accuracy"] == pytest.approx(float(history[-1]["val_accuracy"]))
    best = models.load_model(folder / "best.safetensors").evaluate(
        *shapes.load_data(0, 60)[1], return_dict=True
    )
    assert best["accuracy"] == pytest.approx(max(float(row["val_accuracy"]) for row in history))


def test_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*SMALL, "--epochs", 1) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("shapes-shapes-2")


def test_two_runs_are_the_same(tmp_path):
    for name in ("a", "b"):
        assert run(*SMALL, "--run-dir", tmp_path / name, "--augment", "--dropout", 0.2) == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("at_step", [3, 7, 9, 14], ids=lambda step: f"step{step}")
def test_an_interrupted_run_resumes_bit_for_bit(tmp_path, interrupt, capsys, at_step):
    options = [*SMALL, "--augment", "--dropout", 0.2, "--optimizer", "sgd", "--lr", 0.02]
    assert run(*options, "--run-dir", tmp_path / "whole") == 0
    disarm = interrupt(at_step)  # an epoch has seven steps
    assert run(*options, "--run-dir", tmp_path / "parts") == 130
    assert f"pyconv train --resume {tmp_path / 'parts'}" in capsys.readouterr().out
    assert len(rows(tmp_path / "parts")) == (at_step - 1) // 7
    disarm()
    assert run("--resume", tmp_path / "parts") == 0
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_a_run_killed_before_it_saved_an_epoch_resumes_bit_for_bit(tmp_path, monkeypatch):
    assert run(*SMALL, "--run-dir", tmp_path / "whole") == 0
    save = train.SaveLast.save

    def killed(self):
        if self.model.position.epoch == 2:
            raise KeyboardInterrupt
        save(self)

    monkeypatch.setattr(train.SaveLast, "save", killed)
    assert run(*SMALL, "--run-dir", tmp_path / "parts") == 130
    assert len(rows(tmp_path / "parts")) == 2
    monkeypatch.undo()
    monkeypatch.setattr(cli, "load_dataset", lambda *given: (*shapes.load_data(200, 60), shapes.CLASS_NAMES))
    assert run("--resume", tmp_path / "parts") == 0
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_more_epochs(tmp_path, capsys):
    folder = tmp_path / "run"
    constant = ["--schedule", "constant", "--lr", 0.003]
    assert run(*SMALL, *constant, "--run-dir", folder) == 0
    assert run("--resume", folder) == 1
    assert "the run has its 3 epochs already; name more with --epochs" in capsys.readouterr().err
    assert run("--resume", folder, "--epochs", 4, "--lr", 0.001) == 0
    assert [row["learning_rate"] for row in rows(folder)] == ["0.003", "0.003", "0.003", "0.001"]
    assert run(*SMALL, *constant, "--run-dir", folder) == 1
    assert f"holds a run already; continue it with --resume {folder}" in capsys.readouterr().err


def test_a_longer_schedule_takes_effect(tmp_path):
    assert run(*SMALL, "--run-dir", tmp_path / "run") == 0
    assert run("--resume", tmp_path / "run", "--epochs", 6) == 0
    rates = [float(row["learning_rate"]) for row in rows(tmp_path / "run")]
    assert rates[2] < 1e-6 < rates[3]


def test_what_cannot_change_within_an_epoch(tmp_path, interrupt, capsys):
    disarm = interrupt(3)
    assert run(*SMALL, "--run-dir", tmp_path / "run") == 130
    disarm()
    assert run("--resume", tmp_path / "run", "--batch-size", 16) == 1
    assert "[train] the run stopped within epoch 1, expected no new batch_size" in capsys.readouterr().err


def test_validation_split(tmp_path, capsys):
    """The validation images choose the best epoch, and the test set is looked at in the end."""
    folder = tmp_path / "run"
    assert run(*SMALL, "--run-dir", folder, "--validation-split", 0.25) == 0
    out = capsys.readouterr().out
    assert "150 training, 50 validation and 60 test images" in out
    history = [float(row["val_accuracy"]) for row in rows(folder)]
    best = max(history)
    lines = {"last": f"validation accuracy {history[-1]:.4f}"}
    if best > history[-1]:
        lines["best"] = f"validation accuracy {best:.4f}"
    for name, start in lines.items():
        model = models.load_model(folder / f"{name}.safetensors")
        accuracy = model.evaluate(*shapes.load_data(200, 60)[1], return_dict=True)["accuracy"]
        assert f"{start}, test accuracy {accuracy:.4f} at the {name}" in out


def test_the_best_epoch_is_named_as_what_it_is(tmp_path, capsys):
    """Chosen on the test set, it stands beside the last one, and both commands say so."""
    folder = tmp_path / "run"

    class Spoil(callbacks.Callback):
        """Makes the last epoch a bad one."""

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                layer = self.model.layers[-1]
                layer.set_weights([np.zeros_like(array) for array in layer.get_weights()])

    assert train.main([*SMALL, "--run-dir", str(folder), "--epochs", "3"], more=[Spoil()]) == 0
    out = capsys.readouterr().out
    history = [float(row["val_accuracy"]) for row in rows(folder)]
    best = max(history)
    assert best > history[-1]
    assert f"test accuracy {history[-1]:.4f} at the last epoch (last.safetensors)" in out
    assert f"test accuracy {best:.4f} at the best, epoch {history.index(best) + 1} (best.safetensors)" in out
    assert "The best was chosen by its test accuracy, which flatters" in out
    assert cli.run(evaluate.main, [str(folder)]) == 0
    assert "note: best.safetensors was chosen by its accuracy on these very images" in capsys.readouterr().err
    assert cli.run(evaluate.main, [str(folder), "--weights", "last"]) == 0
    assert "flatters" not in capsys.readouterr().err


def test_a_setting_of_another_recipe(tmp_path, capsys):
    assert run(*SMALL, "--run-dir", tmp_path / "run", "--order", "bn-relu") == 1
    assert "error: [train] --order is no setting of the recipe shapes" in capsys.readouterr().err
    assert (
        run(*SMALL, "--recipe", "blog", "--order", "bn-relu", "--epochs", 1, "--run-dir", tmp_path / "run")
        == 0
    )


def test_a_scripts_data_and_callbacks(tmp_path):
    """Neither is part of the run: it goes on without them."""
    seen = []
    hook = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))

    def load_dataset(name, data_dir):
        return *shapes.load_data(100, 40), shapes.CLASS_NAMES

    options = [*SMALL, "--run-dir", str(tmp_path / "run"), "--epochs", "2"]
    assert train.main(options, load_dataset=load_dataset, more=[hook]) == 0
    assert seen == [0, 1]
    assert run("--resume", tmp_path / "run", "--epochs", 3) == 0
    assert seen == [0, 1]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_nan_stops_and_names_the_layer(tmp_path, capsys):
    folder = tmp_path / "run"
    assert run(*SMALL, "--run-dir", folder, "--optimizer", "sgd", "--lr", 1e30, "--schedule", "constant") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: [fit] the loss is ")
    assert "gave the first value that is not finite" in error
    arrays, _ = checkpoint.load(folder / "last.safetensors")
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", 0], "[settings] epochs is 0, expected at least 1"),
        (["--validation-split", 1], "[settings] validation_split is 1.0, expected a fraction in [0, 1)"),
        (
            ["--device", "cuda:1"],
            "[device] device is 'cuda:1', expected auto, cpu or cuda; CUDA_VISIBLE_DEVICES",
        ),
        (["--device", "tpu"], "[device] device is 'tpu', expected auto, cpu or cuda"),
        (["--device", ""], "[device] device is '', expected auto, cpu or cuda"),
        (["--threads", 0], "[threads] --threads is 0, expected at least 1"),
        (["--resume", "nowhere"], "[run] nowhere is not a run folder"),
    ],
)
def test_refuses(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    assert run("--dataset", "shapes", *options) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: " + message)
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--data-dir", "somewhere"],
            "[data] --data-dir is somewhere, expected none: the images of shapes are drawn",
        ),
        (["--data-dir", ""], "[data] --data-dir is , expected none"),
        (["--run-dir", ""], "[train] --run-dir is '', expected a path"),
        (["--resume", ""], "[train] --resume is '', expected a path"),
        (["--momentum", 0.5], "[train] --momentum works with --optimizer sgd, the optimizer is adam"),
        (["--optimizer", "adam", "--momentum", 0.9], "[train] --momentum works with --optimizer sgd"),
        (["--rotation", 10], "[train] --rotation works with --augment, which is off"),
        (["--no-augment", "--shift", 0.1], "[train] --shift works with --augment, which is off"),
        (["--no-horizontal-flip"], "[train] --horizontal-flip works with --augment, which is off"),
        (["--warmup-epochs", 7], "[settings] warmup_epochs is 7.0, expected at most the 6 epochs"),
        (["--warmup-epochs", -1], "[settings] warmup_epochs is -1.0, expected at least 0"),
        (["--lr", "nan"], "[settings] learning_rate is nan, expected a number"),
        (["--lr", "inf"], "[settings] learning_rate is inf, expected a number"),
        (["--lr", -1], "[settings] learning_rate is -1.0, expected at least 0"),
        (
            ["--optimizer", "sgd", "--momentum", 1.5],
            "[settings] momentum is 1.5, expected a number in [0, 1]",
        ),
        (["--l2", "inf"], "[settings] l2 is inf, expected a number"),
        (["--l2", -1], "[settings] l2 is -1.0, expected at least 0"),
        (["--dropout", 1], "[settings] dropout is 1.0, expected a fraction in [0, 1)"),
        (["--augment", "--rotation", "nan"], "[settings] rotation is nan, expected a number"),
        (["--augment", "--rotation", 361], "[settings] rotation is 361.0, expected degrees in [0, 360]"),
        (["--augment", "--shift", 1], "[settings] shift is 1.0, expected a fraction in [0, 1)"),
        (["--validation-split", "nan"], "[settings] validation_split is nan, expected a number"),
        (["--validation-split", 0.999], "[fit] validation_split is 0.999"),
        (["--batch-size", 0], "[settings] batch_size is 0, expected at least 1"),
        (["--seed", -1], "[settings] seed is -1, expected an integer in [0, 2**64)"),
        (["--seed", 2**64], "[settings] seed is "),
        (["--precision", "tf32", "--device", "cpu"], "[precision] --precision is tf32, expected float32"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    assert run("--dataset", "shapes", *options) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: " + message)
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "blog"], "is a run of recipe shapes, not of blog"),
        (["--dataset", "cifar10"], "is a run of data set shapes, not of cifar10"),
        (["--data-dir", "somewhere"], "[data] --data-dir is somewhere, expected none"),
        (["--momentum", 0.5], "[train] --momentum works with --optimizer sgd, the optimizer is adam"),
        (["--epochs", 2], "[train] the run has its 3 epochs already; name more with --epochs"),
        (["--rotation", 3], "[train] --rotation works with --augment"),
    ],
)
def test_what_a_resume_refuses(tmp_path, capsys, options, message):
    folder = tmp_path / "run"
    assert run(*SMALL, "--run-dir", folder) == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    assert run("--resume", folder, *options) == 1
    assert message in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "options",
    [
        ["--optimizer", "sgd", "--momentum", 0.5],
        ["--schedule", "cosine"],
        ["--schedule", "constant", "--warmup-epochs", 1, "--lr", 0.002],
        ["--dropout", 0.3],
        ["--l2", 0.01],
        ["--augment", "--rotation", 5],
        ["--seed", 9, "--batch-size", 50],
    ],
)
def test_what_a_resume_may_change(tmp_path, options):
    folder = tmp_path / "run"
    assert run(*SMALL, "--schedule", "constant", "--run-dir", folder) == 0
    assert run("--resume", folder, "--epochs", 4, *options) == 0
    assert [row["epoch"] for row in rows(folder)] == ["0", "1", "2", "3"]


def test_a_new_rate_with_a_warm_up(tmp_path):
    constant = ["--schedule", "constant", "--warmup-epochs", 1]
    assert run(*SMALL, *constant, "--run-dir", tmp_path / "run") == 0
    assert run("--resume", tmp_path / "run", "--epochs", 4, "--lr", 0.005) == 0
    assert [row["learning_rate"] for row in rows(tmp_path / "run")][2:] == ["0.01", "0.005"]


def test_interrupted_when_all_is_done(tmp_path, capsys, monkeypatch):
    """Ctrl-C in the last validation: the run has its epochs, so there is nothing to continue."""
    watch = train.watch
    hook = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: epoch == 2 and signal.raise_signal(signal.SIGINT)
    )
    monkeypatch.setattr(train, "watch", lambda *given, **named: [*watch(*given, **named), hook])
    assert run(*SMALL, "--run-dir", tmp_path / "run") == 0
    out = capsys.readouterr().out
    assert "continue with" not in out
    assert f"the run is in {tmp_path / 'run'}" in out
    assert len(rows(tmp_path / "run")) == 3


def test_interrupted_in_an_earlier_validation(tmp_path, monkeypatch, capsys):
    assert run(*SMALL, "--run-dir", tmp_path / "whole") == 0
    watch = train.watch
    hook = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: epoch == 1 and signal.raise_signal(signal.SIGINT)
    )
    monkeypatch.setattr(train, "watch", lambda *given, **named: [*watch(*given, **named), hook])
    assert run(*SMALL, "--run-dir", tmp_path / "parts") == 130
    assert "continue with" in capsys.readouterr().out
    monkeypatch.setattr(train, "watch", watch)
    assert run("--resume", tmp_path / "parts") == 0
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_the_home_folder_in_data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    args = train.parse(["--data-dir", "~/data"])
    assert train.configure(args, {})[2]["data_dir"] == str(tmp_path / "data")


def test_help_shows_the_recipes_defaults(capsys):
    with pytest.raises(SystemExit, match="0"):
        train.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "passes over the training set (default: 64 / 125 / 6)" in text
    assert "--no-augment" in text


def test_a_run_whose_logs_change_goes_on(tmp_path):
    """With a penalty the logs have data_loss, without it they have not: --l2 may change, and change back."""
    folder = tmp_path / "run"
    assert run(*SMALL, "--run-dir", folder, "--epochs", 1) == 0
    for epochs, l2 in ((2, 0.001), (3, 0.001), (4, 0), (5, 0)):
        assert run("--resume", folder, "--epochs", epochs, "--l2", l2) == 0
    with_penalty = [row["data_loss"] != "NA" for row in rows(folder)]
    assert with_penalty == [False, True, True, False, False]
    assert [row["epoch"] for row in rows(folder)] == list("01234")


def test_without_a_stderr(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert run(*SMALL, "--run-dir", tmp_path / "run", "--epochs", 1) == 0
