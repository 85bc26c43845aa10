"""The emulator: all ops in four orders of threads, and seeded faults that it has to find."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checks import BUDGETS
from cuda_backends import CUDA
from cuda_emulator.build import build
from op_calls import op_calls, run

from pyconv import _core, layers
from pyconv.models import Sequential

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


@pytest.mark.parametrize("precision", BUDGETS)
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


@pytest.mark.parametrize("precision", BUDGETS)
def test_a_fused_step_in_any_order_of_threads(emulator, precision):
    _core.set_precision(precision)
    results = []
    for order in ORDERS:
        emulator.pyconv_emulator_set_order(order)
        chain = [
            layers.Conv2D(32, 3, padding="same", activation="relu", input_shape=(8, 16, 3)),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Conv2D(36, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
        model = Sequential(chain, seed=7).to("cuda")
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.train_on_batch(np.random.default_rng(0).standard_normal((2, 8, 16, 3), np.float32), [1, 2])
        results.append([array.tobytes() for array in model.get_weights()])
    assert all(result == results[0] for result in results)


# Convolutions and their gradients, a reduction and a softmax, in each order, beside the CPU's results.
PROBE = """
import ctypes, os, sys
import numpy as np
from pyconv import _core, ops

rng = np.random.default_rng(0)
x, weight = rng.standard_normal((1, 8, 16, 36), np.float32), rng.standard_normal((3, 3, 36, 20), np.float32)
few, rows = rng.standard_normal((2, 5, 5, 3), np.float32), rng.standard_normal((6, 40), np.float32)
dy = rng.standard_normal((1, 8, 16, 20), np.float32)
images = rng.standard_normal((3, 10, 18, 3), np.float32)
images_dy = rng.standard_normal((3, 10, 18, 20), np.float32)
def fused(x, weight):  # its maxima and its statistics
    y = ops.conv2d(x, weight, padding="same")
    if _core.default_device() == "cpu":
        return ops.max_pool2d(y, 2)[0], y.mean((0, 1, 2)), y.var((0, 1, 2))
    new = lambda *shape: _core.empty(shape, "float32", "cuda")
    N, H, W, C = y.shape
    pooled, mean, rstd, scale, shift = new(N, H // 2, W // 2, C), *(new(C) for _ in range(4))
    x, weight = (_core.from_numpy(a).to("cuda") for a in (x, weight))
    statistics = {"mean": mean, "rstd": rstd, "scale": scale, "shift": shift}
    statistics |= {"epsilon": 1e-3, "momentum": 0.99}
    epilogue = {"statistics": statistics, "pooled": pooled}
    _core.conv2d_fused(x, weight, padding="same", epilogue=epilogue, y=new(*y.shape))
    return pooled.numpy(), mean.numpy(), rstd.numpy() ** -2 - 1e-3
large = np.arange(3e6, dtype=np.float32)  # more than the pinned memory holds
def results():
    yield _core.from_numpy(large).to(_core.default_device()).numpy()
    yield from fused(x, weight)
    yield from fused(images, weight[:, :, :3].copy())
    yield from ops.conv2d_backward_weight(images_dy, images, (3, 3, 3, 20), padding="same")
    yield ops.conv2d(x, weight, padding="same")
    yield ops.conv2d_backward_input(dy, weight, x.shape, padding="same")
    yield from ops.conv2d_backward_weight(dy, x, weight.shape, padding="same")
    yield from (1 + a for a in ops.conv2d_backward_weight(dy[:0], x[:0], weight.shape, padding="same"))
    yield ops.conv2d(few, weight[:, :, :3], stride=2)
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
        ("conv2d_3x3.cu", "barrier();  // all see the copies", "// all see"),
        "wrong",
    ),
    "an operand that is read before it is whole": (
        ("conv2d_3x3.cu", "if (t == 0) barrier();  // the operand is whole", "// the operand"),
        "wrong",
    ),
    "an operand that is replaced while others read it": (
        ("conv2d_3x3_weight.cu", "barrier();  // all are done with the operands", "// all are done"),
        "wrong",
    ),
    "a place of the first layer that is filled while others read it": (
        ("conv2d_few_channels.cu", "barrier();  // the halo is whole", "// the halo"),
        "wrong",
    ),
    "a maximum of the wrong pixel": (
        ("conv2d_epilogue.cuh", "lower, shuffle_xor(lower, 4)", "lower, shuffle_xor(lower, 8)"),
        "wrong",
    ),
    "sums of pixels beyond the edge": (
        ("conv2d_epilogue.cuh", "if (pixels[i][half] < 0) continue;", ""),
        "wrong",
    ),
    "a missing barrier in a reduction": (
        (
            "device.cuh",
            "  values[thread_index()] = mine;\n  barrier();",
            "  values[thread_index()] = mine;",
        ),
        "wrong",
    ),
    "copies that nobody waits for": (
        ("conv2d_3x3_weight.cu", "if (range.begin < range.end) copy(", "copy("),
        "asynchronous copies on their way",
    ),
    "a wait that is too short": (
        (
            "conv2d_3x3.cu",
            "async_copy_wait<0>() : async_copy_wait<1>()",
            "async_copy_wait<0>() : async_copy_wait<2>()",
        ),
        "asynchronous copies on their way",
    ),
    "a read beyond the image": (
        (
            "conv2d_tile.cuh",
            "return row >= 0 && row < s.H && column >= 0 && column < s.W ?",
            "return row >= 0 && column >= 0 ?",
        ),
        "wrong",
    ),
    "a read beyond the weights": (
        (
            "conv2d_general.cu",
            "return k < depth ? k * stride : -1;",
            "return k * stride;",
        ),
        "wrong",
    ),
    "a write beyond the result": (
        ("conv2d_epilogue.cuh", "if (c >= s.K) continue;", ""),
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
        ("runtime.cu", "cudaFreeAsync(memory, ours());", "cudaFree(memory);"),
        "after it was freed",
    ),
    "a half of the pinned memory that is filled before it was read": (
        ("runtime.cu", "return cudaEventSynchronize(read_[half_]);", "return cudaSuccess;"),
        "wrong",
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


# Each fault compiles what it touches of the emulator anew: the build alone without any is quick.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if change else []) for name, (change, _) in FAULTS.items()],
)
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
