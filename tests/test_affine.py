import numpy as np
import pytest
import references
from checks import assert_close, normal, tensor
from hypothesis import given
from hypothesis import strategies as st

from pyconv import _core, ops

IDENTITY = np.float32([1, 0, 0, 0, 1, 0])
FILL_MODES = ("nearest", "constant", "reflect")
SHAPES = [(1, 1, 1, 1), (3, 8, 8, 3), (2, 5, 9, 5), (4, 32, 32, 3), (1, 7, 67, 17), (2, 6, 1, 4)]


def matrices(rng, N, reach=1.0):
    """Near enough to the identity that most pixels stay inside, far enough that many do not."""
    return (IDENTITY + reach * normal(rng, N, 6) * [0.4, 0.4, 3, 0.4, 0.4, 3]).astype(np.float32)


def assert_warped(y, source, matrix, **keywords):
    """Coordinates have float32's rounding errors, which cost a pixel that much of its contrast."""
    expected = references.affine(source, matrix, **keywords)
    H, W = source.shape[1:3]
    reach = np.abs(matrix.astype(np.float64)) @ [H, W, 1, H, W, 1]
    contrast = np.ptp(np.append(source, keywords.get("fill_value", 0.0)).astype(np.float64))
    assert y.dtype == np.float32
    np.testing.assert_allclose(
        y, expected, rtol=0, atol=4 * np.finfo(np.float32).eps * reach.max() * contrast
    )


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_random_warps(backend, rng, shape, fill_mode):
    matrix = matrices(rng, shape[0])
    keywords = {"fill_mode": fill_mode, "fill_value": 2.5}
    source = normal(rng, *shape)
    assert_warped(ops.affine(source, matrix, **keywords), source, matrix, **keywords)
    pixels = rng.integers(0, 256, shape, np.uint8)
    assert_warped(ops.affine(pixels, matrix, **keywords), pixels, matrix, **keywords)


@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 70)),
    channels=st.sampled_from([1, 2, 3, 4, 5, 17]),
    fill_mode=st.sampled_from(FILL_MODES),
    reach=st.sampled_from([0.1, 1.0, 20.0]),
    seed=st.integers(0, 1000),
)
def test_any_size(backend, size, channels, fill_mode, reach, seed):
    rng = np.random.default_rng(seed)
    source, matrix = normal(rng, 2, *size, channels), matrices(rng, 2, reach)
    assert_warped(ops.affine(source, matrix, fill_mode=fill_mode), source, matrix, fill_mode=fill_mode)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_whole_pixels_are_exact(backend, rng, fill_mode):
    """The identity, flips, and shifts by whole pixels move pixels without changing them."""
    source = normal(rng, 1, 4, 5, 3)
    fill = {"fill_mode": fill_mode, "fill_value": 7.0}
    np.testing.assert_array_equal(ops.affine(source, IDENTITY[None], **fill), source)
    flips = np.float32([[-1, 0, 3, 0, -1, 4]])
    np.testing.assert_array_equal(ops.affine(source, flips, **fill), source[:, ::-1, ::-1])
    down = ops.affine(source, np.float32([[1, 0, -3, 0, 1, 0]]), **fill)
    first = {"nearest": source[:, [0, 0, 0]], "constant": 7.0, "reflect": source[:, [2, 1, 0]]}[fill_mode]
    np.testing.assert_array_equal(down[:, 3], source[:, 0])
    np.testing.assert_array_equal(down[:, :3], np.broadcast_to(first, (1, 3, 5, 3)))


def test_half_a_pixel_is_the_mean(backend):
    source = np.float32([0, 2, 6, 10]).reshape(1, 1, 4, 1)
    half = np.float32([[1, 0, 0, 0, 1, 0.5]])
    expected = {"nearest": [1, 4, 8, 10], "constant": [1, 4, 8, 7], "reflect": [1, 4, 8, 10]}
    for fill_mode, row in expected.items():
        y = ops.affine(source, half, fill_mode=fill_mode, fill_value=4.0)
        np.testing.assert_array_equal(y.squeeze(), row)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_far_away(backend, fill_mode):
    """No coordinate, however large, is read outside the image."""
    source = np.ones((1, 4, 5, 3), np.float32)
    for distance in (1e5, -1e5, 1e9, -1e9, 3e38, np.inf, -np.inf):
        y = ops.affine(
            source, np.float32([[1, 0, distance, 0, 1, -distance]]), fill_mode=fill_mode, fill_value=1.0
        )
        assert y.shape == source.shape
        if np.isfinite(distance):
            np.testing.assert_allclose(y, 1, rtol=1e-6)


def test_nan_stays_in_its_image(backend):
    source, matrix = np.ones((2, 4, 5, 3), np.float32), np.tile(IDENTITY, (2, 1))
    matrix[1, 2] = np.nan
    y = ops.affine(source, matrix)
    np.testing.assert_array_equal(y[0], 1)
    assert np.isnan(y[1]).all()


def test_index_scale_and_shift(backend, rng):
    source, index = rng.integers(0, 256, (5, 6, 7, 3), np.uint8), np.array([3, 3, 0, 4])
    matrix, scale, shift = matrices(rng, 4), normal(rng, 3), normal(rng, 3)
    y = ops.affine(source, matrix, index, scale=scale, shift=shift, fill_mode="constant", fill_value=128.0)
    warped = references.affine(source[index], matrix, fill_mode="constant", fill_value=128.0)
    np.testing.assert_allclose(y, scale * warped + shift, rtol=0, atol=2e-2 * np.abs(scale).max())
    identity = ops.affine(source, np.tile(IDENTITY, (4, 1)), index, scale=scale, shift=shift)
    assert_close(identity, scale * source[index].astype(np.float64) + shift)


def test_output_is_overwritten(backend, rng):
    source, y = normal(rng, 2, 4, 5, 3), tensor(np.full((2, 4, 5, 3), np.nan, np.float32))
    _core.affine(tensor(source), tensor(np.tile(IDENTITY, (2, 1))), y=y)
    np.testing.assert_array_equal(y.numpy(), source)


def test_errors_of_affine():
    source, matrix = np.zeros((5, 4, 4, 3), np.float32), np.zeros((2, 6), np.float32)
    with pytest.raises(ValueError, match=r"^\[affine\] matrix has shape \(2, 5\), expected \(2, 6\)"):
        ops.affine(source, matrix[:, :5])
    with pytest.raises(ValueError, match=r"^\[affine\] index has shape \(3,\), expected \(2,\)"):
        ops.affine(source, matrix, np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=r"^\[affine\] index\[1\] is 5, expected .*\[0, 5\)"):
        ops.affine(source, matrix, np.array([0, 5]))
    with pytest.raises(
        ValueError, match=r"^\[affine\] fill_mode is 'wrap', expected 'nearest', 'constant' or 'reflect'"
    ):
        ops.affine(source, matrix, fill_mode="wrap")
    with pytest.raises(ValueError, match=r"^\[affine\] source has 5 examples, expected at least 6"):
        ops.affine(source, np.zeros((6, 6), np.float32))


# ---- random_affine

RANGES = {"rotation_range": 45.0, "height_shift_range": 0.1, "width_shift_range": 0.2}
FLIPS = {"horizontal_flip": True, "vertical_flip": True}


@pytest.mark.parametrize("changes", [{}, RANGES, FLIPS, RANGES | FLIPS, {"rotation_range": 180.0}])
def test_keras_transform_of_philox(backend, changes):
    """The rotation about the centre and the shift, then flips, of the words that the image's number draws."""
    index, size = np.array([3, 0, 40_000, 3, 7, 2**31 - 1]), {"height": 32, "width": 24}
    matrix = ops.random_affine(index, **size, **changes, seed=2**40 + 5, epoch=9)
    words = references.philox(index, _core.PHILOX_AUGMENT, 9, 0, 5, 256)
    expected = [references.random_affine_matrix(w, **size, **changes) for w in words]
    assert_close(matrix, np.array(expected))


def test_no_range_no_change(backend):
    np.testing.assert_array_equal(
        ops.random_affine(np.arange(4), height=9, width=8, seed=1), np.tile(IDENTITY, (4, 1))
    )


def test_draws_fill_their_ranges(backend):
    matrix = ops.random_affine(np.arange(4000), height=32, width=32, seed=1, rotation_range=30.0)
    angle = np.degrees(np.arctan2(matrix[:, 3], matrix[:, 0]))
    np.testing.assert_allclose(np.quantile(angle, [0, 0.25, 0.5, 0.75, 1]), [-30, -15, 0, 15, 30], atol=1.5)
    flips = ops.random_affine(np.arange(4000), height=32, width=32, seed=0, **FLIPS)
    both = (flips[:, 0] < 0) + 2 * (flips[:, 4] < 0)
    np.testing.assert_allclose(np.bincount(both) / 4000, 0.25, atol=0.03)


def test_the_step_does_not_count(backend):
    """Example by example, epoch by epoch: a resumed epoch warps as the whole one would."""
    index = tensor(np.arange(5, dtype=np.int32))
    draws = [
        _core.random_affine(tensor(np.array([1, 0, 2, step], np.uint32)), index, height=9, width=9, **RANGES)
        for step in (0, 7)
    ]
    np.testing.assert_array_equal(draws[0].numpy(), draws[1].numpy())
    other = ops.random_affine(np.arange(5), height=9, width=9, **RANGES, seed=1, epoch=3)
    assert (other != draws[0].numpy()).any(1).all()


def test_errors_of_random_affine():
    size = {"height": 9, "width": 9, "seed": 0}
    for name in ("rotation_range", "height_shift_range", "width_shift_range"):
        with pytest.raises(ValueError, match=rf"^\[random_affine\] {name} is -1, expected at least 0"):
            ops.random_affine(np.arange(2), **size, **{name: -1.0})
    with pytest.raises(
        ValueError, match=r"^\[random_affine\] index has shape \(2, 1\), expected 1 dimensions"
    ):
        ops.random_affine(np.zeros((2, 1), np.int64), **size)
