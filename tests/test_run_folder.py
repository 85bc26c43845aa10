"""Run folders: whole or not at all, whatever happens, and one process at a time."""

import builtins
import csv
import json
import os
import shutil
import subprocess
import sys

import pytest

from pyconv import checkpoint, cli, evaluate, run_folder, train
from pyconv.callbacks import ModelCheckpoint
from pyconv.datasets import shapes
from pyconv.run_folder import RunFolder

OPTIONS = ["--dataset", "shapes", "--batch-size", "32", "--schedule", "constant", "--epochs", "1"]
WRITERS = [(os, name) for name in ("replace", "link", "fsync", "unlink", "mkdir", "rmdir")]


class KilledError(BaseException):
    """What happens at a kill: nothing of what would have come."""


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    data = *shapes.load_data(64, 20), shapes.CLASS_NAMES
    monkeypatch.setattr(cli, "load_dataset", lambda *given: data)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "run"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "load_dataset", lambda *given: (*shapes.load_data(64, 20), shapes.CLASS_NAMES))
        assert run(*OPTIONS, "--run-dir", folder) == 0
    return folder


def run(*options):
    return cli.run(train.main, [str(option) for option in options])


def rows(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def fail_at(patch, at, error):
    """Let the `at`-th change of files, counted from 0, raise `error`; return the list of those so far.

    After a kill every later one raises too.
    """
    calls = []

    def wrap(owner, name):
        real = getattr(owner, name)

        def call(*arguments, **options):
            if name == "open" and not {"w", "a"} & set("".join(map(str, arguments[1:]))):
                return real(*arguments, **options)
            calls.append(name)
            if len(calls) == at + 1 or (len(calls) > at and isinstance(error, KilledError)):
                raise error
            return real(*arguments, **options)

        patch.setattr(owner, name, call)

    for owner, name in [*WRITERS, (builtins, "open")]:
        wrap(owner, name)
    return calls


def outcome(patch, at, error, *options):
    """Train with a failure at the `at`-th change of files; return "killed", the exit status, or None."""
    with patch.context() as inner:
        calls = fail_at(inner, at, error)
        try:
            status = run(*options)
        except KilledError:
            return "killed"
    return status if len(calls) > at else None


def test_killed_at_every_change_of_files(folder, trained, monkeypatch, capsys):
    """The same command starts again where nothing was saved, --resume begins or continues, bit for bit."""
    ends = set()
    at = 0
    while (ended := outcome(monkeypatch, at, KilledError(), *OPTIONS, "--run-dir", folder)) is not None:
        assert ended == "killed"
        copy = folder.with_name("copy")
        if folder.exists():
            shutil.copytree(folder, copy)
        begun = (folder / "last.safetensors").exists()
        again = run(*OPTIONS, "--run-dir", folder)
        assert again == (1 if begun else 0), at
        if copy.exists():
            resumed = run("--resume", copy)
            error = capsys.readouterr().err.splitlines()[-1]
            finished = begun and rows(copy) and "has its 1 epochs already" in error
            unknown = not (copy / "config.json").exists() and "start it again with --run-dir" in error
            assert resumed == (1 if finished or unknown else 0), (at, error)
            ends.add("finished" if finished else "unknown" if unknown else "resumed")
            if not unknown:
                assert (copy / "history.csv").read_bytes() == (trained / "history.csv").read_bytes()
                assert not [name for name in os.listdir(copy) if name.startswith(".")]
        for path in (folder, copy):
            shutil.rmtree(path, ignore_errors=True)
        at += 1
    assert ends == {"finished", "unknown", "resumed"}


def test_a_full_disk_at_every_change_of_files(folder, monkeypatch, capsys):
    """One line of error, about the disk; a folder that goes on or none."""
    at = 0
    full = OSError(28, "No space left on device")
    while (ended := outcome(monkeypatch, at, full, *OPTIONS, "--run-dir", folder)) is not None:
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert ended in (0, 1)  # 0 where only something to tidy up failed
        assert len(errors) == ended
        assert all("No space left on device" in line for line in errors)
        if ended:
            assert (folder / "last.safetensors").exists() or run(*OPTIONS, "--run-dir", folder) == 0
        shutil.rmtree(folder, ignore_errors=True)
        at += 1


@pytest.mark.parametrize("error", [KilledError(), OSError(28, "No space left")], ids=["killed", "full"])
def test_options_of_resume_are_taken_wholly_or_not_at_all(folder, trained, monkeypatch, error):
    seen = set()
    at = 0
    new = ["--epochs", "2", "--lr", "0.5", "--optimizer", "sgd"]
    old = json.loads((trained / "config.json").read_text())["settings"]
    expected = {**old, "epochs": 2, "learning_rate": 0.5, "optimizer": "sgd"}
    while True:
        shutil.copytree(trained, folder)
        if outcome(monkeypatch, at, error, "--resume", folder, *new) is None:
            break
        settings = RunFolder.open(folder).load()[1]["run"]["settings"]
        assert settings in (old, expected), at
        seen.add(settings == expected)
        if len(rows(folder)) < 2:
            assert run("--resume", folder, "--epochs", 2) == 0
            assert float(rows(folder)[1]["learning_rate"]) == pytest.approx(settings["learning_rate"])
        assert [row["epoch"] for row in rows(folder)] == ["0", "1"]
        assert json.loads((folder / "config.json").read_text())["settings"] == {**settings, "epochs": 2}
        shutil.rmtree(folder)
        at += 1
    assert seen == {True, False}


@pytest.mark.parametrize("moment", ["dataset", "step", "plan"])
@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (MemoryError(), 1, "error: not enough memory; a smaller --batch-size needs less"),
        (FileNotFoundError("[cifar10] gone"), 1, "error: [cifar10] gone"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_training_that_fails_at_its_start_leaves_nothing(
    tmp_path, folder, monkeypatch, capsys, moment, error, status, line
):
    def fail(*given, **named):
        raise error

    place = {"dataset": (cli, "load_dataset"), "step": (train.SaveLast, "on_train_batch_end")}
    monkeypatch.setattr(*place.get(moment, (train, "describe")), fail)
    assert run(*OPTIONS, "--run-dir", folder) == status
    assert capsys.readouterr().err.splitlines()[-1] == line
    assert os.listdir(tmp_path) == []
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    assert run(*OPTIONS, "--run-dir", folder) == status
    assert os.listdir(folder) == ["notes.txt"]


def test_a_resume_that_fails_at_its_start_changes_nothing(folder, trained, monkeypatch):
    def fail(*given):
        raise MemoryError

    shutil.copytree(trained, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(train.SaveLast, "on_train_batch_end", fail)
    assert run("--resume", folder, "--epochs", 3, "--batch-size", 64) == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_one_process_at_a_time(folder, trained, capsys):
    shutil.copytree(trained, folder)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for options in (["--resume", folder, "--epochs", 2], [*OPTIONS, "--run-dir", folder]):
        assert run(*options) == 1
        assert capsys.readouterr().err == (
            f"error: [run] {folder} is in use: process {holder.pid} trains there\n"
        )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert cli.run(evaluate.main, [str(folder)]) == 0
    holder.kill()
    holder.communicate()
    assert run("--resume", folder, "--epochs", 2) == 0


HOLD = """
import sys
from pyconv.run_folder import RunFolder
with RunFolder.open(sys.argv[1]).hold(new=False):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_file_system_without_locks(folder, monkeypatch, capsys):
    def unsupported(*given):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(run_folder.fcntl, "flock", unsupported)
    assert run(*OPTIONS, "--run-dir", folder) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert notes == [f"note: {folder} cannot be locked (Operation not supported): train there once at a time"]


def damage_header(text):
    return text.replace("epoch,", "epo", 1)


def cut_header(text):
    return text[:20]


def double(text):
    return text + text.splitlines(keepends=True)[-1]


def cut_row(text):
    return text[:-9]


@pytest.mark.parametrize("damage", [damage_header, cut_header, double, cut_row, lambda text: ""])
def test_a_damaged_history_is_mended(folder, trained, damage):
    shutil.copytree(trained, folder)
    file = folder / "history.csv"
    text = file.read_text()
    file.write_text(damage(text), newline="")
    assert run("--resume", folder, "--epochs", 2) == 0
    assert file.read_text().startswith(text.splitlines()[0])
    assert [row["epoch"] for row in rows(folder)] == ["0", "1"]
    assert rows(folder)[0] == rows(trained)[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_config_as_windows_writes_it(folder, trained, encoding):
    shutil.copytree(trained, folder)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text, encoding=encoding)
    assert cli.run(evaluate.main, [str(folder)]) == 0


@pytest.mark.parametrize(
    "content",
    [b"\xff\xff", b"[" * 100_000, b"[]", b'"x"', b"{}", b'{"recipe": 1, "settings": {}}', b"\x00" * 9],
)
def test_a_config_that_is_none(folder, trained, capsys, content):
    shutil.copytree(trained, folder)
    (folder / "config.json").write_bytes(content)
    assert cli.run(evaluate.main, [str(folder)]) == 0  # the checkpoint holds it too
    assert f"note: {folder / 'config.json'} is damaged; " in capsys.readouterr().err
    (folder / "last.safetensors").unlink()
    for command, options in ((evaluate.main, [str(folder)]), (train.main, ["--resume", str(folder)])):
        assert cli.run(command, options) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"error: [run] {folder / 'config.json'} is damaged: ")
        assert error.count("\n") == 1


def test_a_lost_config_is_in_the_checkpoint_too(folder, trained):
    shutil.copytree(trained, folder)
    (folder / "config.json").unlink()
    assert cli.run(evaluate.main, [str(folder)]) == 0
    assert run("--resume", folder, "--epochs", 2) == 0
    assert (folder / "config.json").exists()


def test_a_config_changed_by_hand_is_not_taken_in_silence(folder, trained, capsys):
    shutil.copytree(trained, folder)
    file = folder / "config.json"
    file.write_text(file.read_text().replace('"epochs": 1', '"epochs": 9'))
    assert run("--resume", folder, "--epochs", 2) == 0
    assert f"note: {file} differs from {folder / 'last.safetensors'}, which counts" in capsys.readouterr().err


def test_folders_that_are_no_runs(tmp_path, capsys, trained):
    (tmp_path / "config.json").write_text("{}")
    assert run(*OPTIONS, "--run-dir", tmp_path) == 1
    assert "has a config.json that is no run's" in capsys.readouterr().err
    assert (tmp_path / "config.json").read_text() == "{}"
    assert run(*OPTIONS, "--run-dir", tmp_path / "config.json") == 1
    assert "is a file, expected a folder" in capsys.readouterr().err
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    shutil.copy(other / "best.safetensors", other / "last.safetensors")
    assert run("--resume", other, "--epochs", 2) == 1
    assert "is no training's state: it has no callbacks" in capsys.readouterr().err


def test_without_a_finished_epoch(folder, monkeypatch, capsys):
    def stop(self, epoch, logs=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(ModelCheckpoint, "on_epoch_end", stop)
    assert run(*OPTIONS, "--run-dir", folder) == 130
    assert f"continue with: pyconv train --resume {folder} (from its last save)" in capsys.readouterr().out
    for options in ([], ["--weights", "best"]):
        assert cli.run(evaluate.main, [str(folder), *options]) == 1
        assert "has no finished epoch, its network is untrained" in capsys.readouterr().err
    assert cli.run(evaluate.main, [str(folder), "--weights", "last"]) == 0


def test_default_folders_differ(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_folder.time, "strftime", lambda format: "now")
    for _ in range(3):
        assert run(*OPTIONS) == 0
    names = ["shapes-shapes-now", "shapes-shapes-now-2", "shapes-shapes-now-3"]
    assert sorted(os.listdir("runs")) == names


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("training", lambda state: state.clear()),
        ("training", lambda state: state.update(position=None)),
        ("training", lambda state: state["position"].update(sums=["x", "y", "z"])),
        ("training", lambda state: state["position"].update(epoch="1")),
        ("training", lambda state: state.update(optimizer_state=[])),
        ("callbacks", lambda state: state.clear()),
        ("callbacks", lambda state: state.update(RunHistory=[{}])),
        ("callbacks", lambda state: state["RunHistory"][0].update(epoch=None)),
        ("callbacks", lambda state: state["RunHistory"][0]["history"].update(loss=[])),
        ("callbacks", lambda state: state["ModelCheckpoint"].append(3)),
        ("run", lambda run: run.pop("settings")),
        ("run", lambda run: run["settings"].update(epochs="many")),
        ("run", lambda run: run["settings"].update(colour=1)),
        ("run", lambda run: run["settings"].update(dataset="os")),
        ("run", lambda run: run.update(recipe="os")),
    ],
)
def test_a_state_that_makes_no_sense_is_one_line(folder, trained, capsys, part, change):
    shutil.copytree(trained, folder)
    arrays, metadata = RunFolder.open(folder).load()
    change(metadata[part])
    checkpoint.save(folder / "last.safetensors", arrays, metadata)
    status = run("--resume", folder, "--epochs", 2)
    errors = [
        line for line in capsys.readouterr().err.splitlines() if not line.startswith(("note: ", "Epoch "))
    ]
    assert [line.startswith("error: [") for line in errors] == ([True] if status else [])
    assert status == (0 if errors == [] else 1)
