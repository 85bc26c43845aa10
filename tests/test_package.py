"""The package as a whole: without its extension module, and as a command."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyconv


def python(*arguments, cwd=None):
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True)


@pytest.fixture
def unbuilt(tmp_path):
    """A folder with pyconv's Python files and no extension module."""
    ignore = shutil.ignore_patterns("_core*.so", "*.pyd", "__pycache__")
    shutil.copytree(Path(pyconv.__file__).parent, tmp_path / "pyconv", ignore=ignore)
    return tmp_path


# -S: no site-packages, where a built extension may be installed; NumPy is not reached.
@pytest.mark.parametrize("statement", ["import pyconv", "from pyconv import ops", "import pyconv.layers"])
def test_a_checkout_that_is_not_built_says_so(unbuilt, statement):
    result = python("-S", "-c", statement, cwd=unbuilt)
    last = result.stderr.strip().splitlines()[-1]
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert last.startswith(f"ImportError: pyconv's extension module is not built for Python {version}")
    assert last.endswith("build and install it first: pip install .")
    assert "circular" not in result.stderr
    assert "During handling" not in result.stderr


def test_an_extension_that_cannot_be_loaded(unbuilt):
    suffix = Path(pyconv._core.__file__).name.removeprefix("_core")
    (unbuilt / "pyconv" / f"_core{suffix}").write_bytes(b"not a library")
    result = python("-S", "-c", "import pyconv", cwd=unbuilt)
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: pyconv's extension module cannot be loaded (")
    assert last.endswith("build and install it again: pip install .")


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_the_command_alone_prints_what_there_is(arguments):
    result = python("-m", "pyconv", *arguments)
    assert result.returncode == (0 if arguments else 2)
    assert result.stderr == ""
    for word in ("train", "evaluate", "predict", "pyconv COMMAND --help"):
        assert word in result.stdout


def test_python_m_pyconv_runs_a_command():
    result = python("-m", "pyconv", "predict", "--help")
    assert result.returncode == 0
    assert "usage: " in result.stdout
    assert python("-m", "pyconv", "--version").stdout == f"pyconv {pyconv.__version__}\n"


def test_an_unknown_command_is_refused():
    result = python("-m", "pyconv", "fly")
    assert result.returncode == 2
    assert "invalid choice: 'fly'" in result.stderr
