"""Images made by gradient ascent: each part's gradient, and what the whole reaches."""

import numpy as np
import pytest
from inspect_networks import chain, nested

from pyconv import inspect
from pyconv.inspect.pictures import Fourier, Pixels, Warp, resized
from pyconv.inspect.probe import Probe


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (6, 5), (1, 4)])
@pytest.mark.parametrize("kind", [Fourier, Pixels])
@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_of_parametrisations(rng, kind, size, channels):
    """The map is linear: its gradient is the adjoint."""
    picture = kind((2, *size, channels), rng)
    origin = picture.images() * 1
    dimages, step = rng.standard_normal(origin.shape), rng.standard_normal(picture.values.shape)
    gradient = picture.gradient(dimages)
    picture.values = picture.values + step
    change = (dimages * (picture.images() - origin)).sum()
    assert (gradient * step).sum() == pytest.approx(change, rel=1e-9)


def test_the_gradient_of_a_warp(rng):
    warp = Warp((7, 9), 0.3, 1.1, (0.7, -1.2))
    images, dimages = rng.standard_normal((2, 2, 7, 9, 3))
    assert (warp(images) * dimages).sum() == pytest.approx((images * warp.gradient(dimages)).sum(), rel=1e-9)
    np.testing.assert_allclose(Warp((7, 9), 0, 1, (0, 0))(images), images)
    np.testing.assert_allclose(Warp((7, 9), 0, 1, (1, 0))(images)[:, :-1], images[:, 1:])


def test_resized(rng):
    images = rng.standard_normal((2, 6, 8, 3))
    np.testing.assert_allclose(resized(images, 6, 8), images)
    np.testing.assert_allclose(resized(np.ones((1, 5, 7, 1)), 12, 3), np.ones((1, 12, 3, 1)))
    np.testing.assert_allclose(resized(images, 3, 4).mean((1, 2)), images.mean((1, 2)), atol=0.15)


@pytest.mark.parametrize("parametrisation", ["fourier", "pixel"])
@pytest.mark.parametrize(
    ("layer", "of"),
    [(None, [1, 3]), ("conv2d_1", [0, 5]), ("conv2d", [(3, 4, 2)]), ("conv2d_1", [(3, 4, 2)])],
)
def test_it_excites_what_it_is_asked_to(backend, rng, parametrisation, layer, of):
    model = chain()
    options = {"steps": 30, "parametrisation": parametrisation, "seed": 4}
    images = inspect.maximise(model, of, layer, **options)
    assert images.shape == (len(of), *model.input_shape)
    assert images.min() >= 0
    assert images.max() <= 1
    noise = inspect.maximise(model, of, layer, **{**options, "steps": 0})

    def reached(images):
        if layer is None:
            probe = Probe(model, images.shape, gradient_of=Probe.SCORES)
            probe.values(images)
            return probe.scores()[range(len(of)), of]
        maps = inspect.features(model, images, layer)[layer]
        return np.array(
            [
                maps[(i, *one)] if isinstance(one, tuple) else maps[i, ..., one].mean()
                for i, one in enumerate(of)
            ]
        )

    assert (reached(images) > reached(noise)).all()
    np.testing.assert_array_equal(images, inspect.maximise(model, of, layer, **options))


def test_a_channel_that_is_silent_at_first():
    """ReLU gives 0, and so does its gradient: what lies below is asked."""
    model = chain()
    layer = model.get_layer("conv2d_1")
    layer.bias.assign(np.full(8, -0.8))
    noise = inspect.maximise(model, 0, "conv2d_1", steps=0)
    assert inspect.features(model, noise, "conv2d_1")["conv2d_1"][..., 0].max() == 0
    made = inspect.maximise(model, 0, "conv2d_1", steps=100, values=(-3, 3))
    assert inspect.features(model, made, "conv2d_1")["conv2d_1"][..., 0].max() > 0


def test_other_sizes_values_and_smoothness():
    model = nested()
    images = inspect.maximise(model, 2, "residual", steps=5, size=(20, 16), values=(-1, 2))
    assert images.shape == (1, 20, 16, 3)
    assert images.min() >= -1
    assert images.max() <= 2
    rough, smooth = (
        inspect.maximise(model, 2, "residual", steps=40, parametrisation="pixel", total_variation=tv)
        for tv in (0, 10)
    )
    assert np.abs(np.diff(smooth, axis=1)).mean() < 0.5 * np.abs(np.diff(rough, axis=1)).mean()


def test_deep_dream(backend, rng):
    model = chain()
    x = rng.uniform(0, 1, (2, 20, 26, 3)).astype(np.float32)
    options = {"octaves": 2, "steps": 6, "step": 0.05, "jitter": 2}
    dreamt = inspect.deep_dream(model, x, "conv2d_1", **options)
    assert dreamt.shape == x.shape
    assert dreamt.min() >= -1e-5
    assert dreamt.max() <= 1 + 1e-5
    before, after = (
        np.square(inspect.features(model, one, "conv2d_1")["conv2d_1"]).sum() for one in (x, dreamt)
    )
    assert after > 1.3 * before
    np.testing.assert_array_equal(dreamt, inspect.deep_dream(model, x, "conv2d_1", **options))
    of_one = inspect.deep_dream(model, x, "conv2d_1", 3, **options)
    assert not np.array_equal(of_one, dreamt)
    np.testing.assert_array_equal(inspect.deep_dream(model, x, "conv2d_1", **{**options, "steps": 0}), x)


def test_errors():
    model, x = chain(), np.zeros((1, 12, 12, 3))
    for call, message in (
        (lambda: inspect.maximise(model, []), r"\[maximise\] of is an empty list"),
        (lambda: inspect.maximise(model, 4), r"\[maximise\] of is 4"),
        (
            lambda: inspect.maximise(model, (1, 2), "conv2d"),
            r"\[maximise\] of has 2 numbers, expected 1 or 3",
        ),
        (lambda: inspect.maximise(model, 0, values=(1, 0)), r"\[maximise\] values is \(1, 0\)"),
        (
            lambda: inspect.maximise(model, 0, parametrisation="cppn"),
            r"\[maximise\] parametrisation is 'cppn'",
        ),
        (lambda: inspect.deep_dream(model, x, "conv2d", 16), r"\[deep_dream\] channel is 16"),
        (lambda: inspect.deep_dream(model, x, "conv2d", octaves=30), r"\[deep_dream\] octaves is 30"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()
