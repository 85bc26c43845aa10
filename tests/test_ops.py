"""What holds of every op: which arrays it takes, what it gives back, what it leaves alone."""

import numpy as np
import pytest
from checks import tensor
from op_calls import op_calls, outputs, run

from pyconv import _core, ops

CALLS = op_calls(np.random.default_rng(0))


class Foreign:
    """An array of another library, of which only DLPack is known."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def strided(array):
    wide = np.empty((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def barely_aligned(array):
    """To its items, and not to a vector."""
    memory = np.empty(array.nbytes + 128, np.uint8)
    start = -memory.__array_interface__["data"][0] % 64 + array.itemsize
    copied = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copied[...] = array
    return copied


def read_only(array):
    array = array.copy()
    array.setflags(write=False)
    return array


def assert_same_bits(actual, expected):
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()


def test_every_public_op_has_an_example_call():
    assert set(ops.__all__) == CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_numpy_in_numpy_out(name):
    arrays, arguments, _ = CALLS[name]
    results = outputs(getattr(ops, name)(**arrays, **arguments))
    assert all(isinstance(r, float if name.startswith("sum") else np.ndarray) for r in results)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("wrap", [tensor, Foreign])
def test_other_arrays_in_tensor_out(name, wrap):
    arrays, arguments, _ = CALLS[name]
    results = outputs(getattr(ops, name)(**{key: wrap(a) for key, a in arrays.items()}, **arguments))
    assert all(isinstance(r, float if name.startswith("sum") else _core.Tensor) for r in results)
    assert_same_bits([np.asarray(r) for r in results], run(name, CALLS[name]))


@pytest.mark.parametrize("convert", [strided, np.asfortranarray, barely_aligned, read_only])
@pytest.mark.parametrize("name", CALLS)
def test_layout_and_writeability_do_not_matter(name, convert):
    assert_same_bits(run(name, CALLS[name], convert), run(name, CALLS[name]))


@pytest.mark.parametrize("name", CALLS)
def test_inputs_are_left_alone(name):
    copies = {key: a.copy() for key, a in CALLS[name].arrays.items()}
    run(name, CALLS[name])
    for key, array in CALLS[name].arrays.items():
        np.testing.assert_array_equal(array, copies[key])


@pytest.mark.parametrize("dtype", ["float64", "float16"])
@pytest.mark.parametrize(("name", "argument"), [(n, a) for n, call in CALLS.items() for a in call.arrays])
def test_other_dtypes_are_refused(name, argument, dtype):
    arrays, arguments, _ = CALLS[name]
    arrays = {**arrays, argument: arrays[argument].astype(dtype)}
    with pytest.raises(TypeError, match=rf"^\[{name}\] {argument} has dtype {dtype}, expected "):
        getattr(ops, name)(**arrays, **arguments)


@pytest.mark.parametrize(("name", "argument"), [(n, a) for n, call in CALLS.items() for a in call.arrays])
def test_what_is_no_array_is_refused(name, argument):
    arrays, arguments, _ = CALLS[name]
    with pytest.raises(TypeError, match=rf"^\[{name}\] {argument} is a list, expected "):
        getattr(ops, name)(**{**arrays, argument: [1.0]}, **arguments)


@pytest.mark.parametrize(
    ("name", "argument"), [(n, a) for n, call in CALLS.items() for a in call.arrays if a not in call.any_rank]
)
def test_other_ranks_are_refused(name, argument):
    arrays, arguments, _ = CALLS[name]
    with pytest.raises(ValueError, match=rf"^\[{name}\] .*expected "):
        getattr(ops, name)(**{**arrays, argument: arrays[argument][None]}, **arguments)


@pytest.mark.parametrize("name", CALLS)
def test_empty_batch(name, backend):
    full, empty = run(name, CALLS[name]), run(name, op_calls(np.random.default_rng(0), N=0)[name])
    for a, b in zip(empty, full, strict=True):
        assert a.shape == tuple(0 if i == 0 and n == 4 else n for i, n in enumerate(b.shape))
        if a.shape == b.shape and name not in ("adam", "sgd", "batch_norm", "batch_norm_backward"):
            np.testing.assert_array_equal(a, 0)  # gradients and totals: sums over nothing


@pytest.mark.parametrize("name", CALLS)
def test_every_backend_agrees(name, backend):
    """Rounding apart: nothing is drawn, ordered or scaled differently."""
    selected = run(name, CALLS[name])
    _core.select_backend(_core.available_backends()[-1])
    for a, b in zip(selected, run(name, CALLS[name]), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
