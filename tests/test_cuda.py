"""Whether there is a GPU, and the words that say why not; tensors on a device."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cuda_backends import CUDA

from pyconv import _core, cuda, ops

ROOT = Path(__file__).parent.parent


def why_not(**environment):
    """Return what `pyconv.cuda.why_not()` says in a process of its own."""
    script = "from pyconv import cuda; print(cuda.why_not()); assert not cuda.is_available()"
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ("driver", "no NVIDIA driver is loaded: install one"),
        (
            "new driver",
            "the NVIDIA driver is too old: it supports CUDA 11.4, this build of pyconv needs 13.0",
        ),
        ("gpu", "the NVIDIA driver sees no GPU (CUDA_VISIBLE_DEVICES may hide it)"),
        (
            "kernels",
            "this build of pyconv has no kernels for emulated GPU (compute capability 9.0): build it",
        ),
    ],
)
@pytest.mark.skipif(CUDA != ["cuda-emulated"], reason="the emulator plays these machines")
def test_why_not(lacking, words):
    assert why_not(PYCONV_EMULATOR_MACHINE=lacking).startswith(words)


def test_why_not_without_a_library(tmp_path):
    assert why_not(PYCONV_CUDA_LIBRARY=str(tmp_path / "none.so")).startswith(
        "this build of pyconv has no CUDA library"
    )
    text = tmp_path / "text.so"
    text.write_text("not a library")
    assert why_not(PYCONV_CUDA_LIBRARY=str(text)).startswith("the CUDA library cannot be opened: ")
    assert why_not(PYCONV_CUDA_LIBRARY=_core.__file__).endswith(
        "is of another version of pyconv: build both together"
    )


def test_the_command_line_says_why(tmp_path):
    command = [sys.executable, "-m", "pyconv.train", "--dataset", "shapes", "--device", "cuda"]
    environment = {**os.environ, "PYCONV_CUDA_LIBRARY": str(tmp_path / "none.so")}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert result.returncode == 1
    assert result.stderr.startswith(
        "error: [device] cuda is not available: this build of pyconv has no CUDA library"
    )
    assert result.stderr.endswith("; use --device cpu\n")


def test_devices_that_there_are_not():
    with pytest.raises(ValueError, match="device is 'tpu', expected 'cpu' or 'cuda'"):
        _core.empty((2,), device="tpu")


if CUDA:

    def test_the_gpu_is_there():
        assert cuda.is_available()
        assert cuda.why_not() is None
        assert cuda.device_name()

    @pytest.mark.parametrize("dtype", _core.DTYPES)
    def test_there_and_back(rng, dtype):
        array = rng.integers(0, 100, (3, 5)).astype(dtype)
        there = _core.from_numpy(array).to("cuda")
        assert (there.device, there.dtype, there.shape) == ("cuda", dtype, (3, 5))
        assert "device=cuda" in repr(there)
        for back in (there.numpy(), np.asarray(there), there.to("cpu").numpy(), there.copy().numpy()):
            np.testing.assert_array_equal(back, array)
        assert there.to("cuda").__cuda_array_interface__["data"] == there.__cuda_array_interface__["data"]

    def test_nothing_at_all():
        assert _core.empty((0, 3), device="cuda").numpy().shape == (0, 3)

    def test_assign_and_copy_from(rng):
        there = _core.empty((2, 3), device="cuda")
        there.assign(1.5)
        np.testing.assert_array_equal(there.numpy(), np.full((2, 3), 1.5, np.float32))
        other = _core.from_numpy(np.arange(6, dtype=np.float32).reshape(2, 3))
        there.copy_from(other)
        np.testing.assert_array_equal(there.numpy(), other.numpy())
        other.copy_from(there.copy())
        with pytest.raises(
            ValueError, match=r"\[Tensor.copy_from\] source is float32 \(3,\), expected float32 \(2, 3\)"
        ):
            there.copy_from(_core.empty((3,)))
        with pytest.raises(ValueError, match="read-only"):
            there.as_read_only().assign(0)

    def test_views_lie_on_the_device(rng):
        arena = _core.empty((64,), "uint8", "cuda")
        arena.view(16, (2, 3), "float32").assign(np.arange(6).reshape(2, 3))
        np.testing.assert_array_equal(arena.reshape((8, 8)).view(16, (6,), "float32").numpy(), np.arange(6))

    def test_interfaces(rng):
        there = _core.from_numpy(np.zeros((4, 2), np.float32)).to("cuda")
        interface = there.as_read_only().__cuda_array_interface__
        assert (interface["shape"], interface["typestr"], interface["version"]) == ((4, 2), "<f4", 3)
        assert interface["data"][1] is True
        assert there.__dlpack_device__() == (2, 0)
        again = _core.from_dlpack(there)
        assert again.device == "cuda"
        assert again.__cuda_array_interface__["data"] == there.__cuda_array_interface__["data"]
        assert not hasattr(_core.empty((1,)), "__cuda_array_interface__")

    def test_dlpack_orders_the_consumers_stream():
        there = _core.from_numpy(np.zeros((4, 2), np.float32)).to("cuda")
        for stream in (None, 1, 2, -1):
            assert "dltensor" in repr(there.__dlpack__(stream=stream))
        for stream in (0, -2):
            with pytest.raises(
                ValueError, match=rf"\[Tensor.__dlpack__\] stream is {stream}, expected None, -1, 1"
            ):
                there.__dlpack__(stream=stream)
        _core.empty((1,)).__dlpack__(stream=None)

    def test_what_was_copied_in_may_change_at_once(rng):
        large = rng.standard_normal(5 << 20, dtype=np.float32)  # 20 MB: more than the pinned memory
        expected, there = large.copy(), _core.from_numpy(large).to("cuda")
        large[:] = 0
        small = [_core.from_numpy(expected[i : i + 3]).to("cuda") for i in range(100)]
        np.testing.assert_array_equal(there.numpy(), expected)
        for i, tensor in enumerate(small):
            np.testing.assert_array_equal(tensor.numpy(), expected[i : i + 3])

    def test_ops_run_where_their_arguments_lie(rng):
        a, b = rng.standard_normal((2, 7), dtype=np.float32), rng.standard_normal((2, 7), dtype=np.float32)
        y = ops.add(_core.from_numpy(a).to("cuda"), b)  # the array follows the tensor
        assert y.device == "cuda"
        np.testing.assert_array_equal(y.numpy(), a + b)
        with pytest.raises(ValueError, match=r"\[add\] arrays lie on cuda and on cpu, expected one device"):
            _core.add(_core.from_numpy(a).to("cuda"), _core.from_numpy(b))

    def test_labels_and_indices_are_checked_there_too():
        source = _core.from_numpy(np.zeros((4, 3), np.float32)).to("cuda")
        with pytest.raises(ValueError, match=r"index\[1\] is 9, expected an example of source, in \[0, 4\)"):
            ops.gather(source, np.array([0, 9]))
