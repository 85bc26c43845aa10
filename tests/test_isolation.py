"""Instruction sets never leak: the linker could take an inline function's AVX-512 copy for all callers."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = re.compile(r"pyconv_cpu_(\w+)\.dir")
OBJECTS = sorted(ROOT.glob("build/**/pyconv_cpu_*.dir/**/*.o"))


def leaks(lines, isa):
    """Return the symbols of `nm -C` that another object file could replace, or be replaced by."""
    home = f"pyconv::cpu::{isa}::"
    leaked = []
    for line in lines:
        kind, name = re.match(r"[0-9a-f]* *(\w) (.*)", line).groups()
        inside = re.match(rf"((vtable|typeinfo|typeinfo name|guard variable) for )?{home}", name)
        if kind in "WVuTDBR" and not inside:
            leaked.append(f"{kind} {name}")
    return leaked


@pytest.mark.skipif(not OBJECTS, reason="no object files in build/: pyconv was not built in this checkout")
@pytest.mark.skipif(not shutil.which("nm"), reason="nm (binutils) is not installed")
def test_kernels_define_nothing_outside_their_namespace():
    leaked = {}
    for path in OBJECTS:
        lines = subprocess.run(
            ["nm", "-C", "--defined-only", path], check=True, capture_output=True, text=True
        ).stdout.splitlines()
        isa = FOLDER.search(str(path))[1]
        if found := leaks(lines, isa):
            leaked[str(path.relative_to(ROOT))] = found
    assert leaked == {}


def test_a_leak_is_seen():
    lines = [
        "0000 T pyconv::cpu::avx2::relu(pyconv::Context const&, long)",
        "0000 t pyconv::cpu::avx2::(anonymous namespace)::load(float const*)",
        "0000 W std::vector<float>::push_back(float const&)",
        "0000 u pyconv::Registry::instance",
        "0000 W pyconv::cpu::baseline::relu(long)",
    ]
    assert leaks(lines, "avx2") == [line[5:] for line in lines[2:]]
