import numpy as np
import pytest
import references
from checks import assert_close, check_gradient, normal, tensor
from hypothesis import given
from hypothesis import strategies as st
from shape_cases import AWKWARD_POOL2D, DILATED_POOL2D, POOL2D_CASES, Pool2dCase

from pyconv import _core, ops

CASES = POOL2D_CASES | DILATED_POOL2D


def taps(case):
    KH, KW = references.pair(case.window)
    return KH * KW


def check(case, x, dy_of):
    y, argmax = ops.max_pool2d(x, case.window, **case.attributes)
    expected_y, expected_argmax = references.max_pool2d(x, case.window, **case.attributes)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, expected_y)
    assert argmax.dtype == (np.uint8 if taps(case) <= 256 else np.int32)
    np.testing.assert_array_equal(argmax, expected_argmax)
    assert y.shape == _core.pool2d_output_shape(case.x, case.window, **case.attributes)
    dy = dy_of(*y.shape)
    dx = ops.max_pool2d_backward(dy, argmax, case.x, case.window, **case.attributes)
    expected_dx = references.max_pool2d_backward(dy, expected_argmax, case.x, case.window, **case.attributes)
    assert_close(dx, expected_dx, length=taps(case))


@pytest.mark.parametrize("name", CASES)
def test_forward_and_backward(backend, rng, name):
    case = CASES[name]
    check(case, normal(rng, *case.x), lambda *shape: normal(rng, *shape))


@pytest.mark.parametrize("name", CASES)
def test_ties_and_not_finite(backend, rng, name):
    """The first of equal maxima wins and the first NaN before all; an infinite pixel is not padding."""
    case = CASES[name]
    x = rng.integers(-1, 2, case.x).astype(np.float32)
    special = rng.random(case.x)
    x[special < 0.3] = -np.inf
    x[special < 0.1] = np.nan
    check(case, x, lambda *shape: normal(rng, *shape))


def test_zeros_of_either_sign_are_equal(backend):
    x = np.tile(np.float32([[-0.0, 0.0], [0.0, -0.0]])[None, :, :, None], (1, 1, 1, 40))
    assert (ops.max_pool2d(x, 2)[1] == 0).all()


@st.composite
def pool2d_cases(draw):
    def two(least, most):
        return draw(st.integers(least, most)), draw(st.integers(least, most))

    window, stride, dilation = two(1, 5), two(1, 4), two(1, 3)
    padding = draw(st.one_of(st.just("same"), st.just((two(0, 3), two(0, 3)))))
    size = []
    for side, extra in enumerate(two(0, 8)):
        padded = 0 if padding == "same" else sum(padding[side])
        size.append(max(1, dilation[side] * (window[side] - 1) + 1 - padded) + extra)
    channels = draw(st.sampled_from([1, 3, 5, 16, 17, 33, 64]))
    return Pool2dCase(
        (draw(st.integers(0, 3)), *size, channels), window, stride, padding, dilation, draw(st.booleans())
    )


@given(case=pool2d_cases())
def test_any_geometry(backend, case):
    rng = np.random.default_rng(0)
    check(case, rng.integers(-9, 9, case.x).astype(np.float32), lambda *shape: normal(rng, *shape))


@pytest.mark.parametrize(
    "name", [n for n, c in (AWKWARD_POOL2D | DILATED_POOL2D).items() if np.prod(c.x) < 900]
)
def test_reference_gradients(rng, name):
    case = CASES[name]
    x = rng.permutation(int(np.prod(case.x))).reshape(case.x).astype(np.float32)  # no ties
    y, argmax = references.max_pool2d(x, case.window, **case.attributes)
    seen = np.isfinite(y)
    dy = normal(rng, *y.shape)
    dx = references.max_pool2d_backward(dy, argmax, case.x, case.window, **case.attributes)

    def loss(x):
        y, _ = references.max_pool2d(x, case.window, **case.attributes)
        return (y[seen] * dy[seen]).sum()

    check_gradient(loss, x, dx, step=1e-3)


def test_a_window_of_padding_alone(backend, rng):
    """-inf, argmax 0, and a gradient that goes nowhere."""
    x = normal(rng, 1, 2, 2, 5)
    y, argmax = ops.max_pool2d(x, 2, stride=2, padding=2)
    assert np.isneginf(y[:, [0, 0, 0, 2], [0, 1, 2, 2]]).all()
    np.testing.assert_array_equal(y[:, 1, 1], x.max((1, 2)))
    assert (argmax[:, 0] == 0).all()
    dx = ops.max_pool2d_backward(np.ones_like(y), argmax, x.shape, 2, stride=2, padding=2)
    assert dx.sum() == 5


def test_argmax_is_optional(backend, rng):
    x = normal(rng, 2, 7, 9, 19)
    y, argmax = _core.max_pool2d(tensor(x), (3, 2), stride=2, return_argmax=False)
    assert argmax is None
    np.testing.assert_array_equal(y.numpy(), ops.max_pool2d(x, (3, 2), stride=2)[0])


@pytest.mark.parametrize("case", [POOL2D_CASES["remainder_dropped"], POOL2D_CASES["overlapping"]])
def test_outputs_are_overwritten(backend, rng, case):
    x = normal(rng, *case.x)
    expected_y, expected_argmax = references.max_pool2d(x, case.window, **case.attributes)
    y, argmax = (
        tensor(np.full(expected_y.shape, np.nan, np.float32)),
        tensor(np.full(expected_y.shape, 99, np.uint8)),
    )
    _core.max_pool2d(tensor(x), case.window, **case.attributes, y=y, argmax=argmax)
    np.testing.assert_array_equal(y.numpy(), expected_y)
    np.testing.assert_array_equal(argmax.numpy(), expected_argmax)
    dx = tensor(np.full(case.x, np.nan, np.float32))
    _core.max_pool2d_backward(y, argmax, case.x, case.window, **case.attributes, dx=dx)
    assert_close(
        dx,
        references.max_pool2d_backward(y.numpy(), expected_argmax, case.x, case.window, **case.attributes),
        length=4,
    )


ERRORS = {
    r"\[max_pool2d\] x has shape \(5, 6, 3\), expected 4 dimensions: \(N, H, W, C\)": {"x": (5, 6, 3)},
    r"\[max_pool2d\] window is 0, expected at least 1": {"window": 0},
    r"\[max_pool2d\] window is None, expected an integer or two of them": {"window": None},
    r"\[max_pool2d\] stride is \(1, 0\), expected at least 1": {"stride": (1, 0)},
    r"\[max_pool2d\] padding is \(1, 2, 3\), expected 'valid', 'same'": {"padding": (1, 2, 3)},
    r"\[max_pool2d\] the window spans 7 x 7 pixels, x has only 5 x 6 with its padding": {"window": 7},
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors(message):
    given = {"x": (2, 5, 6, 3), "window": 2, **ERRORS[message]}
    with pytest.raises(ValueError, match="^" + message):
        ops.max_pool2d(np.zeros(given.pop("x"), np.float32), **given)


def test_errors_of_the_gradient():
    dy, argmax = np.zeros((2, 2, 3, 3), np.float32), np.zeros((2, 2, 3, 3), np.uint8)
    with pytest.raises(
        ValueError, match=r"^\[max_pool2d_backward\] dy has shape \(2, 2, 3, 3\), expected \(2, 3, 3, 3\)"
    ):
        ops.max_pool2d_backward(dy, argmax, (2, 6, 6, 3), 2)
    with pytest.raises(TypeError, match=r"^\[max_pool2d_backward\] argmax has dtype int32, expected uint8"):
        ops.max_pool2d_backward(dy, argmax.astype(np.int32), (2, 5, 6, 3), 2)
    with pytest.raises(TypeError, match=r"^\[max_pool2d_backward\] argmax has dtype uint8, expected int32"):
        ops.max_pool2d_backward(dy[:, :1, :1].copy(), argmax[:, :1, :1].copy(), (2, 17, 17, 3), 17)
