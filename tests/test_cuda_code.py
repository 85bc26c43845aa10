"""The machine code of the CUDA library, which tells without a GPU what a kernel will do on one.

Runs where the library was built with pyconv, or PYCONV_CUDA_CODE names one, and cuobjdump is there: on the
PATH, or from the wheels nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm (.ci/run sees to both where nvcc is).
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyconv import _core

BUILT = Path(_core.__file__).with_name("libpyconv_cuda.so")
LIBRARY = os.environ.get("PYCONV_CUDA_CODE") or (str(BUILT) if BUILT.exists() else None)
ROOT = Path(__file__).parent.parent


def tools():
    """Return the PATH with which cuobjdump runs, or None."""
    folders = [os.environ["PATH"]]
    if spec := importlib.util.find_spec("nvidia"):
        folders += [
            str(path.parent)
            for base in spec.submodule_search_locations
            for path in Path(base).glob("*/bin/*dump")
        ]
    path = os.pathsep.join(folders)
    return path if shutil.which("cuobjdump", path=path) and shutil.which("nvdisasm", path=path) else None


TOOLS = tools()
pytestmark = [
    pytest.mark.skipif(not LIBRARY, reason="there is no library that nvcc built"),
    pytest.mark.skipif(bool(LIBRARY) and not TOOLS, reason="cuobjdump and nvdisasm are not installed"),
]


def cuobjdump(option):
    command = ["cuobjdump", option, LIBRARY]
    environment = {**os.environ, "PATH": TOOLS}
    return subprocess.run(
        [shutil.which("cuobjdump", path=TOOLS), *command[1:]],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def usage():
    """{(architecture, kernel): {"REG": ..., "STACK": ..., "LOCAL": ...}}"""
    found, architecture = {}, None
    kernel = None
    for line in cuobjdump("-res-usage").splitlines():
        if match := re.match(r"arch = (\w+)", line):
            architecture = match[1]
        elif match := re.match(r"\s*Function (\S+):", line):
            kernel = match[1]
        elif kernel and "REG:" in line:
            found[architecture, kernel] = {k: int(v) for k, v in re.findall(r"(REG|STACK|LOCAL):(\d+)", line)}
            kernel = None
    return found


@pytest.fixture(scope="module")
def code():
    """{(architecture, kernel): its instructions, in order}"""
    found, architecture, instructions = {}, None, None
    for line in cuobjdump("-sass").splitlines():
        if match := re.match(r"\s*code for (\w+)", line):
            architecture = match[1]
        elif match := re.match(r"\s*Function : (\S+)", line):
            instructions = found[architecture, match[1]] = []
        elif instructions is not None and (match := re.search(r"\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", line)):
            instructions.append(match[1])
    return found


# Not hot, and its sine and cosine of any angle need a table of the stack.
COLD = ("RandomAffine",)


def test_no_kernel_spills(usage):
    assert len(usage) > 50
    spilling = {
        key: use
        for key, use in usage.items()
        if (use["STACK"] or use["LOCAL"]) and not any(c in key[1] for c in COLD)
    }
    assert not spilling


def test_no_kernel_uses_local_memory(code):
    local = {
        key: sorted({i for i in instructions if re.match(r"(LDL|STL)\b", i)})
        for key, instructions in code.items()
        if not any(c in key[1] for c in COLD)
    }
    assert {key: found for key, found in local.items() if found} == {}


@pytest.mark.parametrize(
    ("kernel", "instruction"),
    [
        ("Gemm.*Tf32Math", r"HMMA\.1688\.F32\.TF32"),
        ("Gemm.*Bfloat16Math", r"HMMA\.16816\.F32\.BF16"),
        ("Gemm.*Float32Math", "FFMA"),
        ("9Correlate.*Tf32", r"HMMA\.1688\.F32\.TF32"),
        ("9Correlate.*Bfloat16", r"HMMA\.16816\.F32\.BF16"),
        ("9Correlate", "LDGSTS"),  # cp.async
        ("9Correlate", r"LDSM\.16\.M88\.4"),
        ("9Correlate", r"LDS\.128"),  # two fragments of weights at once
        ("FewChannels", r"HMMA\.1688\.F32\.TF32"),
        ("BackwardWeightFewChannels", r"LDG\.E\.128"),
        ("BackwardWeight3x3.*Tf32", r"HMMA\.1688\.F32\.TF32"),
        ("BackwardWeight3x3.*Bfloat16", r"HMMA\.16816\.F32\.BF16"),
        ("BackwardWeight3x3", "LDGSTS"),
        ("BackwardWeight3x3.*Bfloat16", r"LDSM\.16\.MT88\.4"),
        ("EachPack.*Normalize.*Li4E", r"LDG\.E\.128"),
        ("EachPack.*Normalize.*Li4E", r"STG\.E\.128"),
        ("EachPack.*MakeGradient.*Li4E", r"LDG\.E\.128"),
    ],
)
def test_kernels_use_the_tensor_cores_and_copy_ahead(code, kernel, instruction):
    kernels = {key: instructions for key, instructions in code.items() if re.search(kernel, key[1])}
    assert kernels
    for (architecture, name), instructions in kernels.items():
        if int(re.sub(r"\D", "", architecture)) >= 80:
            assert any(re.match(instruction, i) for i in instructions), (architecture, name)


def test_products_wait_for_little_else(code):
    """Of a tap's stretch of products, operands come from shared memory as the tensor cores take them."""
    kernels = {key: instructions for key, instructions in code.items() if "9Correlate" in key[1]}
    assert kernels
    for key, instructions in kernels.items():
        products = [i for i, name in enumerate(instructions) if name.startswith("HMMA")]
        if products:  # none below 8.0
            stretch = products[-1] + 1 - products[0]
            assert stretch < 2 * len(products), key


def test_no_float_atomics(code):
    """What they add up depends on who comes first."""
    atomics = {
        key: [i for i in instructions if re.match(r"(ATOM|RED)\b", i)] for key, instructions in code.items()
    }
    assert {key: found for key, found in atomics.items() if found} == {}


def test_the_library_loads_without_a_driver():
    script = "from pyconv import cuda; print(cuda.is_available(), cuda.why_not())"
    environment = {**os.environ, "PYCONV_CUDA_LIBRARY": LIBRARY, "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    available, why = result.stdout.split(" ", 1)
    assert available == "False"
    assert "driver" in why


def test_what_it_exports_and_needs():
    names = subprocess.run(
        ["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r" \w (\S+)", names) == ["pyconv_cuda_library"]
    needed = subprocess.run(["readelf", "-d", LIBRARY], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"NEEDED.*(cuda|cublas|cudnn)", needed)
    assert Path(LIBRARY).stat().st_size < 15e6
