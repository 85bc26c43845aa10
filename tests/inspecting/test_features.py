import numpy as np
import pytest
from inspect_networks import branched, chain, nested

from pyconv import inspect
from pyconv.engine.network import Network


@pytest.mark.parametrize("network", [chain, branched, nested])
def test_all_layers_one_by_one(backend, rng, network):
    """Each layer, called on what the ones before gave, gives the same: fusion passes nothing over."""
    model = network()
    x = rng.standard_normal((5, *model.input_shape)).astype(np.float32)
    found = inspect.features(model, x, batch_size=2)
    assert list(found) == [layer.name for layer in model.layers]
    values = [x]
    for layer, reads in model.network.nodes:
        given = [values[i] for i in reads]
        values.append(layer(given if layer.reads_several else given[0]))
    for value, node in list(zip(values[1:], model.network.nodes, strict=True))[::-1]:  # the first use wins
        expected = value
        first = next(i for i, other in enumerate(model.network.nodes) if other.layer is node.layer)
        if values[first + 1] is value:
            np.testing.assert_allclose(found[node.layer.name], expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found[model.layers[-1].name], model.predict(x), rtol=1e-3, atol=1e-4)


def test_layers_inside_another(backend, rng):
    model = nested()
    x = rng.standard_normal((3, *model.input_shape)).astype(np.float32)
    residual = model.get_layer("residual")
    found = inspect.features(model, x, ["residual/0", "residual/1", "residual"])
    start = model.layers[0](x)
    first = residual.layers[0](start)
    np.testing.assert_allclose(found["residual/0"], first, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["residual/1"], residual.layers[1](first), rtol=1e-3, atol=1e-4)


def test_images_of_any_size(backend, rng):
    model = chain()
    found = inspect.features(model, np.zeros((1, 21, 30, 3)), ["conv2d_1", "max_pooling2d"])
    assert {name: value.shape for name, value in found.items()} == {
        "conv2d_1": (1, 21, 30, 8),
        "max_pooling2d": (1, 10, 15, 8),
    }
    with pytest.raises(ValueError, match=r"^\["):
        inspect.features(model, np.zeros((1, 21, 30, 3)))


def test_only_what_leads_to_a_layer_is_computed():
    model = branched()
    part = model.network.up_to({model.get_layer("conv2d_1")})
    assert isinstance(part, Network)
    assert [node.layer.name for node in part.nodes][-1] == "conv2d_1"
    assert len(part.nodes) < len(model.network.nodes)


def test_errors():
    model = chain()
    x = np.zeros((1, *model.input_shape))
    with pytest.raises(
        ValueError, match=r"^\[inspect\] no layer is named 'conv9', expected one of normalization, conv2d, "
    ):
        inspect.features(model, x, "conv9")
    with pytest.raises(ValueError, match=r"^\[features\] x has shape"):
        inspect.features(model, x[0, 0, 0])
