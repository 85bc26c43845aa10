import subprocess
import sys

import pytest

import pyconv
from pyconv import cli


@pytest.mark.parametrize("module", ["train", "evaluate", "predict", "cli"])
def test_modules_run(module):
    done = subprocess.run(
        [sys.executable, "-m", f"pyconv.{module}", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage: pyconv")
    assert done.stderr == ""


def test_dispatch(capsys):
    assert cli.main(["evaluate", "nowhere"]) == 1
    assert capsys.readouterr().err == (
        "error: [run] nowhere is not a run folder: there is no nowhere/config.json\n"
    )


def test_version_and_unknown_commands(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"pyconv {pyconv.__version__}\n"
    with pytest.raises(SystemExit, match="2"):
        cli.main(["trian"])
    assert "invalid choice: 'trian'" in capsys.readouterr().err


def failing(error):
    def command(argv):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
        (ValueError("[op] x is wrong"), 1, "error: [op] x is wrong\n"),
        (FloatingPointError("[fit] the loss is nan"), 1, "error: [fit] the loss is nan\n"),
        (FileNotFoundError("gone"), 1, "error: gone\n"),
        (TypeError("[op] x is a str"), 1, "error: [op] x is a str\n"),
        (MemoryError(), 1, "error: not enough memory; a smaller --batch-size needs less\n"),
        (
            MemoryError("[op] 9 GB"),
            1,
            "error: not enough memory ([op] 9 GB); a smaller --batch-size needs less\n",
        ),
    ],
)
def test_errors_are_one_line(capsys, error, status, line):
    assert cli.run(failing(error)) == status
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_wrong_options_are_one_line(capsys, command):
    for options in (["--nonsense"], ["--threads", "x"], ["--precision", "int8"]):
        with pytest.raises(SystemExit, match="2"):
            cli.main([command, "run", "image", *options])
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.endswith(f"; see pyconv {command} --help\n")
        assert error.count("\n") == 1


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_help_fits_a_terminal(capsys, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        cli.main([command, "--help"])
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 80


def test_the_environments_device(monkeypatch, capsys):
    monkeypatch.setenv("PYCONV_DEVICE", "gpu")
    assert cli.main(["train", "--dataset", "shapes"]) == 1
    error = capsys.readouterr().err
    assert error == "error: [device] device is 'gpu' (PYCONV_DEVICE), expected auto, cpu or cuda\n"
    monkeypatch.setenv("PYCONV_DEVICE", "")
    assert cli.main(["evaluate", "nowhere"]) == 1
    assert "is not a run folder" in capsys.readouterr().err


def test_a_reader_that_has_gone():
    command = f"{sys.executable} -m pyconv.train --help | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_faults_of_the_library_show_in_full():
    with pytest.raises(ValueError, match="operands could not be broadcast"):
        cli.run(failing(ValueError("operands could not be broadcast")))
