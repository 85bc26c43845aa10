"""What every public op, Tensor method and setting answers to arguments of any wrong kind."""

import inspect
import re

import numpy as np
import pytest
from op_calls import op_calls

import pyconv
from pyconv import _core, cuda, ops

CALLS = op_calls(np.random.default_rng(0))

WRONG = {
    "text": "no such thing",
    "bytes": b"?!",
    "a surrogate": "\ud800",
    "a fraction": 1.5,
    "nan": float("nan"),
    "infinity": float("inf"),
    "a complex number": 1j,
    "None": None,
    "True": True,
    "a NumPy bool": np.True_,
    "2**31": 2**31,
    "2**63": 2**63,
    "-2**70": -(2**70),
    "10**400": 10**400,
    "a NumPy integer": np.int64(-3),
    "an object": object(),
    "a class": int,
    "a dict": {"a": 1},
    "an empty tuple": (),
    "a pair of text": ("no", "such"),
    "five sizes": (1, 2, 3, 4, 5),
    "sizes that wrap": (2**62, 2**62, 2**62, 2**62),
    "negative sizes": (-1, -1, -1, -1),
    "fractions": (1.5, 2.5, 3.5, 4.5),
    "float64": np.zeros((2, 2)),
    "no dimensions": np.array(3.0, np.float32),
    "an array of objects": np.array([object()]),
    "a million numbers": list(range(10**5)),
}

# Words of pybind11, NumPy and Python that say nothing to whoever called pyconv.
FOREIGN = re.compile(
    "incompatible function|Invoked with|Unable to cast|ufunc|broadcast together|interpreted as an integer|"
    "not supported between|unsupported operand|has no attribute|not iterable|must be real|unhashable|"
    "has no len|subscriptable|truth value|codec|loss of precision|no constructor",
    re.IGNORECASE,
)


def assert_answered(call, op, names):
    """The value is taken, or refused in words of ours: the op's name, and that of an argument."""
    try:
        call()
    except (TypeError, ValueError) as error:
        text = str(error)
        assert text.startswith(f"[{op}] "), text
        assert any(re.search(rf"\b{name.removesuffix('_shape')}(_shape)?\b", text) for name in names), text
        assert not FOREIGN.search(text), text
        assert len(text) < 400, text


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", ops.__all__)
def test_ops(name, wrong):
    call = CALLS[name].arrays | CALLS[name].arguments
    names = inspect.signature(getattr(ops, name)).parameters
    for argument in names:
        given = call | {argument: WRONG[wrong]}
        assert_answered(lambda given=given: getattr(ops, name)(**given), name, names)


METHODS = {
    "to": {"device": "cpu"},
    "assign": {"value": 1.0},
    "copy_from": {"source": _core.zeros((2, 6))},
    "reshape": {"shape": (12,)},
    "view": {"offset": 0, "shape": (3,), "dtype": "float32"},
    "__array__": {"dtype": None, "copy": None},
    "__dlpack__": {"stream": None, "max_version": None, "dl_device": None, "copy": None},
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("method", METHODS)
def test_methods_of_a_tensor(method, wrong):
    for argument in METHODS[method]:
        given = METHODS[method] | {argument: WRONG[wrong]}
        tensor = _core.zeros((2, 6))
        try:
            words = [*METHODS[method], "bytes at", "negative size"]
            assert_answered(lambda t=tensor, g=given: getattr(t, method)(**g), f"Tensor.{method}", words)
        except BufferError:  # what DLPack's protocol asks for where dl_device is another one
            assert argument == "dl_device"


def test_every_method_of_a_tensor_with_arguments_is_tried():
    plain = {"numpy", "copy", "as_read_only"}  # none
    methods = {name for name, value in vars(_core.Tensor).items() if name[0] != "_" and callable(value)}
    assert methods == plain | {name for name in METHODS if name[0] != "_"}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(
    ("setting", "argument"),
    [("set_num_threads", "threads"), ("set_precision", "precision"), ("from_dlpack", "array")],
)
def test_settings(threads, setting, argument, wrong):
    if setting == "set_num_threads" and isinstance(WRONG[wrong], int) and WRONG[wrong] > 1:
        pytest.skip("a number of threads: cut to what there may be")
    if setting == "from_dlpack" and isinstance(WRONG[wrong], np.ndarray):
        pytest.skip("an array")
    with pytest.raises((TypeError, ValueError)):
        getattr(pyconv, setting)(WRONG[wrong])
    assert_answered(lambda: getattr(pyconv, setting)(WRONG[wrong]), setting, [argument])


def test_a_tensor_is_not_made_by_its_class():
    for arguments in ((), (3,), ((2, 3), "float32")):
        with pytest.raises(TypeError, match=r"^\[Tensor\] is made by pyconv.from_dlpack"):
            _core.Tensor(*arguments)


def test_objects_that_lie_about_dlpack():
    class Liar:
        def __dlpack__(self, **_):
            return "a capsule"

    with pytest.raises(
        TypeError, match=r"^\[from_dlpack\] array gives 'a capsule', expected a DLPack capsule"
    ):
        pyconv.from_dlpack(Liar())
    with pytest.raises(TypeError, match=r"^\[relu\] x cannot be taken: \[from_dlpack\] array gives"):
        ops.relu(Liar())


@pytest.mark.skipif(cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu():
    for call in (cuda.device_name, cuda.synchronize, lambda: ops.as_tensor(np.zeros(3), "", "").to("cuda")):
        with pytest.raises(ValueError, match="device is 'cuda', but "):
            call()


def test_numbers_of_numpy_are_numbers():
    x, weight = np.ones((1, 5, 5, 4), np.float32), np.ones((3, 3, 2, 4), np.float32)
    options = {"stride": np.int32(2), "padding": (np.int64(1), np.uint8(1)), "groups": np.int16(2)}
    y = ops.conv2d(x, weight, **options)
    assert y.shape == (1, 3, 3, 4)
    assert ops.conv2d_backward_input(y, weight, np.array(x.shape), **options).shape == x.shape
    assert ops.dropout(x, np.float32(0.5), seed=np.uint64(2**63)).shape == x.shape


@pytest.mark.parametrize("name", ["beta_1", "beta_2"])
def test_adam_divides_by_nothing(name):
    weight = np.ones(3, np.float32)
    with pytest.raises(ValueError, match=rf"^\[adam\] {name} is 1.0, expected a number in \[0, 1\)"):
        ops.adam(weight, weight, weight, weight, step=1, **{name: 1.0})
