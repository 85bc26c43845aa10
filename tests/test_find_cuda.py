"""PYCONV_CUDA=AUTO never breaks an install: what cmake/find_cuda.cmake says of machines that it finds."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

CMAKE = shutil.which("cmake")
FIND_CUDA = Path(__file__).parent.parent / "cmake" / "find_cuda.cmake"

pytestmark = [
    pytest.mark.skipif(not CMAKE, reason="cmake is not installed"),
    pytest.mark.skipif(not FIND_CUDA.exists(), reason="there is no checkout around the tests"),
]

PROJECT = f"""
cmake_minimum_required(VERSION 3.20)
project(probe LANGUAGES NONE)
include("{FIND_CUDA.as_posix()}")
function(check_language)  # CMake's own look at nvcc, which a script cannot satisfy
  set(CMAKE_CUDA_COMPILER ${{PYCONV_NVCC}} PARENT_SCOPE)
endfunction()
pyconv_find_cuda("${{ASKED}}")
message(STATUS "found=${{PYCONV_CUDA_FOUND}}=")
message(STATUS "note=${{PYCONV_CUDA_NOTE}}=")
"""

NVCC = """
case "$*" in
  *--list-gpu-arch*) printf 'compute_75\\ncompute_80\\ncompute_90\\ncompute_120\\n' ;;
  *) {compile} ;;
esac
"""


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def find(tmp_path):
    """Return (architectures, note) on a machine whose nvidia-smi and nvcc do what is asked."""

    def run(smi, compile="exit 0", *, asked=""):
        (tmp_path / "bin").mkdir()
        (tmp_path / "CMakeLists.txt").write_text(PROJECT)
        # Neither this machine's nvidia-smi nor its nvcc: they are what the folder has, or missing.
        found = {"PYCONV_NVIDIA_SMI": "NO-NOTFOUND", "PYCONV_NVCC": "NO-NOTFOUND"}
        if smi is not None:
            found["PYCONV_NVIDIA_SMI"] = script(tmp_path / "bin" / "nvidia-smi", smi)
        if compile is not None:
            found["PYCONV_NVCC"] = script(tmp_path / "bin" / "nvcc", NVCC.format(compile=compile))
        options = [f"-D{name}={value}" for name, value in found.items()]
        hidden = {"CUDACXX", "CUDAHOSTCXX", "CUDA_PATH"}
        environment = {k: v for k, v in os.environ.items() if k not in hidden}
        environment["PATH"] = os.pathsep.join([str(tmp_path / "bin"), "/usr/bin", "/bin"])
        command = [CMAKE, "-S", tmp_path, "-B", tmp_path / "build", f"-DASKED={asked}", *options]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return tuple(re.search(f"{name}=(.*)=", result.stdout)[1] for name in ("found", "note"))

    return run


def test_a_gpu_that_nvcc_knows(find):
    assert find("echo 9.0; echo 9.0; echo 8.0") == ("90a-real;80-real", "")


@pytest.mark.parametrize("capability", ["7.0", "13.5", "1.2"])
def test_a_gpu_that_nvcc_does_not_know(find, capability):
    found, note = find(f"echo {capability}")
    assert found == ""
    assert note.endswith(f"does not know compute capability {capability}")


def test_one_gpu_of_two(find):
    found, note = find("echo 7.0; echo 12.0")
    assert found == "120-real"
    assert "capability 7.0" in note


@pytest.mark.parametrize("smi", [None, "echo 'No devices were found'", "exit 9", "echo '[N/A]'"])
def test_no_gpu(find, smi):
    assert find(smi) == ("", "no GPU that nvidia-smi names")


def test_a_broken_nvcc(find):
    found, note = find("echo 8.0", "exit 3")
    assert found == ""
    assert note.endswith("compiles nothing here: it ends with 3")


def test_a_host_compiler_that_is_too_new(find):
    words = "#error -- unsupported GNU version! gcc versions later than 15 are not supported!"
    found, note = find("echo 8.0", f"echo 'in file x'; echo '{words}' >&2; exit 1")
    assert found == ""
    assert note.endswith(words)


def test_architectures_that_were_asked_for_need_no_gpu(find):
    assert find("exit 9", asked="75-real") == ("75-real", "")


def test_an_nvcc_that_does_not_exist(find):
    assert find("echo 8.0", None) == ("", "no nvcc")
