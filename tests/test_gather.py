import numpy as np
import pytest
from checks import assert_close, normal, tensor

from pyconv import _core, ops

SHAPES = [(1, 1), (5, 3), (7, 32, 32, 3), (4, 5, 17), (3, 2, 2, 33), (6, 1000), (2, 200, 113, 5)]


def sources(rng, shape):
    return normal(rng, *shape), rng.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_examples_are_copied(backend, rng, shape):
    for source in sources(rng, shape):
        index = rng.integers(0, shape[0], 9)
        y = ops.gather(source, index)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, source[index])


@pytest.mark.parametrize("shape", SHAPES)
def test_scale_and_shift(backend, rng, shape):
    index = rng.integers(0, shape[0], 9)
    scale, shift = normal(rng, shape[-1]), normal(rng, shape[-1])
    for source in sources(rng, shape):
        value = source[index].astype(np.float64)
        assert_close(ops.gather(source, index, scale=scale, shift=shift), scale * value + shift)
        assert_close(ops.gather(source, index, scale=scale), scale * value)
        assert_close(ops.gather(source, index, shift=shift), value + shift)


def test_every_byte(backend):
    source = np.arange(256, dtype=np.uint8).reshape(1, 256)
    np.testing.assert_array_equal(ops.gather(source), source)


def test_without_an_index_all_come_in_order(backend, rng):
    source = normal(rng, 5, 4, 3)
    np.testing.assert_array_equal(ops.gather(source), source)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64"])
def test_index_of_any_integer_dtype(backend, rng, dtype):
    source, index = normal(rng, 5, 4), np.array([4, 0, 4])
    np.testing.assert_array_equal(ops.gather(source, index.astype(dtype)), source[index])


def test_no_examples(backend, rng):
    assert ops.gather(normal(rng, 5, 4, 3), np.zeros(0, np.int64)).shape == (0, 4, 3)
    assert ops.gather(np.zeros((0, 4, 3), np.float32)).shape == (0, 4, 3)


def test_output_is_overwritten(backend, rng):
    source, y = normal(rng, 5, 4), tensor(np.full((2, 4), np.nan, np.float32))
    _core.gather(tensor(source), tensor(np.array([3, 1], np.int32)), y=y)
    np.testing.assert_array_equal(y.numpy(), source[[3, 1]])


def test_errors():
    source = np.zeros((5, 4, 3), np.float32)
    for index in (-1, 5):
        with pytest.raises(ValueError, match=rf"^\[gather\] index\[1\] is {index}, expected .*\[0, 5\)"):
            ops.gather(source, np.array([0, index]))
    with pytest.raises(
        ValueError, match=r"^\[gather\] index has shape \(1, 1\), expected 1 dimensions: \(N,\)"
    ):
        ops.gather(source, np.zeros((1, 1), np.int64))
    with pytest.raises(ValueError, match=r"^\[gather\] scale has shape \(4,\), expected \(3,\)"):
        ops.gather(source, scale=np.ones(4, np.float32))
    with pytest.raises(
        ValueError, match=r"^\[gather\] source has shape \(4,\), expected at least 2 dimensions"
    ):
        ops.gather(source[0, :, 0])
