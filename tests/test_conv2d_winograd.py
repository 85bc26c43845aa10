"""Winograd's algorithms against float64, beside direct convolution: at most three times its error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shape_cases import CONV2D_CASES, NETWORK_CONV2D, Conv2dCase
from test_conv2d import arrays_of, check_backward_input, check_backward_weight, check_forward, named

from pyconv import ops

ALGORITHMS = ("winograd_f2x2", "winograd_f4x4")
UNFIT = {
    name: CONV2D_CASES[name] for name in ("pointwise", "same_stride_2", "dilation", "groups", "kernel_5x3")
}


@st.composite
def winograd_cases(draw):
    size = st.integers(1, 13)
    channels = st.sampled_from([1, 3, 15, 16, 17, 31, 33])
    padding = tuple(tuple(draw(st.integers(0, 2)) for _ in range(2)) for _ in range(2))
    height, width = (max(draw(size), 3 - sum(pads)) for pads in padding)
    c_in = draw(channels)
    return Conv2dCase(
        (draw(st.integers(0, 3)), height, width, c_in), (3, 3, c_in, draw(channels)), 1, padding
    )


def run(a, algorithm):
    options = {**a.case.attributes, "algorithm": algorithm}
    return (
        ops.conv2d(a.x, a.weight, a.bias, **options),
        ops.conv2d_backward_input(a.dy, a.weight, a.case.x, **options),
        *ops.conv2d_backward_weight(a.dy, a.x, a.case.weight, **options),
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", NETWORK_CONV2D)
def test_error_beside_direct(backend, name, algorithm):
    a = named(name)
    expected = (a.y, a.dx, a.dweight, a.dbias)

    def errors(results):
        return [np.linalg.norm(r - e) / np.linalg.norm(e) for r, e in zip(results, expected, strict=True)]

    for ours, direct in zip(errors(run(a, algorithm)), errors(run(a, "direct")), strict=True):
        assert ours <= max(3 * direct, 1e-6)


@given(case=winograd_cases(), algorithm=st.sampled_from(ALGORITHMS))
def test_any_size_channels_and_padding(backend, case, algorithm):
    a = arrays_of(case, np.random.default_rng(0))
    for check in (check_forward, check_backward_input, check_backward_weight):
        check(a, algorithm, least_length=36)  # the products of an F(4x4, 3x3) tile


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", UNFIT)
def test_an_algorithm_that_does_not_fit_says_why(name, algorithm):
    with pytest.raises(
        ValueError, match=r"^\[conv2d\] algorithm is .*, but winograd needs a 3x3 kernel, stride 1"
    ):
        run(named(name), algorithm)
