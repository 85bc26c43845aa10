import numpy as np
import pytest
from inspect_networks import chain, nested

from pyconv import inspect
from pyconv.utils import to_categorical


@pytest.fixture
def answered(rng):
    model = chain()
    x = rng.standard_normal((40, *model.input_shape)).astype(np.float32)
    return model, x, rng.integers(0, 4, 40), model.predict(x)


def test_confusion(answered):
    model, x, y, scores = answered
    expected = np.zeros((4, 4), int)
    for true, row in zip(y, scores, strict=True):
        expected[true, row.argmax()] += 1
    np.testing.assert_array_equal(inspect.confusion(model, x, y, batch_size=7), expected)
    np.testing.assert_array_equal(inspect.confusion(model, x, to_categorical(y, 4)), expected)


def test_mistakes(answered):
    model, x, y, scores = answered
    index, predicted, score = inspect.mistakes(model, x, y)
    assert set(index) == set(np.flatnonzero(scores.argmax(1) != y))
    np.testing.assert_array_equal(predicted, scores.argmax(1)[index])
    np.testing.assert_allclose(score, scores.max(1)[index], rtol=1e-5)
    assert (np.diff(score) <= 0).all()
    np.testing.assert_array_equal(inspect.mistakes(model, x, y, count=3)[0], index[:3])


def test_top_patches(answered):
    model, x, *_ = answered
    patches, index, place, value = inspect.top_patches(model, x, "conv2d_1", 5, count=6, batch_size=16)
    maps = inspect.features(model, x, "conv2d_1")["conv2d_1"][..., 5]
    np.testing.assert_allclose(value, np.sort(maps.max((1, 2)))[::-1][:6], rtol=1e-5)
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))  # two 3x3 convolutions: 5 x 5 pixels
    for patch, i, (row, column), v in zip(patches, index, place, value, strict=True):
        assert maps[i, row, column] == pytest.approx(v, rel=1e-5)
        np.testing.assert_array_equal(patch, padded[i, row : row + 5, column : column + 5])


def test_patches_of_bytes_keep_their_type(rng):
    model = nested()
    x = rng.integers(0, 256, (5, *model.input_shape)).astype(np.uint8)
    patches, *_ = inspect.top_patches(model, x, "residual", 0, count=9)
    assert patches.dtype == np.uint8
    assert len(patches) == 5


def test_errors(answered):
    model, x, y, _ = answered
    for call, message in (
        (lambda: inspect.confusion(model, x, y[:3]), r"\[confusion\] y has 3 rows, x has 40"),
        (lambda: inspect.mistakes(model, x, y, count=-1), r"\[mistakes\] count is -1"),
        (lambda: inspect.top_patches(model, x, "dense", 0), r"\[top_patches\] layer dense has no maps"),
        (lambda: inspect.top_patches(model, x, "conv2d", 16), r"\[top_patches\] channel is 16"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()
