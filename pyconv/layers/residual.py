"""Residual connections."""

from pyconv.layers.base import Layer, trace_chain


class Residual(Layer):
    """layers(x) + shortcut(x): He et al., https://arxiv.org/abs/1512.03385.

    Args:
        layers: the layers of the main branch, in order.
        shortcut: the layers of the other branch; none: x itself, which must have the output's shape.
    """

    def __init__(self, layers, shortcut=(), input_shape=None, name=None):
        super().__init__(name)
        self.layers = list(layers)
        self.shortcut = list(shortcut)
        self.declare_input(input_shape)

    @property
    def children(self):
        return (*self.layers, *self.shortcut)

    def output_shape(self, input_shape):
        main, other = (chain_shape(branch, input_shape) for branch in (self.layers, self.shortcut))
        if main != other:
            raise ValueError(
                f"[{self.name}] the layers give shape {main} and the shortcut {other}, expected the same"
            )
        return main

    def ensure_built(self, input_shape, *, seed=0, place=0):
        if not self.built:
            place = super().ensure_built(input_shape, seed=seed, place=place)
            for branch in (self.layers, self.shortcut):
                shape = tuple(input_shape)
                for layer in branch:
                    place = layer.ensure_built(shape, seed=seed, place=place)
                    shape = layer.output_shape(shape)
            self._next_place = place
        elif self.input_shape != tuple(input_shape):
            super().ensure_built(input_shape)  # says so
        return self._next_place

    def trace(self, trace, x):
        y, main_backward = trace_chain(trace, self.layers, x)
        shortcut, shortcut_backward = trace_chain(trace, self.shortcut, x)
        trace.layer = self
        total = trace.call("add", a=y, b=shortcut, y=trace.buffer(y.shape))

        def backward(dy):
            dx, dshortcut = main_backward(dy), shortcut_backward(dy)
            if dx is None or dshortcut is None:
                return None
            trace.layer = self
            return trace.call("add", a=dx, b=dshortcut, y=trace.buffer(x.shape))

        return total, backward


def chain_shape(layers, shape):
    """Return the output shape of layers one after another."""
    shape = tuple(shape)
    for layer in layers:
        shape = tuple(layer.output_shape(shape))
    return shape
