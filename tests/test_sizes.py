"""Sizes and attributes beyond bounds (csrc/sizes.h): an error that says so, before memory is taken."""

import numpy as np
import pytest
from fuzz import sizes as fuzz

from pyconv import _core, ops

ONE = np.ones((1, 1, 1, 1), np.float32)
FOUR = np.ones((1, 2, 2, 1), np.float32)

# What wrapped at 2^64 and wrote beyond its memory.
TOO_LARGE = {
    "the gradient of pooling": (
        lambda: ops.avg_pool2d_backward(FOUR, (1, 2**31, 2**31, 1), 1, stride=2**30),
        r"\[avg_pool2d_backward\] x is \(1, 2147483648, 2147483648, 1\), expected at most 2\^40 elements",
    ),
    "the gradient of a kernel": (
        lambda: ops.conv2d_backward_weight(ONE, ONE, (2**31, 2**31, 1, 1), padding=((2**30, 2**30 - 1),) * 2),
        r"\[conv2d_backward_weight\] weight is \(2147483648, 2147483648, 1, 1\), expected at most 2\^40",
    ),
    "padding": (
        lambda: ops.conv2d(ONE, ONE, padding=2**30),
        r"\[conv2d\] x with its padding is \(1, 2147483649, 2147483649, 1\), expected at most 2\^40",
    ),
    "nothing, of a huge shape": (
        lambda: ops.conv2d(np.ones((0, 2**21, 2**21, 1), np.float32), ONE),
        r"\[Tensor\] shape is \(0, 2097152, 2097152, 1\), expected at most 2\^40 elements",
    ),
    "a tensor": (
        lambda: _core.zeros((2**62, 4)),
        r"\[Tensor\] shape is \(4611686018427387904, 4\), expected at most 2\^40 elements",
    ),
    "a view": (
        lambda: _core.zeros((64,), "uint8").view(0, (2**32, 2**32), "float32"),
        r"\[Tensor.view\] shape is \(4294967296, 4294967296\), expected at most 2\^40 elements",
    ),
    "a reshape": (
        lambda: _core.zeros((0,)).reshape((0, 2**62)),
        r"\[Tensor.reshape\] shape is \(0, 4611686018427387904\), expected at most 2\^40 elements",
    ),
    "random words": (lambda: _core.philox(0, 0, blocks=2**62), r"\[philox\] blocks is .*, expected at most"),
    "a window": (
        lambda: ops.max_pool2d(ONE, 2**16, padding=2**15),
        r"\[max_pool2d\] window is 65536, expected at most 2147483647 elements",
    ),
}


@pytest.mark.parametrize("case", TOO_LARGE)
def test_too_large(case):
    call, message = TOO_LARGE[case]
    with pytest.raises(ValueError, match="^" + message):
        call()


def test_memory_that_no_machine_has():
    with pytest.raises(
        MemoryError, match=r"^\[avg_pool2d_backward\] dx of shape .* takes 1099511627776 bytes"
    ):
        ops.avg_pool2d_backward(ONE, (1, 2**19, 2**19, 1), 2**19)
    with pytest.raises(MemoryError, match=r"^\[Tensor\] shape of shape .* takes 4398046511104 bytes"):
        _core.zeros((2**20, 2**20))


POOLS = ("max_pool2d", "avg_pool2d")
ATTRIBUTES = [("conv2d", name) for name in ("stride", "padding", "dilation", "groups")]
ATTRIBUTES += [(op, name) for op in POOLS for name in ("window", "stride", "padding")]


@pytest.mark.parametrize("value", [2**31, 2**63, 2**64, 10**30])
@pytest.mark.parametrize(("op", "attribute"), ATTRIBUTES)
def test_attributes_beyond_32_bits(op, attribute, value):
    given = {"x": FOUR, **({"weight": ONE} if op == "conv2d" else {"window": 1}), attribute: value}
    with pytest.raises(ValueError, match=rf"^\[{op}\] {attribute} is {value}, expected at most 2147483647"):
        getattr(ops, op)(**given)


@pytest.mark.parametrize("stride", [5, 2**20, 2**30, 2**31 - 1])
@pytest.mark.parametrize("channels", [1, 17])
def test_a_stride_beyond_the_image_is_any_such_stride(backend, rng, stride, channels):
    """The depthwise gradient used to fetch memory ahead for all rows that a stride skips."""
    x = rng.standard_normal((2, 4, 3, channels), dtype=np.float32)
    weight = rng.standard_normal((2, 2, 1, channels), dtype=np.float32)
    options = {"groups": channels, "padding": ((0, 1), (1, 0))}
    y = [ops.conv2d(x, weight, stride=s, **options) for s in (stride, 5)]
    np.testing.assert_array_equal(*y)
    dx = [ops.conv2d_backward_input(y[0], weight, x.shape, stride=s, **options) for s in (stride, 5)]
    np.testing.assert_array_equal(*dx)
    gradients = [ops.conv2d_backward_weight(y[0], x, weight.shape, stride=s, **options) for s in (stride, 5)]
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(*(ops.max_pool2d(x, 2, stride=s)[0] for s in (stride, 5)))


def test_shapes_of_nothing_are_not_walked():
    """Each would be 2^40 steps."""
    x = np.ones((1, 2**20, 2**20, 0), np.float32)
    for y in (ops.max_pool2d(x, 1)[0], ops.avg_pool2d(x, 1), ops.relu(x)):
        assert y.shape == x.shape
    assert ops.softmax(np.ones((2**40, 0), np.float32)).shape == (2**40, 0)
    assert ops.gather(np.ones((2**40, 0), np.float32)).shape == (2**40, 0)


def test_huge_sizes_end_in_exceptions():
    """The fuzzer, short; `python tests/fuzz/sizes.py` runs more, under AddressSanitizer too."""
    failures = []
    ends = fuzz.fuzz(60, seed=9, report=failures.append)
    assert failures == []
    assert ends["ok"] > 5
    assert ends["ValueError"] > 5
