"""One value of a layer as its arithmetic."""

from typing import NamedTuple

import numpy as np

from pyconv import arguments
from pyconv.engine.data import as_array
from pyconv.inspect.probe import expect_images, images_of, layer_at, probe_of
from pyconv.layers import Residual
from pyconv.layers.steps import Step


class Explanation(NamedTuple):
    """A value of a layer's output, and the steps to it from what the layer reads.

    Each `Step` has a `name`, `parts` (the numbers that go into it, arrays or floats), its `value`, and
    `terms`, the parts that add up to it. The last step's value is the layer's, to float32's rounding.
    """

    layer: str
    index: tuple
    value: float
    steps: list


def explain(model, x, layer, index):
    """Return how a layer comes to one value for an image: an `Explanation`.

    A convolution's step has the window, the kernel, their products and the bias; a normalisation's its
    statistics; a pooling's the window and its winner; an activation is a step of its own. Of a `Residual`,
    whose layers have paths and explanations of their own, it is the sum of the branches.

    Args:
        model: a built model of one input.
        x: one image (H, W, C), or (1, H, W, C); of any size that the layers up to this one take.
        layer: a name; inside another layer a path, "residual/0".
        index: (row, column, channel) of the layer's output, or a unit's number, (unit,).
    """
    op = "explain"
    expect_images(model, op)
    found, x = layer_at(model, layer), as_array(x, op, "x")
    images = images_of(model, x[None] if x.ndim == len(model.input_shape) else x, op)
    if len(images) != 1:
        raise ValueError(f"[{op}] x has {len(images)} images, expected one")
    inner = [f"{layer}/{i}" for i in _ends(found)] if isinstance(found, Residual) else []
    with model.trainer.turns:
        probe = probe_of(model, images.shape, [layer, *inner], with_inputs=True)
        probe.values(images)
        output = probe.value(layer)[0]
        given = arguments.items(
            [index] if isinstance(index, (int, np.integer)) else index, "index", op, "an index"
        )
        if len(given) != output.ndim:
            raise ValueError(f"[{op}] index has {len(given)} numbers, layer {layer} gives {output.shape}")
        place = tuple(
            arguments.integer(i, "index", op, least=0, most=size - 1)
            for i, size in zip(given, output.shape, strict=True)
        )
        inputs = [one[0].astype(np.float64) for one in probe.inputs(layer)]
        if isinstance(found, Residual):
            branches = [probe.value(name)[0] for name in inner]
            values = np.array(
                [one[place] for one in branches] + [inputs[0][place]] * (2 - len(branches)), np.float64
            )
            steps = [Step("sum", {"values": values}, float(values.sum()), ("values",))]
        else:
            steps = found.explain(inputs, place)
        if not steps:
            steps = [Step("taken", {"place": place}, float(inputs[0][place]))]
        return Explanation(layer, place, float(output[place]), steps)


def _ends(residual):
    """Return the numbers of the last layers of a Residual's branches."""
    children = list(residual.children)
    return [children.index(branch[-1]) for branch in (residual.layers, residual.shortcut) if branch]
