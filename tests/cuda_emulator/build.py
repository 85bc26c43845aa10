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
FLAGS = ["-std=c++20", "-O2", "-g1", "-fPIC", "-fvisibility=hidden", "-DPYCONV_EMULATED"]
FLAGS += ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Werror=missing-field-initializers"]


def contract():
    """Return the hash of the contract's headers, as csrc/CMakeLists.txt computes it."""
    hashes = [
        hashlib.sha256((CSRC / name).read_bytes()) for name in ("kernels.h", "shapes.h", "cuda_library.h")
    ]
    return hashlib.sha256("".join(h.hexdigest() for h in hashes).encode()).hexdigest()[:16]


def build(change=None):
    """Return the path of the library, built anew where its sources have changed.

    `change` is (name of a file of csrc/cuda, text, what takes its place): a seeded fault. Raises
    RuntimeError with the compiler's words.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler:
        raise RuntimeError("no C++ compiler")
    sources = {path: path.read_text() for path in [*CSRC.glob("*.h"), *(CSRC / "cuda").glob("*")]}
    sources |= {path: path.read_text() for path in [*HERE.glob("*.h"), *HERE.glob("*.cpp")]}
    if change:
        name, text, other = change
        path = CSRC / "cuda" / name
        assert sources[path].count(text) == 1, f"{name} has {text!r} {sources[path].count(text)} times"
        sources[path] = sources[path].replace(text, other)

    cache = Path(os.environ.get("PYCONV_EMULATOR_CACHE") or HERE / ".cache")
    cache.mkdir(parents=True, exist_ok=True)
    (cache / ".gitignore").write_text("*\n")
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        folder = Path(folder)
        for path, text in sources.items():
            copy = folder / (path.relative_to(CSRC.parent) if CSRC in path.parents else path.name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)

        def compile(source):
            """Return the object of a unit, kept by all that it includes."""
            flags = [*FLAGS, f"-I{folder}", f"-DPYCONV_CONTRACT=0x{contract()}"]
            seen = run([compiler, *flags, "-x", "c++", "-E", "-P", str(source)])
            key = hashlib.sha256(repr([compiler, FLAGS, seen]).encode()).hexdigest()[:16]
            target = cache / f"{source.stem}-{key}.o"
            if not target.exists():
                made = folder / target.name
                run([compiler, *flags, "-x", "c++", "-c", str(source), "-o", str(made)])
                made.replace(target)
            return target

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            units = [*sorted((folder / "csrc" / "cuda").glob("*.cu")), *sorted(folder.glob("*.cpp"))]
            objects = list(pool.map(compile, units))
        key = hashlib.sha256(repr([o.name for o in objects]).encode()).hexdigest()[:16]
        library = cache / f"libpyconv_cuda_emulated-{key}.so"
        if not library.exists():
            linked = folder / library.name
            run([compiler, "-shared", *map(str, objects), "-o", str(linked)])
            linked.replace(library)  # at once: another process may build the same
    return library


def run(command):
    """Return what a command prints."""
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{result.stderr}")
    return result.stdout


if __name__ == "__main__":
    print(build())
