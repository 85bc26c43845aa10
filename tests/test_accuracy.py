import numpy as np
import pytest
from checks import normal, tensor

from pyconv import _core, ops


@pytest.mark.parametrize(("N", "K"), [(1, 1), (7, 3), (33, 10), (5, 17), (4000, 10), (0, 5)])
def test_labels_and_targets(backend, rng, N, K):
    scores, labels = normal(rng, N, K), rng.integers(0, K, N)
    labels[::2] = scores[::2].argmax(1)
    expected = (scores.argmax(1) == labels).astype(np.float32)
    for target in (labels, np.eye(K, dtype=np.float32)[labels]):
        correct = ops.accuracy(scores, target)
        assert correct.dtype == np.float32
        np.testing.assert_array_equal(correct, expected)


@pytest.mark.parametrize("K", [3, 40])
def test_the_first_largest_wins(backend, K):
    scores = np.zeros((K, K), np.float32)
    scores[:, 1:] = 1  # every class but the first is largest
    np.testing.assert_array_equal(ops.accuracy(scores, np.arange(K)), np.arange(K) == 1)
    np.testing.assert_array_equal(ops.accuracy(scores, scores), np.ones(K))
    np.testing.assert_array_equal(ops.accuracy(np.eye(K, dtype=np.float32), scores), np.arange(K) == 1)


def test_a_row_with_a_nan_is_wrong(backend):
    scores = np.float32(
        [[0, 1, 2], [np.nan, 1, 2], [0, 1, np.nan], [np.nan] * 3, [0, np.inf, 1], [-np.inf] * 3]
    )
    np.testing.assert_array_equal(ops.accuracy(scores, np.array([2, 2, 2, 0, 1, 0])), [1, 0, 0, 0, 1, 1])


def test_a_label_out_of_range_is_never_met(backend):
    np.testing.assert_array_equal(ops.accuracy(np.zeros((2, 3), np.float32), np.array([-1, 3])), [0, 0])


def test_output_is_overwritten(backend):
    correct = tensor(np.full(2, np.nan, np.float32))
    _core.accuracy(tensor(np.eye(2, dtype=np.float32)), tensor(np.array([0, 0], np.int32)), correct=correct)
    np.testing.assert_array_equal(correct.numpy(), [1, 0])


def test_errors():
    scores = np.zeros((5, 10), np.float32)
    with pytest.raises(
        ValueError, match=r"^\[accuracy\] scores has shape \(10,\), expected 2 dimensions: \(N, K\)"
    ):
        ops.accuracy(scores[0], np.zeros(5, np.int64))
    with pytest.raises(ValueError, match=r"^\[accuracy\] target has shape \(4,\), expected \(5,\)"):
        ops.accuracy(scores, np.zeros(4, np.int64))
    with pytest.raises(ValueError, match=r"^\[accuracy\] target has shape \(5, 1\), expected "):
        ops.accuracy(scores, np.zeros((5, 1), np.float32))
