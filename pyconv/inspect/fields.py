"""Receptive fields: which pixels of the image a unit sees."""

from typing import NamedTuple

import numpy as np

from pyconv import arguments
from pyconv.inspect.probe import Probe, expect_images, images_of, layer_at, shape_of
from pyconv.layers.residual import Residual, chain_sees
from pyconv.layers.units import Units, joined

_ROUNDING = 1e-6


class Box(NamedTuple):
    """Pixels of an image: rows `top` to before `bottom`, columns `left` to before `right`."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self):
        return self.bottom - self.top

    @property
    def width(self):
        return self.right - self.left

    def inside(self, height, width):
        """Return the part that lies in an image of that size."""
        rows = [min(max(value, 0), height) for value in (self.top, self.bottom)]
        columns = [min(max(value, 0), width) for value in (self.left, self.right)]
        return Box(rows[0], columns[0], rows[1], columns[1])


def receptive_field(model, layer, row=None, column=None, clip=True):
    """Return the `Box` of the image that a unit of a layer can see, (top, left, bottom, right).

    Kernels, strides, dilations and paddings of all layers on the way, on all branches; weights do not matter.
    Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks" (Distill, 2019).

    Args:
        model: a built model of one input.
        layer: a name; inside another layer a path, "residual/0".
        row, column: the unit's place in the layer's map. None: its middle.
        clip: leave out what lies beyond the image, in the padding.

    A unit without a place, as a Dense layer's, sees the whole image.
    """
    expect_images(model, "receptive_field")
    clip = arguments.flag(clip, "clip", "receptive_field")
    network, (height, width) = model.network, model.input_shape[:2]
    row, column = place_of(shape_of(model, layer), row, column, layer, "receptive_field")
    units = None if row is None else Units(frozenset([row]), frozenset([column]), beyond=not clip)
    path = layer.split("/")
    last = next(i for i, node in enumerate(network.nodes) if node.layer.name == path[0])
    seen = dict.fromkeys(network.nodes[last].reads, _in_top(model, path, units))  # value -> units of it
    for i in reversed(range(last)):
        value, node = network.inputs + i, network.nodes[i]
        if value in seen:
            units = seen[value] and node.layer.sees(seen[value])
            for read in node.reads:
                seen[read] = joined(seen[read], units) if read in seen else units
    if seen[0] is None:
        return Box(0, 0, height, width)
    rows, columns, _ = seen[0]
    if not rows or not columns:  # padding alone
        return Box(0, 0, 0, 0)
    return Box(min(rows), min(columns), max(rows) + 1, max(columns) + 1)


def effective_field(model, x, layer, row=None, column=None, channel=None):
    """Return how much each pixel moves a unit, (H, W): the mean |gradient| over images and colours.

    Luo et al., "Understanding the Effective Receptive Field" (2016), section 2. What is less than a millionth
    of the largest is 0: fast convolutions leave rounding there.

    Args:
        model, layer, row, column: as in `receptive_field`, of a layer with maps.
        x: images (N, H, W, C) to average over, of any size that the layers take.
        channel: the unit's. None: all at its place, added up.
    """
    op, x = "effective_field", images_of(model, x, "effective_field")
    layer_at(model, layer)
    probe = Probe(model, x.shape, gradient_of=layer)
    weights = np.zeros(probe.weights_shape, np.float32)
    row, column = place_of(weights.shape[1:], row, column, layer, op)
    if row is None:
        raise ValueError(f"[{op}] layer {layer} has no maps, expected one that gives (H, W, C)")
    chosen = slice(None)
    if channel is not None:
        chosen = arguments.integer(channel, "channel", op, least=0, most=weights.shape[3] - 1)
    weights[:, row, column, chosen] = 1
    probe.gradients(x, weights)
    moved = np.abs(probe.gradient()).mean((0, 3))
    return np.where(moved < _ROUNDING * moved.max(initial=0), 0, moved)


def place_of(shape, row, column, layer, op):
    """Return a unit's (row, column) in maps of `shape`, by default in the middle; None twice without maps."""
    if len(shape) != 3:
        if row is not None or column is not None:
            raise ValueError(f"[{op}] layer {layer} has no maps, expected row and column None")
        return None, None
    given = (("row", row, shape[0]), ("column", column, shape[1]))
    return tuple(
        (size - 1) // 2 if value is None else arguments.integer(value, name, op, least=0, most=size - 1)
        for name, value, size in given
    )


def _in_top(model, path, units):
    """Return what units of the layer at `path` see of the input of the network's layer around it."""
    holders = [layer_at(model, "/".join(path[: i + 1])) for i in range(len(path))]
    units = units and holders[-1].sees(units)
    for holder, inner in zip(holders[-2::-1], holders[:0:-1], strict=True):
        branches = (holder.layers, holder.shortcut) if isinstance(holder, Residual) else ()
        branch = next((branch for branch in branches if inner in branch), [inner])
        units = chain_sees(branch[: branch.index(inner)], units)
    return units
