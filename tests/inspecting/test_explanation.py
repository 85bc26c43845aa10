import numpy as np
import pytest
from inspect_networks import branched, chain, nested, odd

from pyconv import inspect, layers
from pyconv.inspect.probe import Probe

NETWORKS = [chain, branched, nested, odd]


def explain_some(network, rng, count):
    """Explain so many units of every layer, and of those inside others."""
    model = network()
    for path, layer in model.network.walk():
        x = rng.standard_normal(model.input_shape).astype(np.float32)
        try:
            output = inspect.features(model, x[None], path)[path][0]
        except ValueError:  # of an Activation, which is the layer inside
            continue
        for _ in range(count):
            index = tuple(int(rng.integers(size)) for size in output.shape)
            found = inspect.explain(model, x, path, index)
            assert found.value == pytest.approx(output[index], rel=1e-5, abs=1e-6)
            last = found.steps[-1].value
            # The sum of many products, each rounded: to their size, not the sum's.
            largest = max(
                (np.abs(part).max() for step in found.steps for part in step.parts.values() if np.size(part)),
                default=1,
            )
            assert last == pytest.approx(output[index], rel=1e-4, abs=2e-5 * max(1, largest)), (path, index)
            for step in found.steps:
                if step.terms:
                    assert step.value == pytest.approx(sum(np.sum(step.parts[term]) for term in step.terms))
        yield type(layer)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_steps_lead_to_the_value(rng, network):
    list(explain_some(network, rng, 4))


@pytest.mark.slow
def test_a_thousand_units_of_every_layer_type(rng):
    seen = {kind for network in NETWORKS for kind in explain_some(network, rng, 1000)}
    assert seen >= {
        cls
        for cls in (getattr(layers, name) for name in layers.__all__)
        if isinstance(cls, type)
        and issubclass(cls, layers.Layer)
        and cls not in (layers.Layer, layers.Activation, layers.Normalization)
    }


def test_what_a_convolution_says(backend, rng):
    model = odd()
    x = rng.standard_normal(model.input_shape).astype(np.float32)
    found = inspect.explain(model, x, "conv2d", (0, 11, 5))
    convolution, gelu = found.steps
    assert (convolution.name, gelu.name) == ("convolution", "gelu")
    values, kernel = convolution.parts["values"], convolution.parts["kernel"]
    assert values.shape == kernel.shape == (3, 2, 1)
    assert (values[0] == 0).all()  # a row of padding above
    np.testing.assert_array_equal(values[1:, :, 0], x[0:2, 9:11, 2])
    np.testing.assert_array_equal(kernel, model.layers[0].kernel.numpy()[..., 5])
    assert found.value == pytest.approx(gelu.value, rel=1e-4, abs=1e-6)


def test_what_a_pooling_says(rng):
    model = chain()
    x = rng.standard_normal(model.input_shape).astype(np.float32)
    (step,) = inspect.explain(model, x, "max_pooling2d", (2, 3, 4)).steps
    probe = Probe(model, (1, *x.shape), ["batch_normalization_1"])
    probe.values(x[None])
    window = probe.value("batch_normalization_1")[0, 4:6, 6:8, 4]
    np.testing.assert_allclose(step.parts["values"], window, rtol=1e-5)
    assert step.parts["winner"] == np.unravel_index(window.argmax(), (2, 2))


def test_errors():
    model, x = chain(), np.zeros((12, 12, 3))
    for call, message in (
        (
            lambda: inspect.explain(model, x, "conv2d", 3),
            r"\[explain\] index has 1 numbers, layer conv2d gives",
        ),
        (lambda: inspect.explain(model, x, "conv2d", (12, 0, 0)), r"\[explain\] index is 12"),
        (
            lambda: inspect.explain(model, x[None].repeat(2, 0), "conv2d", (0, 0, 0)),
            r"\[explain\] x has 2 images",
        ),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()
