import numpy as np
import pytest
import references
from checks import assert_close, check_gradient, normal, tensor
from hypothesis import given
from hypothesis import strategies as st
from shape_cases import AWKWARD_POOL2D, POOL2D_CASES, Pool2dCase

from pyconv import _core, ops


def check(case, count_include_pad, rng):
    keywords = {k: v for k, v in case.attributes.items() if k != "dilation"} | {
        "count_include_pad": count_include_pad
    }
    x = normal(rng, *case.x)
    length = np.prod(references.pair(case.window))
    expected = references.avg_pool2d(x, case.window, **keywords)
    assert_close(ops.avg_pool2d(x, case.window, **keywords), expected, length=length)
    dy = normal(rng, *expected.shape)
    dx = ops.avg_pool2d_backward(dy, case.x, case.window, **keywords)
    assert_close(dx, references.avg_pool2d_backward(dy, case.x, case.window, **keywords), length=length)


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("name", POOL2D_CASES)
def test_forward_and_backward(backend, rng, name, count_include_pad):
    check(POOL2D_CASES[name], count_include_pad, rng)


@st.composite
def pool2d_cases(draw):
    def two(least, most):
        return draw(st.integers(least, most)), draw(st.integers(least, most))

    window, stride = two(1, 5), two(1, 4)
    padding = draw(st.one_of(st.just("same"), st.just((two(0, 3), two(0, 3)))))
    size = []
    for side, extra in enumerate(two(0, 8)):
        size.append(max(1, window[side] - (0 if padding == "same" else sum(padding[side]))) + extra)
    channels = draw(st.sampled_from([1, 3, 5, 16, 17, 33]))
    return Pool2dCase(
        (draw(st.integers(0, 3)), *size, channels), window, stride, padding, ceil_mode=draw(st.booleans())
    )


@given(case=pool2d_cases(), count_include_pad=st.booleans())
def test_any_geometry(backend, case, count_include_pad):
    check(case, count_include_pad, np.random.default_rng(0))


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("name", [n for n, c in AWKWARD_POOL2D.items() if np.prod(c.x) < 500])
def test_reference_gradients(rng, name, count_include_pad):
    case = AWKWARD_POOL2D[name]
    keywords = {k: v for k, v in case.attributes.items() if k != "dilation"} | {
        "count_include_pad": count_include_pad
    }
    x = normal(rng, *case.x)
    dy = normal(rng, *references.avg_pool2d(x, case.window, **keywords).shape)
    dx = references.avg_pool2d_backward(dy, case.x, case.window, **keywords)
    check_gradient(lambda x: (references.avg_pool2d(x, case.window, **keywords) * dy).sum(), x, dx)


def test_padding_counts_or_not(backend):
    x = np.ones((1, 3, 3, 1), np.float32)
    y = ops.avg_pool2d(x, 2, padding=1)
    np.testing.assert_array_equal(y.squeeze(), [[0.25, 0.5], [0.5, 1]])
    y = ops.avg_pool2d(x, 2, padding=1, count_include_pad=False)
    np.testing.assert_array_equal(y.squeeze(), [[1, 1], [1, 1]])


@pytest.mark.parametrize("shape", [(2, 7, 5, 17), (1, 1, 1, 1), (3, 8, 8, 128), (0, 4, 4, 3)])
def test_global(backend, rng, shape):
    x, dy = normal(rng, *shape), normal(rng, shape[0], shape[3])
    area = shape[1] * shape[2]
    assert_close(ops.global_avg_pool2d(x), x.mean((1, 2), dtype=np.float64), length=area)
    dx = ops.global_avg_pool2d_backward(dy, shape)
    assert_close(dx, np.broadcast_to(dy[:, None, None] / np.float64(area), shape))


def test_nan_reaches_only_what_sees_it(backend, rng):
    x = normal(rng, 1, 6, 6, 19)
    x[0, 2, 2, 3] = np.nan
    assert_close(ops.avg_pool2d(x, 2), references.avg_pool2d(x, 2), length=4)


def test_outputs_are_overwritten(backend, rng):
    x = normal(rng, 2, 5, 7, 3)
    y, dx = tensor(np.full((2, 2, 3, 3), np.nan, np.float32)), tensor(np.full(x.shape, np.nan, np.float32))
    _core.avg_pool2d(tensor(x), 2, y=y)
    _core.avg_pool2d_backward(y, x.shape, 2, dx=dx)
    assert_close(y, references.avg_pool2d(x, 2), length=4)
    assert_close(dx, references.avg_pool2d_backward(y.numpy(), x.shape, 2), length=4)


def test_errors():
    x = np.zeros((2, 5, 6, 3), np.float32)
    with pytest.raises(ValueError, match=r"^\[avg_pool2d\] x has shape \(5, 6, 3\), expected 4 dimensions"):
        ops.avg_pool2d(x[0], 2)
    with pytest.raises(ValueError, match=r"^\[avg_pool2d\] the window spans 7 x 7 pixels, x has only 5 x 6"):
        ops.avg_pool2d(x, 7)
    with pytest.raises(
        ValueError, match=r"^\[avg_pool2d_backward\] dy has shape \(2, 5, 6, 3\), expected \(2, 2, 3, 3\)"
    ):
        ops.avg_pool2d_backward(x, x.shape, 2)
