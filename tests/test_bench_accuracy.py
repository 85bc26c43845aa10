"""The accuracy benchmark continues what was interrupted, and counts what it should."""

import csv
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from pyconv import cli
from pyconv.datasets import shapes

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """The script as a module, on a slice of `shapes`."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("bench_accuracy", BENCHMARKS / "bench_accuracy.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench_accuracy", module)
    spec.loader.exec_module(module)
    data = *shapes.load_data(200, 60), shapes.CLASS_NAMES
    monkeypatch.setattr(cli, "load_dataset", lambda name, data_dir=None: data)
    monkeypatch.chdir(tmp_path)
    return module


def run(bench, *options):
    return bench.main(["--recipe", "shapes", "--dataset", "shapes", "--batch-size", "32", *options])


def curve(name):
    with open(f"runs/accuracy/{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def figures(text):
    """The closing table: {figure: mean}."""
    lines = text.partition("runs, ")[2].splitlines()[1:]
    return {line[:30].strip(): float(line[30:].split()[0]) for line in lines}


def test_means_curves_and_going_on(bench, capsys, monkeypatch):
    assert run(bench, "--runs", "2", "--epochs", "2") == 0
    out = capsys.readouterr().out
    assert "seed 0: test, %" in out
    assert "±" in out
    curves = [curve("shapes-0"), curve("shapes-1")]
    assert [row["epoch"] for row in curves[1]] == ["1", "2"]
    last = [float(rows[-1]["val_accuracy"]) for rows in curves]
    assert figures(out)["test, %"] == pytest.approx(100 * np.mean(last), abs=0.05)

    monkeypatch.setattr(bench.train, "main", None)  # all is done: nothing trains
    assert run(bench, "--runs", "2", "--epochs", "2") == 0
    assert capsys.readouterr().out == out
    with pytest.raises(SystemExit, match=r"shapes-0 was trained with other options"):
        run(bench, "--runs", "2", "--epochs", "3")


def test_an_interrupted_run_goes_on(bench, monkeypatch, capsys):
    whole = ["--epochs", "3", "--name", "whole"]
    parts = ["--epochs", "3", "--name", "parts"]
    assert run(bench, *whole) == 0
    end = bench.Clock.on_epoch_end

    def stop(self, epoch, logs=None):
        end(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(bench.Clock, "on_epoch_end", stop)
    with pytest.raises(KeyboardInterrupt):
        run(bench, *parts)
    monkeypatch.setattr(bench.Clock, "on_epoch_end", end)
    assert run(bench, *parts) == 0
    for one, other in zip(curve("whole-0"), curve("parts-0"), strict=True):
        del one["minutes"], other["minutes"]
        assert one == other


def test_held_out_images_do_not_train(bench, capsys, monkeypatch):
    (x, y), _, _ = cli.load_dataset("shapes")
    index = np.array([3, 5, 150])
    np.savez("held.npz", index=index, images=255 - x[index])
    seen = {}
    load = bench.Run.load_dataset

    def watch(self, name, data_dir):
        seen["data"] = load(self, name, data_dir)
        return seen["data"]

    monkeypatch.setattr(bench.Run, "load_dataset", watch)
    assert run(bench, "--epochs", "1", "--held-out", "held.npz") == 0
    train, validation, _ = seen["data"]
    assert len(train[0]) == 197
    assert not any((image == x[index]).all(axis=(1, 2, 3)).any() for image in train[0])
    np.testing.assert_array_equal(validation[0], x[index])
    np.testing.assert_array_equal(validation[1], y[index])
    assert {"held out, %", "held out, other form, %", "test, %"} <= figures(capsys.readouterr().out).keys()
