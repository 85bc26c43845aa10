"""Gradients against finite differences; the pictures' formulas against NumPy."""

import numpy as np
import pytest
from inspect_networks import branched, chain, nested

from pyconv import inspect

NETWORKS = [chain, branched, nested]


def scores(model, x):
    """What the model gives, below its softmax, float64."""
    y = model.predict(x).astype(np.float64)
    return np.log(y) if model.layers[-1].name.startswith(("softmax",)) or np.allclose(y.sum(1), 1) else y


def images(model, rng, n=3):
    return rng.standard_normal((n, *model.input_shape)).astype(np.float32)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_gradient_of_a_score(backend, rng, network):
    """Along random steps, against differences of the scores of two classes (a softmax hides their level)."""
    model = network()
    x = images(model, rng)
    gradient = inspect.gradient(model, x, 1) - inspect.gradient(model, x, np.full(len(x), 2))
    step = rng.standard_normal(x.shape).astype(np.float32)
    step *= 1e-2 / np.sqrt((step**2).sum((1, 2, 3), keepdims=True))
    ends = [scores(model, x + sign * step) for sign in (1, -1)]
    change = (ends[0] - ends[1])[:, 1] - (ends[0] - ends[1])[:, 2]
    np.testing.assert_allclose((gradient * step).sum((1, 2, 3)), change / 2, rtol=0.05, atol=2e-5)


def test_of_the_largest_score_by_default(rng):
    model = chain()
    x = images(model, rng)
    largest = model.predict(x).argmax(1)
    np.testing.assert_array_equal(inspect.gradient(model, x), inspect.gradient(model, x, largest))


@pytest.mark.parametrize("layer", ["conv2d_1", "residual/1", "dense"])
def test_the_gradient_of_a_layers_value(backend, rng, layer):
    model = nested() if layer.startswith("residual") else chain()
    x = images(model, rng, 2)
    of = 3 if layer == "dense" else (2, 1, 3)
    gradient = inspect.gradient(model, x, of, layer)
    step = rng.standard_normal(x.shape).astype(np.float32)
    step *= 1e-2 / np.linalg.norm(step[0])
    up, down = (inspect.features(model, x + sign * step, layer)[layer] for sign in (1, -1))
    index = (slice(None), of) if layer == "dense" else (slice(None), *of)
    change = (up.astype(np.float64) - down)[index] / 2
    np.testing.assert_allclose((gradient * step).sum((1, 2, 3)), change, rtol=0.05, atol=2e-5)
    if layer != "dense":  # a channel: the sum of its map
        gradient = inspect.gradient(model, x, 3, layer)
        change = (up.astype(np.float64) - down)[..., 3].sum((1, 2)) / 2
        np.testing.assert_allclose((gradient * step).sum((1, 2, 3)), change, rtol=0.05, atol=2e-4)


def test_saliency(backend, rng):
    model = chain()
    x = images(model, rng)
    expected = np.abs(inspect.gradient(model, x, 2)).max(-1)
    np.testing.assert_array_equal(inspect.saliency(model, x, 2), expected)
    smooth = inspect.saliency(model, x, 2, samples=4, seed=5)
    assert smooth.shape == expected.shape
    np.testing.assert_array_equal(smooth, inspect.saliency(model, x, 2, samples=4, seed=5))
    np.testing.assert_allclose(
        inspect.saliency(model, x, 2, samples=2, noise=0), expected, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(("network", "layer"), [(chain, None), (chain, "conv2d"), (nested, "residual")])
def test_grad_cam(backend, rng, network, layer):
    """Its two equations, with gradients of the maps by the layers that follow, one by one."""
    model = network()
    x = images(model, rng)
    name = layer or "conv2d_1"
    maps = inspect.features(model, x, name)[name].astype(np.float64)
    following = model.layers[[one.name for one in model.layers].index(name) + 1 :]

    def score(maps):
        for one in following:
            maps = one(maps.astype(np.float32))
        maps = maps.astype(np.float64)
        return (np.log(maps) if network is chain else maps)[:, [1, 2]]

    step, n = 1e-2, maps.shape[-1]
    shares = np.zeros((len(x), n))
    for k in range(n):  # the mean gradient over a map is the derivative along a constant
        moved = [maps + sign * step * (np.arange(n) == k) for sign in (1, -1)]
        ends = [score(one) for one in moved]
        shares[:, k] = (ends[0] - ends[1])[:, 0] / (2 * step) / (maps.shape[1] * maps.shape[2])
        if network is chain:  # what the softmax takes off all classes
            shares[:, k] -= (ends[0] - ends[1])[:, 1] / (2 * step) / (maps.shape[1] * maps.shape[2])
    raw = (shares[:, None, None] * maps).sum(-1)
    if network is chain:
        both = [_before_relu(model, x, of, layer) for of in (1, 2)]
        np.testing.assert_allclose(both[0] - both[1], raw, rtol=0.05, atol=5e-3)
    else:
        np.testing.assert_allclose(
            inspect.grad_cam(model, x, 1, layer), np.maximum(raw, 0), rtol=0.05, atol=5e-3
        )


def _before_relu(model, x, of, layer):
    """Grad-CAM's map with its negative part, of the same and of the negated score."""
    from pyconv.inspect.probe import Probe

    name = layer or "conv2d_1"
    probe = Probe(model, x.shape, [name], gradient_of=Probe.SCORES, with_respect_to=[name])
    weights = np.zeros(probe.weights_shape, np.float32)
    weights[:, of] = 1
    probe.gradients(x, weights)
    raw = (probe.gradient(name).mean((1, 2), keepdims=True) * probe.value(name)).sum(-1)
    np.testing.assert_allclose(
        inspect.grad_cam(model, x, of, layer), np.maximum(raw, 0), rtol=1e-5, atol=1e-6
    )
    return raw


def test_occlusion(backend, rng):
    model = nested()
    x = images(model, rng)
    fall = inspect.occlusion(model, x, 1, size=5, stride=4)
    assert fall.shape == (3, 3, 3)  # squares at 0, 4, 7
    covered = x.copy()
    covered[:, 7:12, 4:9] = x.mean((1, 2), keepdims=True)
    expected = model.predict(x)[:, 1] - model.predict(covered)[:, 1]
    np.testing.assert_allclose(fall[:, 2, 1], expected, rtol=1e-4, atol=1e-5)


def test_errors(rng):
    model, x = chain(), np.zeros((2, 12, 12, 3))
    for call, message in (
        (lambda: inspect.gradient(model, x, 9), r"\[gradient\] of is 9, expected classes from 0 to 3"),
        (
            lambda: inspect.gradient(model, x, [1, 2, 3]),
            r"\[gradient\] of is .*, expected a class or 2 of them",
        ),
        (
            lambda: inspect.gradient(model, x, (1, 2), "conv2d"),
            r"\[gradient\] of has 2 numbers, expected 1 or 3",
        ),
        (lambda: inspect.gradient(model, x, 99, "conv2d"), r"\[gradient\] of is 99"),
        (lambda: inspect.grad_cam(model, x, 1, "dense"), r"\[grad_cam\] layer dense has no maps"),
        (lambda: inspect.occlusion(model, x, size=13), r"\[occlusion\] size is 13"),
        (lambda: inspect.saliency(model, x, noise=-1), r"\[saliency\] noise is -1"),
        (
            lambda: inspect.gradient(model, x, 1, "activation/0"),
            r"\[inspect\] activation/0 works inside another",
        ),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()
