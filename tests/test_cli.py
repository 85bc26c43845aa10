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
    ],
)
def test_errors_are_one_line(capsys, error, status, line):
    assert cli.run(failing(error)) == status
    assert capsys.readouterr().err == line


def test_faults_of_the_library_show_in_full():
    with pytest.raises(ValueError, match="operands could not be broadcast"):
        cli.run(failing(ValueError("operands could not be broadcast")))
