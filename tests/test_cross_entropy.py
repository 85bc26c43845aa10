import numpy as np
import pytest
import references
from checks import assert_close, check_gradient, normal
from test_softmax_cross_entropy import SHAPES, targets

from pyconv import ops

KINDS = ["labels", "one_hot", "soft"]


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradient(backend, rng, shape, kind, label_smoothing):
    x, target, dloss = (
        rng.uniform(0.1, 2, shape).astype("f"),
        targets(rng, kind, *shape),
        normal(rng, shape[0]),
    )
    same = {"label_smoothing": label_smoothing}
    assert_close(
        ops.cross_entropy(x, target, **same), references.cross_entropy(x, target, **same), length=shape[1]
    )
    actual = ops.cross_entropy_backward(dloss, x, target, **same)
    np.testing.assert_allclose(
        actual, references.cross_entropy_backward(dloss, x, target, **same), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_reference_gradients(rng, kind):
    x, target, dloss = rng.uniform(0.1, 2, (4, 5)), targets(rng, kind, 4, 5), rng.standard_normal(4)
    gradient = references.cross_entropy_backward(dloss, x, target, label_smoothing=0.1)
    check_gradient(
        lambda v: (dloss * references.cross_entropy(v, target, label_smoothing=0.1)).sum(), x, gradient
    )


def test_of_a_softmax_it_is_softmax_cross_entropy(backend, rng):
    logits, labels = 3 * normal(rng, 20, 10), rng.integers(0, 10, 20)
    p = ops.softmax(logits)
    loss, dlogits = ops.softmax_cross_entropy(logits, labels)
    np.testing.assert_allclose(ops.cross_entropy(p, labels), loss, rtol=1e-5, atol=1e-6)
    dp = ops.cross_entropy_backward(np.full(20, 1 / 20, np.float32), p, labels)
    np.testing.assert_allclose(ops.softmax_backward(dp, p), dlogits, rtol=1e-4, atol=1e-7)


def test_a_probability_of_zero_has_a_finite_loss(backend):
    x, labels = np.float32([[0, 1], [1, 0]]), np.array([0, 0])
    np.testing.assert_allclose(ops.cross_entropy(x, labels), [87.336544, 0], rtol=1e-6)
    gradient = ops.cross_entropy_backward(np.ones(2, np.float32), x, labels)
    assert np.isfinite(gradient).all()
    assert gradient[0, 0] < -1e37


def test_nan_stays_in_its_row(backend):
    x = np.full((6, 5), 0.2, np.float32)
    x[2, 3] = np.nan
    labels = np.zeros(6, np.int64)
    np.testing.assert_array_equal(np.isnan(ops.cross_entropy(x, labels)), np.arange(6) == 2)
    gradient = ops.cross_entropy_backward(np.ones(6, np.float32), x, labels)
    np.testing.assert_array_equal(np.isnan(gradient).any(1), np.arange(6) == 2)


def test_errors():
    x, labels = np.ones((5, 10), np.float32), np.full(5, 10)
    with pytest.raises(
        ValueError, match=r"^\[cross_entropy\] target has label 10 at 0, expected labels from 0 to 9"
    ):
        ops.cross_entropy(x, labels)
    with pytest.raises(ValueError, match=r"^\[cross_entropy\] label_smoothing is 2, expected from 0 to 1"):
        ops.cross_entropy(x, labels - 1, label_smoothing=2)
    with pytest.raises(
        ValueError, match=r"^\[cross_entropy_backward\] dloss has shape \(4,\), expected \(5,\)"
    ):
        ops.cross_entropy_backward(x[:4, 0], x, labels - 1)
