import numpy as np
import pytest
import references

from pyconv import _core, philox

ONES = 2**32 - 1

# Random123's known answers (kat_vectors, philox4x32 10): counter, key, result.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_known_answers(counter, key, result):
    block, purpose, epoch, step = counter
    words = _core.philox(key[1] << 32 | key[0], purpose, epoch=epoch, step=step, first=block)
    np.testing.assert_array_equal(words.numpy(), [result])
    np.testing.assert_array_equal(references.philox(*counter, *key), result)


def test_blocks_follow_the_reference():
    words = _core.philox(0x123456789ABCDEF0, _core.PHILOX_DATA, epoch=3, step=4, first=5, blocks=7).numpy()
    assert words.dtype == np.uint32
    expected = [references.philox(5 + i, _core.PHILOX_DATA, 3, 4, 0x9ABCDEF0, 0x12345678) for i in range(7)]
    np.testing.assert_array_equal(words, expected)


def test_purposes_are_apart():
    """A layer's or parameter's place, up to 2^24, is added to a purpose."""
    names = ("WEIGHTS", "SHUFFLE", "AUGMENT", "DROPOUT", "DATA")
    purposes = [getattr(_core, f"PHILOX_{name}") for name in names]
    assert sorted(p >> 24 for p in purposes) == [1, 2, 3, 4, 5]
    assert all(p & 0xFFFFFF == 0 for p in purposes)


def test_no_blocks():
    assert _core.philox(1, 2, blocks=0).shape == (0, 4)
    with pytest.raises(ValueError, match=r"^\[philox\] blocks is -1, expected at least 0"):
        _core.philox(1, 2, blocks=-1)


# ---- pyconv.philox: the host's draws


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
