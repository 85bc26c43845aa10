import numpy as np
import pytest

from pyconv.utils import to_categorical


@pytest.mark.parametrize("labels", [[0, 2, 1], [[0], [2], [1]], np.array([0, 2, 1], np.uint8)])
def test_to_categorical(labels):
    one_hot = to_categorical(labels)
    assert one_hot.dtype == np.float32
    assert np.array_equal(one_hot, np.eye(3)[[0, 2, 1]])


def test_num_classes():
    assert np.array_equal(to_categorical([1], 4), [[0, 1, 0, 0]])
    assert to_categorical([], 10).shape == (0, 10)
    assert to_categorical([]).shape == (0, 0)
    assert to_categorical([[0, 1], [1, 1]]).shape == (2, 2, 2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([3], r"\[to_categorical\] y has labels from 3 to 3, expected \[0, 3\)"),
        ([-1, 2], r"\[to_categorical\] y has labels from -1 to 2, expected \[0, 3\)"),
        ([0.5], r"\[to_categorical\] y holds fractions"),
    ],
)
def test_refuses(labels, message):
    with pytest.raises(ValueError, match=message):
        to_categorical(labels, 3)
