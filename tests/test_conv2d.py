import functools
from types import SimpleNamespace

import numpy as np
import pytest
import references
from checks import assert_close, check_gradient, normal, tensor
from hypothesis import given
from hypothesis import strategies as st
from shape_cases import AWKWARD_CONV2D, CONV2D_CASES, Conv2dCase

from pyconv import _core, ops

ALGORITHMS = ("auto", "direct", "gemm")
# Gradients by finite differences cost two convolutions an element: only the small cases.
SMALL = [n for n, c in AWKWARD_CONV2D.items() if np.prod(c.x) * np.prod(c.weight) < 60_000 and c.x[0]]


def arrays_of(case, rng):
    """Return the case's inputs and the reference's results."""
    a = SimpleNamespace(case=case, x=normal(rng, *case.x), weight=normal(rng, *case.weight))
    a.bias = normal(rng, case.weight[3])
    a.y = references.conv2d(a.x, a.weight, a.bias, **case.attributes)
    a.dy = normal(rng, *a.y.shape)
    a.dx = references.conv2d_backward_input(a.dy, a.weight, case.x, **case.attributes)
    a.dweight, a.dbias = references.conv2d_backward_weight(a.dy, a.x, case.weight, **case.attributes)
    return a


@functools.cache
def named(name):
    return arrays_of(CONV2D_CASES[name], np.random.default_rng(0))


def check_forward(a, algorithm, least_length=1):
    """`least_length`: how many terms an algorithm adds for a result, however short the sum it stands for."""
    KH, KW, c_in, _ = a.case.weight
    y = ops.conv2d(a.x, a.weight, a.bias, **a.case.attributes, algorithm=algorithm)
    assert_close(y, a.y, length=max(KH * KW * c_in, least_length))


def check_backward_input(a, algorithm, least_length=1):
    KH, KW, _, C_out = a.case.weight
    dx = ops.conv2d_backward_input(a.dy, a.weight, a.case.x, **a.case.attributes, algorithm=algorithm)
    assert_close(dx, a.dx, length=max(KH * KW * C_out / a.case.groups, least_length))


def check_backward_weight(a, algorithm, least_length=1):
    dweight, dbias = ops.conv2d_backward_weight(
        a.dy, a.x, a.case.weight, **a.case.attributes, algorithm=algorithm
    )
    pixels = a.dy[..., 0].size
    assert_close(dweight, a.dweight, length=max(pixels, least_length))
    assert_close(dbias, a.dbias, length=pixels)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", CONV2D_CASES)
def test_forward(backend, name, algorithm):
    check_forward(named(name), algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", CONV2D_CASES)
def test_backward_input(backend, name, algorithm):
    check_backward_input(named(name), algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", CONV2D_CASES)
def test_backward_weight(backend, name, algorithm):
    check_backward_weight(named(name), algorithm)


@st.composite
def conv2d_cases(draw):
    def two(least, most):
        return draw(st.integers(least, most)), draw(st.integers(least, most))

    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 8]))
    c_in, c_out = (draw(st.sampled_from([1, 2, 3, 4, 5, 8, 9, 16, 17])) for _ in range(2))
    kernel, stride, dilation = two(1, 4), two(1, 3), two(1, 3)
    padding = draw(st.one_of(st.just("same"), st.just((two(0, 4), two(0, 4)))))
    # As large as the kernel needs, and up to 8 pixels more.
    size = []
    for side, extra in enumerate(two(0, 8)):
        padded = 0 if padding == "same" else sum(padding[side])
        size.append(max(1, dilation[side] * (kernel[side] - 1) + 1 - padded) + extra)
    return Conv2dCase(
        (draw(st.integers(0, 3)), *size, groups * c_in),
        (*kernel, c_in, groups * c_out),
        stride,
        padding,
        dilation,
        groups,
    )


@given(case=conv2d_cases(), algorithm=st.sampled_from(ALGORITHMS))
def test_any_geometry(backend, case, algorithm):
    a = arrays_of(case, np.random.default_rng(0))
    assert a.y.shape == _core.conv2d_output_shape(case.x, case.weight, **case.attributes)
    check_forward(a, algorithm)
    check_backward_input(a, algorithm)
    check_backward_weight(a, algorithm)


@pytest.mark.parametrize("name", SMALL)
def test_reference_gradients(name):
    a = named(name)
    keywords = a.case.attributes

    def loss(x=a.x, weight=a.weight, bias=a.bias):
        return (references.conv2d(x, weight, bias, **keywords) * a.dy).sum()

    check_gradient(lambda x: loss(x=x), a.x, a.dx)
    check_gradient(lambda weight: loss(weight=weight), a.weight, a.dweight)
    check_gradient(lambda bias: loss(bias=bias), a.bias, a.dbias)


def test_known_values(backend):
    """By hand: "same" with stride 2 pads at the bottom and right only, as Keras does."""
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    weight = np.ones((3, 3, 1, 1), np.float32)
    y = ops.conv2d(x, weight, stride=2, padding="same")
    np.testing.assert_array_equal(y.squeeze(), [[45, 39], [66, 50]])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_without_bias(backend, rng, algorithm):
    x, weight = normal(rng, 2, 5, 6, 3), normal(rng, 3, 3, 3, 17)
    y = ops.conv2d(x, weight, padding=1, algorithm=algorithm)
    assert_close(y, references.conv2d(x, weight, padding=1), length=27)
    dy = tensor(normal(rng, *y.shape))
    keywords = {"padding": 1, "algorithm": algorithm}
    dweight, dbias = _core.conv2d_backward_weight(dy, tensor(x), weight.shape, **keywords, bias=False)
    assert dbias is None
    assert_close(
        dweight, references.conv2d_backward_weight(dy.numpy(), x, weight.shape, padding=1)[0], length=60
    )


@pytest.mark.parametrize("algorithm", ["direct", "gemm"])
def test_nan_reaches_only_what_sees_it(backend, rng, algorithm):
    x, weight = normal(rng, 1, 8, 8, 5), normal(rng, 3, 3, 5, 17)
    x[0, 4, 3, 2] = np.nan
    y = ops.conv2d(x, weight, padding=1, algorithm=algorithm)
    assert_close(y, references.conv2d(x, weight, padding=1), length=45)
    assert np.isnan(y).sum() == 9 * 17


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", ["blog2", "channels_33_17", "depthwise", "groups", "empty_batch"])
def test_outputs_are_overwritten(backend, name, algorithm):
    a = named(name)
    x, weight, dy = tensor(a.x), tensor(a.weight), tensor(a.dy)
    keywords = {**a.case.attributes, "algorithm": algorithm}
    y, dx, dweight, dbias = (
        tensor(np.full(r.shape, np.nan, np.float32)) for r in (a.y, a.dx, a.dweight, a.dbias)
    )
    _core.conv2d(x, weight, tensor(a.bias), **keywords, y=y)
    _core.conv2d_backward_input(dy, weight, a.case.x, **keywords, dx=dx)
    _core.conv2d_backward_weight(dy, x, a.case.weight, **keywords, dweight=dweight, dbias=dbias)
    assert_close(y, a.y, length=np.prod(a.case.weight[:3]))
    assert_close(dx, a.dx, length=a.dweight[..., 0, :].size)
    assert_close(dweight, a.dweight, length=a.dy[..., 0].size)
    assert_close(dbias, a.dbias, length=a.dy[..., 0].size)


ERRORS = {
    r"\[conv2d\] x has shape \(5, 5, 3\), expected 4 dimensions: \(N, H, W, C_in\)": {"x": (5, 5, 3)},
    r"\[conv2d\] weight has shape \(3, 3, 3\), expected 4 dimensions": {"weight": (3, 3, 3)},
    r"\[conv2d\] weight has 4 input channels, x has 3": {"weight": (3, 3, 4, 6)},
    r"\[conv2d\] bias has shape \(5,\), expected \(6,\)": {"bias": (5,)},
    r"\[conv2d\] stride is 0, expected at least 1": {"stride": 0},
    r"\[conv2d\] stride is \(1, 2, 3\), expected an integer or two of them \(height, width\)": {
        "stride": (1, 2, 3)
    },
    r"\[conv2d\] stride is 1.5, expected an integer or two": {"stride": 1.5},
    r"\[conv2d\] padding is 'full', expected 'valid', 'same', an integer": {"padding": "full"},
    r"\[conv2d\] padding is -1, expected at least 0": {"padding": -1},
    r"\[conv2d\] dilation is \(0, 1\), expected at least 1": {"dilation": (0, 1)},
    r"\[conv2d\] groups is 0, expected at least 1": {"groups": 0},
    r"\[conv2d\] groups is 2, expected a divisor of x's 3 and weight's 6 channels": {"groups": 2},
    r"\[conv2d\] the kernel spans 9 x 9 pixels, x has only 5 x 5 with its padding": {"dilation": 4},
    r"\[conv2d\] algorithm is 'fft', expected ": {"algorithm": "fft"},
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors(message):
    given = {"x": (2, 5, 5, 3), "weight": (3, 3, 3, 6), "bias": (6,), **ERRORS[message]}
    given = {k: np.zeros(v, np.float32) if k in ("x", "weight", "bias") else v for k, v in given.items()}
    with pytest.raises(ValueError, match="^" + message):
        ops.conv2d(**given)


def test_errors_of_gradients():
    dy, weight, x = (np.zeros(s, np.float32) for s in ((2, 3, 3, 6), (3, 3, 3, 6), (2, 5, 5, 3)))
    with pytest.raises(
        ValueError, match=r"^\[conv2d_backward_input\] dy has shape \(2, 3, 3, 6\), expected \(2, 4, 3, 6\)"
    ):
        ops.conv2d_backward_input(dy, weight, (2, 6, 5, 3))
    with pytest.raises(
        ValueError, match=r"^\[conv2d_backward_weight\] dy has shape \(2, 3, 3, 6\), expected \(2, 3, 4, 6\)"
    ):
        ops.conv2d_backward_weight(dy, x, (3, 2, 3, 6))
    with pytest.raises(ValueError, match=r"^\[conv2d_backward_weight\] weight has 2 input channels, x has 3"):
        ops.conv2d_backward_weight(dy, x, (3, 3, 2, 6))
