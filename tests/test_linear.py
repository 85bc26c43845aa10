import numpy as np
import pytest
import references
from checks import assert_close, check_gradient, normal, tensor

from pyconv import _core, ops

# N, C_in, C_out
SHAPES = [
    (1, 1, 1),
    (1, 2048, 32),
    (1, 7, 1),
    (5, 3, 17),
    (17, 33, 5),
    (64, 129, 10),
    (33, 64, 64),
    (3, 1, 65),
    (130, 40, 3),
    (0, 4, 3),
    (3, 5, 1000),
]


@pytest.mark.parametrize(("N", "C_in", "C_out"), SHAPES)
def test_forward(backend, rng, N, C_in, C_out):
    x, weight, bias = normal(rng, N, C_in), normal(rng, C_in, C_out), normal(rng, C_out)
    assert_close(ops.linear(x, weight, bias), references.linear(x, weight, bias), length=C_in)
    assert_close(ops.linear(x, weight), references.linear(x, weight), length=C_in)


@pytest.mark.parametrize(("N", "C_in", "C_out"), SHAPES)
def test_backward(backend, rng, N, C_in, C_out):
    x, weight, dy = normal(rng, N, C_in), normal(rng, C_in, C_out), normal(rng, N, C_out)
    expected_dx, expected_dweight, expected_dbias = references.linear_backward(dy, x, weight)
    assert_close(ops.linear_backward_input(dy, weight), expected_dx, length=C_out)
    dweight, dbias = ops.linear_backward_weight(dy, x)
    assert_close(dweight, expected_dweight, length=N)
    assert_close(dbias, expected_dbias, length=N)


def test_outputs_are_overwritten(backend, rng):
    x, weight, dy = normal(rng, 5, 33), normal(rng, 33, 17), normal(rng, 5, 17)
    y, dx, dweight, dbias = (
        tensor(np.full(s, np.nan, np.float32)) for s in ((5, 17), (5, 33), (33, 17), (17,))
    )
    _core.linear(tensor(x), tensor(weight), y=y)
    _core.linear_backward_input(tensor(dy), tensor(weight), dx=dx)
    assert _core.linear_backward_weight(tensor(dy), tensor(x), bias=False, dweight=dweight)[1] is None
    assert_close(y, references.linear(x, weight), length=33)
    assert_close(dx, references.linear_backward(dy, x, weight)[0], length=17)
    assert_close(dweight, references.linear_backward(dy, x, weight)[1], length=5)
    _core.linear_backward_weight(tensor(dy), tensor(x), dweight=dweight, dbias=dbias)
    assert_close(dbias, dy.astype(float).sum(0), length=5)


def test_nan_stays_in_its_row(backend, rng):
    x, weight = normal(rng, 9, 20), normal(rng, 20, 18)
    x[4, 7] = np.nan
    assert_close(ops.linear(x, weight), references.linear(x, weight), length=20)


def test_reference_gradients(rng):
    x, weight, bias, dy = normal(rng, 3, 4), normal(rng, 4, 5), normal(rng, 5), normal(rng, 3, 5)
    dx, dweight, dbias = references.linear_backward(dy, x, weight)
    check_gradient(lambda x: (references.linear(x, weight, bias) * dy).sum(), x, dx)
    check_gradient(lambda weight: (references.linear(x, weight, bias) * dy).sum(), weight, dweight)
    check_gradient(lambda bias: (references.linear(x, weight, bias) * dy).sum(), bias, dbias)


def test_errors():
    x, weight, bias, dy = (np.zeros(s, np.float32) for s in ((2, 3), (3, 4), (4,), (2, 4)))
    with pytest.raises(
        ValueError, match=r"^\[linear\] x has shape \(2, 3, 1\), expected 2 dimensions: \(N, C_in\)"
    ):
        ops.linear(x[:, :, None], weight, bias)
    with pytest.raises(ValueError, match=r"^\[linear\] weight .*4.*3"):
        ops.linear(x, np.zeros((4, 4), np.float32), bias)
    with pytest.raises(ValueError, match=r"^\[linear\] bias has shape \(3,\), expected \(4,\)"):
        ops.linear(x, weight, bias[:3])
    with pytest.raises(ValueError, match=r"^\[linear_backward_input\] "):
        ops.linear_backward_input(dy[:, :3].copy(), weight)
    with pytest.raises(ValueError, match=r"^\[linear_backward_weight\] "):
        ops.linear_backward_weight(dy, np.zeros((3, 3), np.float32))
