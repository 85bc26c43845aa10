"""Builds the CUDA library for the CPU: csrc/cuda compiled as C++ over the emulator, cached by its sources."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent.parent / "csrc"
FLAGS = ["-std=c++20", "-O2", "-g1", "-fPIC", "-fvisibility=hidden", "-DPYCONV_EMULATED", f"-I{HERE}"]
FLAGS += ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Werror=missing-field-initializers"]


def build(defines=()):
    """Return the path of the library, built anew where its sources have changed.

    `defines` seeds faults (see faults.py). Raises RuntimeError with the compiler's words.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler:
        raise RuntimeError("no C++ compiler")
    flags = [*FLAGS, *(f"-D{define}" for define in defines)]
    kernels = sorted((CSRC / "cuda").glob("*.cu"))
    headers = sorted([*CSRC.glob("*.h"), *(CSRC / "cuda").glob("*.*h"), *HERE.glob("*.h")])
    state = hashlib.sha256(repr([compiler, *flags]).encode())
    for source in [*kernels, *headers, HERE / "emulator.cpp"]:
        state.update(source.name.encode() + source.read_bytes())
    cache = Path(os.environ.get("PYCONV_EMULATOR_CACHE") or HERE / ".cache")
    library = cache / f"libpyconv_cuda_emulated-{state.hexdigest()[:16]}.so"
    if library.exists():
        return library
    cache.mkdir(parents=True, exist_ok=True)
    (cache / ".gitignore").write_text("*\n")

    with tempfile.TemporaryDirectory() as folder:

        def compile(source):
            target = Path(folder) / f"{source.stem}.o"
            run([compiler, *flags, "-x", "c++", "-c", str(source), "-o", str(target)])
            return str(target)

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            objects = list(pool.map(compile, [*kernels, HERE / "emulator.cpp"]))
        linked = Path(folder) / library.name
        run([compiler, "-shared", *objects, "-o", str(linked)])
        moving = library.with_suffix(f".{os.getpid()}")
        shutil.copy(linked, moving)
        moving.replace(library)  # at once: another process may build the same
    return library


def run(command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{result.stderr}")


if __name__ == "__main__":
    print(build())
