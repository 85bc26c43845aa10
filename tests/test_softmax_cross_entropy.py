import numpy as np
import pytest
import references
from checks import assert_close, check_gradient, normal, tensor

from pyconv import _core, ops

SHAPES = [(1, 1), (1, 10), (7, 3), (5, 17), (33, 10), (3, 1000), (4000, 10), (0, 5)]


def targets(rng, kind, N, K):
    """Labels, one-hot rows, or rows of any distribution."""
    labels = rng.integers(0, K, N)
    soft = references.softmax(rng.standard_normal((N, K))).astype(np.float32)
    return {"labels": labels, "one_hot": np.eye(K, dtype=np.float32)[labels], "soft": soft}[kind]


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("kind", ["labels", "one_hot", "soft"])
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradient(backend, rng, shape, kind, label_smoothing):
    logits, target = 4 * normal(rng, *shape), targets(rng, kind, *shape)
    loss, dlogits = ops.softmax_cross_entropy(logits, target, label_smoothing=label_smoothing)
    expected = references.softmax_cross_entropy(logits, target, label_smoothing=label_smoothing)
    assert_close(loss, expected[0], length=shape[1])
    assert_close(dlogits, expected[1])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["labels", "one_hot", "soft"])
def test_reference_gradients(rng, kind, label_smoothing):
    logits, target = normal(rng, 4, 5), targets(rng, kind, 4, 5).astype(np.float64)
    target = target.astype(np.int64) if kind == "labels" else target / target.sum(1, keepdims=True)

    def mean_loss(logits):
        return references.softmax_cross_entropy(logits, target, label_smoothing=label_smoothing)[0].mean()

    _, dlogits = references.softmax_cross_entropy(logits, target, label_smoothing=label_smoothing)
    check_gradient(mean_loss, logits, dlogits)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64"])
def test_labels_of_any_integer_dtype(backend, rng, dtype):
    logits, labels = normal(rng, 9, 10), rng.integers(0, 10, 9)
    for a, b in zip(
        ops.softmax_cross_entropy(logits, labels.astype(dtype)),
        ops.softmax_cross_entropy(logits, np.eye(10, dtype=np.float32)[labels]),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_extreme_logits(backend):
    logits = np.float32([[1e4, 0, -1e4], [3e38, 3e38, -3e38], [-np.inf, 0, 1], [-200, 0, 0]])
    labels = np.array([2, 0, 2, 0])
    loss, dlogits = ops.softmax_cross_entropy(logits, labels)
    assert_close(loss, [2e4, np.log(2), np.log1p(np.exp(-1)), 200 + np.log(2)])
    assert_close(dlogits * 4, references.softmax_cross_entropy(logits, labels, gradient_scale=1)[1])


def test_small_losses_keep_their_digits(backend):
    """In a confident row the label's exponential is 1, and the loss what the others add to it."""
    logits = np.zeros((3, 10), np.float32)
    logits[:, 0] = 5, 10, 15
    loss, _ = ops.softmax_cross_entropy(logits, np.zeros(3, np.int64))
    np.testing.assert_allclose(loss, np.log1p(9 * np.exp(-np.float64([5, 10, 15]))), rtol=1e-5)


def test_nan_stays_in_its_row(backend, rng):
    logits = normal(rng, 6, 10)
    logits[2, 5] = np.nan
    loss, dlogits = ops.softmax_cross_entropy(logits, np.zeros(6, np.int64))
    np.testing.assert_array_equal(np.isnan(loss), np.arange(6) == 2)
    np.testing.assert_array_equal(np.isnan(dlogits).any(1), np.arange(6) == 2)


def test_gradient_scale_in_place_or_not_at_all(backend, rng):
    logits, labels = normal(rng, 6, 11), tensor(rng.integers(0, 11, 6).astype(np.int32))
    expected_loss, expected = references.softmax_cross_entropy(logits, labels.numpy(), gradient_scale=0.25)
    out = tensor(logits.copy())
    dloss = tensor(np.full(6, 0.25, np.float32))
    loss, dlogits = _core.softmax_cross_entropy(out, labels, dloss=dloss, dlogits=out)
    assert_close(loss, expected_loss, length=11)
    assert_close(dlogits, expected)
    loss, dlogits = _core.softmax_cross_entropy(tensor(logits), labels, gradient=False)
    assert_close(loss, expected_loss, length=11)
    assert dlogits is None


@pytest.mark.parametrize(("label", "place"), [(-1, 0), (10, 3), (2**31 - 1, 4)])
def test_labels_out_of_range(label, place):
    labels = np.zeros(5, np.int64)
    labels[place] = label
    message = rf"^\[softmax_cross_entropy\] target has label {label} at {place}, expected labels from 0 to 9"
    with pytest.raises(ValueError, match=message):
        ops.softmax_cross_entropy(np.zeros((5, 10), np.float32), labels)


def test_a_label_beyond_int32_is_no_label_within():
    with pytest.raises(ValueError, match=r"^\[softmax_cross_entropy\] target .*expected "):
        ops.softmax_cross_entropy(np.zeros((1, 10), np.float32), np.array([2**32]))


def test_errors():
    logits, labels = np.zeros((5, 10), np.float32), np.zeros(5, np.int64)
    op = r"^\[softmax_cross_entropy\] "
    with pytest.raises(ValueError, match=op + r"logits has shape \(10,\), expected 2 dimensions: \(N, K\)"):
        ops.softmax_cross_entropy(logits[0], labels)
    with pytest.raises(ValueError, match=op + r"target has shape \(4,\), expected \(5,\)"):
        ops.softmax_cross_entropy(logits, labels[:4])
    with pytest.raises(ValueError, match=op + r"target has shape \(5, 9\), expected \(5, 10\)"):
        ops.softmax_cross_entropy(logits, logits[:, :9].copy())
    with pytest.raises(ValueError, match=op + r"label_smoothing is 1.5, expected from 0 to 1"):
        ops.softmax_cross_entropy(logits, labels, label_smoothing=1.5)
