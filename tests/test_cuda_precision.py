"""Convolutions and dense layers on the tensor cores: tf32 and bfloat16 beside float64, in their budgets."""

import functools

import numpy as np
import pytest
import references
from checks import BUDGETS, assert_within, normal
from cuda_backends import CUDA
from hypothesis import given, settings
from hypothesis import strategies as st
from shape_cases import Conv2dCase

from pyconv import _core, ops

CASES = {
    "one_tile": Conv2dCase((1, 8, 16, 32), (3, 3, 32, 64), 1, "same"),
    "tails": Conv2dCase((2, 9, 19, 36), (3, 3, 36, 68), 1, "same"),
    "several_chunks": Conv2dCase((1, 5, 17, 80), (3, 3, 80, 16), 1, "valid"),
    "narrow": Conv2dCase((3, 8, 8, 48), (3, 3, 48, 72), 1, "same"),
    "narrow_tails": Conv2dCase((2, 7, 6, 16), (3, 3, 16, 20), 1, ((2, 0), (1, 2))),
    "padding_2": Conv2dCase((1, 6, 30, 16), (3, 3, 16, 16), 1, 2),
    "one_pixel": Conv2dCase((1, 1, 1, 16), (3, 3, 16, 16), 1, "same"),
    "first_layer": Conv2dCase((2, 11, 13, 3), (3, 3, 3, 20), 1, "same"),
    "stride_2": Conv2dCase((2, 9, 10, 20), (3, 3, 20, 24), 2, 1),
    "kernel_5_groups_2": Conv2dCase((1, 9, 9, 24), (5, 5, 12, 8), 1, 2, 1, 2),
    "pointwise": Conv2dCase((2, 5, 5, 40), (1, 1, 40, 30), 1, 0),
}

pytestmark = pytest.mark.skipif(not CUDA, reason="no CUDA backend to test on")


@pytest.fixture(params=BUDGETS)
def precision(request):
    """The test runs on CUDA once in every precision."""
    previous = _core.backend(), _core.precision()
    _core.select_backend(CUDA[0])
    _core.set_precision(request.param)
    yield request.param
    _core.select_backend(previous[0])
    _core.set_precision(previous[1])


@functools.cache
def arrays_of(case):
    rng = np.random.default_rng(0)
    x, weight, bias = normal(rng, *case.x), normal(rng, *case.weight), normal(rng, case.weight[3])
    y = references.conv2d(x, weight, bias, **case.attributes)
    dy = normal(rng, *y.shape)
    dx = references.conv2d_backward_input(dy, weight, case.x, **case.attributes)
    return (
        x,
        weight,
        bias,
        y,
        dy,
        dx,
        *references.conv2d_backward_weight(dy, x, case.weight, **case.attributes),
    )


def check(case, precision):
    x, weight, bias, y, dy, dx, dweight, dbias = arrays_of(case)
    assert_within(ops.conv2d(x, weight, bias, **case.attributes), y, precision)
    assert_within(ops.conv2d_backward_input(dy, weight, case.x, **case.attributes), dx, precision)
    gradients = ops.conv2d_backward_weight(dy, x, case.weight, **case.attributes)
    assert_within(gradients[0], dweight, precision)
    assert_within(gradients[1], dbias, precision)


@pytest.mark.parametrize("name", CASES)
def test_conv2d(precision, name):
    check(CASES[name], precision)


@settings(max_examples=12)
@given(
    size=st.tuples(st.integers(1, 2), st.integers(1, 12), st.integers(1, 20)),
    channels=st.tuples(st.sampled_from([16, 20, 32, 44]), st.sampled_from([16, 36, 64])),
    padding=st.tuples(*[st.tuples(st.integers(1, 2), st.integers(1, 2))] * 2),
)
def test_any_3x3(precision, size, channels, padding):
    check(Conv2dCase((*size, channels[0]), (3, 3, *channels), 1, padding), precision)


def test_linear(precision, rng):
    x, weight, bias, dy = normal(rng, 7, 50), normal(rng, 50, 70), normal(rng, 70), normal(rng, 7, 70)
    wide = [a.astype(np.float64) for a in (x, weight, bias, dy)]
    assert_within(ops.linear(x, weight, bias), wide[0] @ wide[1] + wide[2], precision)
    assert_within(ops.linear_backward_input(dy, weight), wide[3] @ wide[1].T, precision)
    assert_within(ops.linear_backward_weight(dy, x)[0], wide[0].T @ wide[3], precision)


def test_rounding(precision):
    """Each precision multiplies in its own: 1 + 2^-9 is 1 to bfloat16, and 1 + 2^-12 is 1 to tf32."""
    for exponent, kept_by in ((9, ("float32", "tf32")), (12, ("float32",))):
        x = np.full((1, 1, 1, 16), 1 + 2.0**-exponent, np.float32)
        weight = np.zeros((3, 3, 16, 16), np.float32)
        weight[1, 1, 0] = 1
        y = ops.conv2d(x, weight, padding="same")
        np.testing.assert_array_equal(y.ravel(), x.ravel() if precision in kept_by else np.ones(16))
