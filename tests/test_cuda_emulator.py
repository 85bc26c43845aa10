"""The emulator: all ops in four orders of threads, and seeded faults that it has to find."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cuda_backends import CUDA
from cuda_emulator.build import build
from op_calls import op_calls, run

from pyconv import _core

TESTS = Path(__file__).parent

pytestmark = pytest.mark.skipif(CUDA != ["cuda-emulated"], reason="the tests run on a GPU")

CALLS = op_calls(np.random.default_rng(0))
CALLS |= {
    f"{name}, 20 channels": c
    for name, c in op_calls(np.random.default_rng(1), C=20).items()
    if "conv" in name
}
ORDERS = range(4)


@pytest.fixture
def emulator():
    previous = _core.backend(), _core.precision()
    _core.select_backend("cuda-emulated")
    library = ctypes.CDLL(os.environ["PYCONV_CUDA_LIBRARY"])
    yield library
    library.pyconv_emulator_set_order(0)
    _core.select_backend(previous[0])
    _core.set_precision(previous[1])


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize("name", CALLS)
def test_the_same_bits_in_any_order_of_threads(emulator, name, precision):
    """The orders also differ in what fresh memory holds: NaN, or large numbers."""
    if precision != "float32" and not name.startswith(("conv2d", "linear")):
        pytest.skip("does not multiply matrices")
    _core.set_precision(precision)
    results = []
    for order in ORDERS:
        emulator.pyconv_emulator_set_order(order)
        results.append([array.tobytes() for array in run(name.partition(",")[0], CALLS[name])])
    assert all(result == results[0] for result in results)


# A convolution and its gradients, a reduction and a softmax, in each order, beside the CPU's results.
PROBE = """
import ctypes, os, sys
import numpy as np
from pyconv import _core, ops

rng = np.random.default_rng(0)
x, weight = rng.standard_normal((1, 8, 16, 36), np.float32), rng.standard_normal((3, 3, 36, 20), np.float32)
few, rows = rng.standard_normal((2, 5, 5, 3), np.float32), rng.standard_normal((6, 40), np.float32)
dy = rng.standard_normal((1, 8, 16, 20), np.float32)
def results():
    yield ops.conv2d(x, weight, padding="same")
    yield ops.conv2d_backward_input(dy, weight, x.shape, padding="same")
    yield from ops.conv2d_backward_weight(dy, x, weight.shape, padding="same")
    yield ops.conv2d(few, weight[:, :, :3])
    yield ops.softmax(rows)
    yield from ops.batch_norm(few)[:3]

expected = list(results())
_core.select_backend("cuda-emulated")
_core.set_precision("tf32")
for order in range(4):
    ctypes.CDLL(os.environ["PYCONV_CUDA_LIBRARY"]).pyconv_emulator_set_order(order)
    for ours, theirs in zip(results(), expected, strict=True):
        error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        if not error < 1e-3:
            sys.exit(f"wrong: {error}")
"""

FAULTS = {
    "none": (None, None),
    "a missing barrier in the matrix product": (
        ("gemm.cuh", "      barrier();  // the other half", "      // the other"),
        "wrong",
    ),
    "a missing barrier in the 3x3 kernel": (
        ("conv2d_3x3.cu", "      barrier();  // all see this step's copies", "      // all see"),
        "wrong",
    ),
    "a missing barrier in a reduction": (
        (
            "batch_norm.cu",
            "  values[thread_index()] = mine;\n  barrier();",
            "  values[thread_index()] = mine;",
        ),
        "wrong",
    ),
    "a wait that is too short": (
        (
            "conv2d_3x3.cu",
            "      async_copy_wait<1>();\n      barrier();  // all",
            "      async_copy_wait<2>();\n      barrier();  // all",
        ),
        "wrong",
    ),
    "a read beyond the image": (
        (
            "conv2d_3x3.cu",
            "if (h < 0 || h >= s.H || w < 0 || w >= s.W) return nullptr;",
            "if (h < 0 || w < 0) return nullptr;",
        ),
        "wrong",
    ),
    "a read beyond the weights": (
        (
            "conv2d.cu",
            "return n < columns && k < depth ? matrix[k * stride + first + n] : 0;",
            "return matrix[k * stride + first + n];",
        ),
        "wrong",
    ),
    "a write beyond the result": (
        ("conv2d_3x3.cu", "if (c < s.K) row[c] =", "row[c] ="),
        "wrote outside an allocation",
    ),
    "a wrong lane": (
        (
            "device.cuh",
            "for (int mask = kWarp / 2; mask; mask /= 2) value +=",
            "for (int mask = kWarp / 4; mask; mask /= 2) value +=",
        ),
        "wrong",
    ),
    "a result that is read before it is ready": (
        ("runtime.cu", "return status.message ? status : synchronize();", "return status;"),
        "wrong",
    ),
    "memory that is freed too early": (
        ("runtime.cu", "cudaFreeAsync(memory, device().stream);", "cudaFree(memory);"),
        "after it was freed",
    ),
    "a lane that stays away": (
        (
            "device.cuh",
            "value += shuffle_xor(value, mask);",
            "if (lane_index() != 3) value += shuffle_xor(value, mask);",
        ),
        "wait for each other",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_seeded_faults_are_found(name):
    change, words = FAULTS[name]
    environment = {**os.environ, "PYCONV_CUDA_LIBRARY": str(build(change))}
    command = [sys.executable, "-c", PROBE]
    result = subprocess.run(
        command, env=environment, cwd=TESTS.parent, capture_output=True, text=True, timeout=120
    )
    if change is None:
        assert result.returncode == 0, result.stderr
    else:
        assert result.returncode != 0
        assert words in result.stderr
