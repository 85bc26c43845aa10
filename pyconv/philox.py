"""Philox draws on the host, keyed by seed, purpose, epoch and position (csrc/philox.h)."""

import math

import numpy as np

from pyconv import _core
from pyconv.arguments import integer
from pyconv.arguments import seed as seed_of

_MOST_WORDS = 2**34  # of one stream: blocks of 4, numbered by 32 bits


def to_rng_state(seed, epoch=0, step=0, op="rng"):
    """Return the uint32 (4,) state that ops with randomness read: seed low, seed high, epoch, step.

    Raises, in the name of `op`, ValueError for a seed outside [0, 2**64), or an epoch or step outside
    [0, 2**32), and TypeError for what is no integer.
    """
    seed = seed_of(seed, op)
    epoch, step = (integer(v, n, op, least=0, most=2**32 - 1) for v, n in ((epoch, "epoch"), (step, "step")))
    return state_of(seed, epoch, step)


def state_of(seed, epoch, step):
    """Return what `to_rng_state` does of numbers that are known to be in range: for each training step."""
    return np.array([seed & 0xFFFFFFFF, seed >> 32, epoch, step], np.uint32)


def words(count, *, seed, purpose, epoch=0, step=0):
    """Return `count` random uint32 words, the first ones of the stream that the key names."""
    to_rng_state(seed, epoch, step)  # for its checks
    count = integer(count, "count", "rng", least=0, most=_MOST_WORDS)
    blocks = _core.philox(seed, purpose, epoch=epoch, step=step, blocks=-(-count // 4))
    return blocks.numpy().reshape(-1)[:count]


def uniform(shape, *, seed, purpose, epoch=0, step=0):
    """Return float32 numbers in [0, 1): the top 24 bits of each word."""
    draws = words(math.prod(shape), seed=seed, purpose=purpose, epoch=epoch, step=step)
    return ((draws >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)).reshape(shape)


def permutation(n, *, seed, epoch):
    """Return a random order of 0 ... n - 1, int32: the same for the same seed and epoch.

    The order of `n` keys of 64 bits, so that ties are out of the question for any data set.
    """
    keys = words(2 * n, seed=seed, purpose=_core.PHILOX_SHUFFLE, epoch=epoch).view(np.uint64)
    return np.argsort(keys, kind="stable").astype(np.int32)
