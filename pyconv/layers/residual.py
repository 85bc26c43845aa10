"""Residual connections."""

from pyconv.arguments import items, kind_of
from pyconv.engine.expression import Expression
from pyconv.layers.base import Layer
from pyconv.layers.units import joined

__all__ = ["Residual"]


class Residual(Layer):
    """layers(x) + shortcut(x): He et al., https://arxiv.org/abs/1512.03385.

    Args:
        layers: the layers of the main branch, in order.
        shortcut: the layers of the other branch; none: x itself, which must have the output's shape.
    """

    def __init__(self, layers, shortcut=(), input_shape=None, name=None):
        super().__init__(name)
        self.layers = _branch(layers, "layers")
        self.shortcut = _branch(shortcut, "shortcut")
        if not self.layers:
            raise ValueError("[Residual] layers is empty, expected at least one layer")
        self.declare_input(input_shape)

    @property
    def children(self):
        return tuple(dict.fromkeys([*self.layers, *self.shortcut]))

    def output_shape(self, input_shape):
        main, other = (chain_shape(branch, input_shape) for branch in (self.layers, self.shortcut))
        if main != other:
            raise ValueError(
                f"[{self.name}] the layers give shape {main} and the shortcut {other}, expected the same"
            )
        return main

    def build(self, input_shape):
        place = self.place + 1
        for branch in (self.layers, self.shortcut):
            shape = input_shape
            for layer in branch:
                place = max(place, layer.ensure_built(shape, seed=self._seed, place=place))
                shape = tuple(layer.output_shape(shape))
        self._next_place = place

    def ensure_built(self, input_shape, *, seed=None, place=0):
        super().ensure_built(input_shape, seed=seed, place=place)
        return self._next_place

    def sees(self, units):
        return joined(chain_sees(self.layers, units), chain_sees(self.shortcut, units))

    def trace(self, trace, x):
        main, shortcut = trace.chain(self.layers, x), trace.chain(self.shortcut, x)
        return (Expression(trace, main) + Expression(trace, shortcut)).buffer


def _branch(layers, name):
    """Return the layers of a branch as a list."""
    layers = items(layers, name, "Residual", "a list of layers")
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"[Residual] {name} has {kind_of(layer)}, expected layers")
    return layers


def chain_sees(layers, units):
    """Return what units of the last layer's output see of the first one's input; None: all of it."""
    for layer in reversed(layers):
        units = units and layer.sees(units)
    return units


def chain_shape(layers, shape):
    """Return the output shape of layers one after another."""
    shape = tuple(shape)
    for layer in layers:
        shape = tuple(layer.output_shape(shape))
    return shape
