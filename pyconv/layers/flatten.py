"""Flattening of feature maps."""

import math

from pyconv.layers.base import Layer

__all__ = ["Flatten"]


class Flatten(Layer):
    """All axes into one, row-major: (H, W, C) to (H * W * C,). No data moves."""

    def __init__(self, input_shape=None, name=None):
        super().__init__(name)
        self.declare_input(input_shape)

    def output_shape(self, input_shape):
        return (math.prod(input_shape),)

    def sees(self, units):
        return None

    def trace(self, trace, x):
        y = x.reshape((x.shape[0], *self.output_shape(x.shape[1:])))
        trace.record([x], y, lambda dy: dy.reshape(x.shape))
        return y
