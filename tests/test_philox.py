"""The host's draws. The cipher itself is held to Random123's known answers (kat_vectors, philox4x32 10)."""

import numpy as np
import pytest

from pyconv import _core, philox


def test_known_answers():
    # counter {block, purpose, epoch, step} and key {seed low, seed high} of the known answers.
    zeros = _core.philox(0, 0).numpy()
    np.testing.assert_array_equal(zeros, [[0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]])
    ones = _core.philox(2**64 - 1, 2**32 - 1, epoch=2**32 - 1, step=2**32 - 1, first=2**32 - 1).numpy()
    np.testing.assert_array_equal(ones, [[0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]])
    digits = _core.philox(
        0x299F31D0A4093822, 0x85A308D3, epoch=0x13198A2E, step=0x03707344, first=0x243F6A88
    ).numpy()
    np.testing.assert_array_equal(digits, [[0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]])


def test_state():
    state = philox.to_rng_state(2**40 + 7, 3, 5)
    assert state.dtype == np.uint32
    assert state.tolist() == [7, 256, 3, 5]


@pytest.mark.parametrize(
    ("seed", "epoch", "step"), [(-1, 0, 0), (2**64, 0, 0), (0, -1, 0), (0, 2**32, 0), (0, 0, -1)]
)
def test_state_out_of_range(seed, epoch, step):
    with pytest.raises(ValueError, match=r"\[rng\] (seed|epoch|step) is"):
        philox.to_rng_state(seed, epoch, step)


@pytest.mark.parametrize("n", [0, 1, 2, 5, 1000])
def test_permutation(n):
    order = philox.permutation(n, seed=1, epoch=0)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_permutation_keys():
    order = philox.permutation(100, seed=1, epoch=0)
    np.testing.assert_array_equal(order, philox.permutation(100, seed=1, epoch=0))
    assert (order != philox.permutation(100, seed=1, epoch=1)).any()
    assert (order != philox.permutation(100, seed=2, epoch=0)).any()
    assert (order != philox.permutation(100, seed=1 + 2**32, epoch=0)).any()


def test_permutation_is_uniform():
    # 1200 orders of 4: each of the 24 is expected 50 times, +- 7.
    orders = [tuple(philox.permutation(4, seed=9, epoch=epoch)) for epoch in range(1200)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 50) ** 2 / 50).sum() < 60  # chi-square, 23 degrees of freedom: p < 1e-4


def test_uniform():
    draws = philox.uniform((1000, 3), seed=0, purpose=_core.PHILOX_DATA)
    assert draws.shape == (1000, 3)
    assert draws.dtype == np.float32
    assert draws.min() >= 0
    assert draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.02
    prefix = philox.uniform((7,), seed=0, purpose=_core.PHILOX_DATA)
    np.testing.assert_array_equal(draws.reshape(-1)[:7], prefix)
