import numpy as np
import pytest

from pyconv import _core, initializers
from pyconv.serialization import deserialize, serialize

KERNEL = (3, 3, 64, 128)  # fan_in 576, fan_out 1152
GLOROT, HE = 2 / (576 + 1152), 2 / 576


def draw(name, shape=KERNEL, seed=7, purpose=_core.PHILOX_WEIGHTS):
    return initializers.get(name)(shape, seed=seed, purpose=purpose)


def test_constants():
    assert (draw("zeros", (2, 3)) == 0).all()
    assert (draw("ones", (2, 3)) == 1).all()
    values = initializers.Constant(0.1)((4,), seed=0, purpose=0)
    assert values.dtype == np.float32
    assert (values == np.float32(0.1)).all()


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((), (1, 1)), ((5,), (5, 5)), ((6, 4), (6, 4)), (KERNEL, (576, 1152)), ((1, 1, 0, 3), (1, 3))],
)
def test_fans(shape, fans):
    assert initializers.fans(shape) == fans


@pytest.mark.parametrize(
    ("name", "variance", "largest"),
    [
        ("glorot_uniform", GLOROT, np.sqrt(3 * GLOROT)),
        ("he_uniform", HE, np.sqrt(3 * HE)),
        ("glorot_normal", GLOROT, 2 * np.sqrt(GLOROT) / 0.8796256610),
        ("he_normal", HE, 2 * np.sqrt(HE) / 0.8796256610),
    ],
)
def test_distribution(name, variance, largest):
    values = draw(name).astype(np.float64)
    assert values.shape == KERNEL
    deviation = np.sqrt(variance / values.size)
    assert abs(values.mean()) < 4 * deviation
    assert values.var() == pytest.approx(variance, rel=0.02)
    assert 0.99 * largest < np.abs(values).max() <= largest * (1 + 1e-6)


def test_truncated_normal_fits_its_distribution_function():
    from statistics import NormalDist

    values = np.sort(draw("he_normal").astype(np.float64).ravel()) / np.sqrt(HE) * 0.8796256610
    normal = NormalDist()
    tail = normal.cdf(-2)
    for point in np.linspace(-1.9, 1.9, 20):
        expected = (normal.cdf(point) - tail) / (1 - 2 * tail)
        assert np.searchsorted(values, point) / values.size == pytest.approx(expected, abs=0.008)


@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal"])
def test_draws_depend_on_seed_and_purpose_alone(name):
    first = draw(name)
    assert first.dtype == np.float32
    assert np.array_equal(first, draw(name))
    assert not np.array_equal(first, draw(name, seed=8))
    assert not np.array_equal(first, draw(name, purpose=_core.PHILOX_WEIGHTS + 1))
    assert len(np.unique(first)) > 0.98 * first.size


@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal"])
@pytest.mark.parametrize("shape", [(0, 3), (1,), (1, 1, 1, 3)])
def test_small_shapes(name, shape):
    assert draw(name, shape).shape == shape


@pytest.mark.parametrize("name", initializers.CLASSES)
def test_config_round_trip(name):
    initializer = initializers.get(name)
    again = deserialize(serialize(initializer))
    assert type(again) is type(initializer)
    assert repr(again) == repr(initializer)


def test_get():
    constant = initializers.Constant(2.0)
    assert initializers.get(constant) is constant
    assert initializers.get(None) is None
    with pytest.raises(ValueError, match=r"\[initializer\] unknown initializer 'glorot', expected one of"):
        initializers.get("glorot")


def test_parts_of_a_large_array_are_one_stream(monkeypatch):
    whole = draw("he_uniform", (7, 11))
    monkeypatch.setattr(initializers, "_CHUNK", 8)
    assert np.array_equal(draw("he_uniform", (7, 11)), whole)
