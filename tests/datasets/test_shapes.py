"""The drawn data set: format, determinism, and that it is neither trivial nor a riddle."""

import hashlib

import numpy as np
import pytest

from pyconv.datasets import shapes


@pytest.fixture(scope="module")
def data():
    return shapes.load_data(train=1500, test=500)


def test_format(data):
    (x_train, y_train), (x_test, y_test) = data
    assert x_train.shape == (1500, 32, 32, 3)
    assert y_train.shape == (1500, 1)
    assert x_test.shape == (500, 32, 32, 3)
    assert y_test.shape == (500, 1)
    assert {array.dtype for array in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    assert np.bincount(y_train[:, 0]).tolist() == [150] * 10
    assert len(shapes.CLASS_NAMES) == len(shapes._SHAPES) == 10


def test_same_bits_everywhere():
    (x_train, _), (x_test, _) = shapes.load_data(train=40, test=20, seed=3)
    digest = hashlib.sha256(x_train.tobytes() + x_test.tobytes()).hexdigest()
    assert digest == "9d2310e04726c6c8113b60461b6d3b6ec130c9716620c8377a7879e389777774"


def test_fewer_images_are_the_first_ones(data):
    (x_train, _), (x_test, _) = shapes.load_data(train=513, test=7)
    np.testing.assert_array_equal(x_train, data[0][0][:513])
    np.testing.assert_array_equal(x_test, data[1][0][:7])


def test_seeds_and_splits_differ(data):
    (x_train, _), (x_test, _) = shapes.load_data(train=100, test=100, seed=1)
    assert (x_train != x_test).mean() > 0.9
    assert (x_train != data[0][0][:100]).mean() > 0.9
    assert len(np.unique(data[0][0].reshape(1500, -1), axis=0)) == 1500


@pytest.mark.parametrize("sizes", [(0, 0), (1, 0), (0, 501)])
def test_odd_sizes(sizes):
    (x_train, y_train), (x_test, y_test) = shapes.load_data(*sizes)
    assert (len(x_train), len(x_test)) == sizes
    assert (len(y_train), len(y_test)) == sizes


@pytest.mark.parametrize(
    ("arguments", "message"), [({"train": -1}, "train is -1"), ({"seed": -1}, "seed is -1")]
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        shapes.load_data(**arguments)


def test_a_shape_covers_its_centre_and_no_corner():
    # A point inside each shape, the four corners of its square outside; a ring has its hole.
    inside = [(0, 0), (0.7, 0), (-0.8, 0), (0, 0.4), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)]
    corners = np.array([(-1.2, -1.2), (1.2, -1.2), (-1.2, 1.2), (1.2, 1.2)], np.float32).T
    for shape, point in zip(shapes._SHAPES, inside, strict=True):
        assert shape(*np.array(point, np.float32)) < 0, shape
        assert (shape(*corners) > 0).all(), shape
    assert shapes._ring(*np.zeros(2, np.float32)) > 0


def test_linear_models_stay_below_half(data):
    # Ridge regression on one-hot labels, in its dual form.
    (x_train, y_train), (x_test, y_test) = data
    flat = x_train.reshape(1500, -1) / 255.0 - 0.5
    targets = np.eye(10)[y_train[:, 0]]
    for ridge in (10, 1000):
        dual = np.linalg.solve(flat @ flat.T + ridge * np.eye(1500), targets)
        scores = (x_test.reshape(500, -1) / 255.0 - 0.5) @ (flat.T @ dual)
        assert (scores.argmax(1) == y_test[:, 0]).mean() < 0.4
