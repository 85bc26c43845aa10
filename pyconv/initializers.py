"""Initial values of parameters. Every draw comes from Philox, keyed by the seed and the parameter."""

import math

import numpy as np

from pyconv import _core, arguments, names
from pyconv.arguments import integer, items, number
from pyconv.serialization import Configurable, find

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "Ones",
    "Zeros",
    "get",
]

# Standard deviation of a unit normal distribution truncated at two standard deviations.
_TRUNCATED_DEVIATION = 0.87962566103423978
_CHUNK = 1 << 22  # numbers drawn at a time; whole blocks of 4
_LARGEST = 3.4e38  # about what float32 holds


class Initializer(Configurable):
    """A rule for the initial values of a parameter."""

    settable = ()

    def __call__(self, shape, *, seed, purpose):
        """Return a float32 array; `seed` and `purpose` (PHILOX_WEIGHTS + its place) key the draw."""
        raise NotImplementedError(
            f"[{type(self).__name__}] an initializer defines __call__(self, shape, *, seed, purpose)"
        )


class Zeros(Initializer):
    """All 0."""

    def __call__(self, shape, *, seed=0, purpose=0):
        return np.zeros(_key(self, shape, seed, purpose)[0], np.float32)


class Ones(Initializer):
    """All 1."""

    def __call__(self, shape, *, seed=0, purpose=0):
        return np.ones(_key(self, shape, seed, purpose)[0], np.float32)


class Constant(Initializer):
    """All `value`."""

    def __init__(self, value=0.0):
        self.value = number(value, "value", "Constant", least=-_LARGEST, most=_LARGEST)

    def __call__(self, shape, *, seed=0, purpose=0):
        return np.full(_key(self, shape, seed, purpose)[0], self.value, np.float32)


class _VarianceScaling(Initializer):
    """Draws of mean 0 and variance `scale / fan`, which keeps the size of signals from layer to layer."""

    def _variance(self, fan_in, fan_out):
        raise NotImplementedError

    def _draw(self, count, variance, seed, purpose):
        raise NotImplementedError

    def __call__(self, shape, *, seed, purpose):
        shape, seed, purpose = _key(self, shape, seed, purpose)
        variance = self._variance(*fans(shape))
        return (
            self._draw(math.prod(shape), variance, seed, purpose)
            .reshape(shape)
            .astype(np.float32, copy=False)
        )


class _Glorot:
    def _variance(self, fan_in, fan_out):
        return 2 / (fan_in + fan_out)


class _He:
    def _variance(self, fan_in, fan_out):
        return 2 / fan_in


class _Uniform:
    def _draw(self, count, variance, seed, purpose):
        values, limit = np.empty(count, np.float32), math.sqrt(3 * variance)
        for start in range(0, count, _CHUNK):  # large arrays a part at a time: the steps are in float64
            part = values[start : start + _CHUNK]
            words = _core.philox(seed, purpose, first=start // 4, blocks=-(-part.size // 4)).numpy()
            part[:] = limit * (2 * _unit(words.reshape(-1)[: part.size]) - 1)
        return values


class _Normal:
    def _draw(self, count, variance, seed, purpose):
        return math.sqrt(variance) / _TRUNCATED_DEVIATION * _truncated_normal(count, seed, purpose)


class GlorotUniform(_Glorot, _Uniform, _VarianceScaling):
    """Uniform in +-sqrt(6 / (fan_in + fan_out)), as Keras. Glorot and Bengio, AISTATS 2010."""


class GlorotNormal(_Glorot, _Normal, _VarianceScaling):
    """Normal of variance 2 / (fan_in + fan_out), cut at two standard deviations, as Keras."""


class HeUniform(_He, _Uniform, _VarianceScaling):
    """Uniform in +-sqrt(6 / fan_in), as Keras. He et al., ICCV 2015 (https://arxiv.org/abs/1502.01852)."""


class HeNormal(_He, _Normal, _VarianceScaling):
    """Normal of variance 2 / fan_in, cut at two standard deviations, as Keras."""


def _key(initializer, shape, seed, purpose):
    """Return the arguments of a draw, checked: shape as a tuple, seed and purpose as integers."""
    op = type(initializer).__name__
    sizes = items(shape, "shape", op, "a tuple of sizes")
    shape = tuple(integer(size, "shape", op, least=0, most=2**31 - 1) for size in sizes)
    return shape, arguments.seed(seed, op), integer(purpose, "purpose", op, least=0, most=2**32 - 1)


def fans(shape):
    """Return (fan_in, fan_out) of a HWIO kernel, an (in, out) matrix or a vector."""
    if len(shape) < 2:
        fan = max(1, math.prod(shape))
        return fan, fan
    window = math.prod(shape[:-2])
    return max(1, window * shape[-2]), max(1, window * shape[-1])


def _unit(words):
    """Philox words as numbers in (0, 1)."""
    return (words + 0.5) * 2.0**-32


def _truncated_normal(count, seed, purpose):
    """Unit normals by the Box-Muller transform; the blocks that follow replace those beyond 2."""
    kept, missing, first = [], count, 0
    while missing > 0:
        blocks = missing // 3 + 1
        words = _core.philox(seed, purpose, first=first, blocks=blocks).numpy()
        radius = np.sqrt(-2 * np.log(_unit(words[:, :2])))
        angle = 2 * np.pi * _unit(words[:, 2:])
        normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(-1)
        kept.append(normal[np.abs(normal) <= 2][:missing])
        missing -= len(kept[-1])
        first += blocks
    return np.concatenate(kept) if kept else np.empty(0)


CLASSES = {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
}


def get(identifier):
    """Return the initializer that `identifier` (an instance, a Keras name, a config or None) means."""
    return find(identifier, CLASSES, Initializer, "[initializer] unknown initializer", "initializers")


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
