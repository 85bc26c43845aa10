"""Flattening of feature maps."""

import math

import numpy as np

from pyconv.layers.base import Layer
from pyconv.layers.steps import Step

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

    def explain(self, inputs, index):
        place = tuple(map(int, np.unravel_index(index[0], inputs[0].shape)))
        return [Step("taken", {"place": place}, float(inputs[0][place]))]

    def trace(self, trace, x):
        y = x.reshape((x.shape[0], *self.output_shape(x.shape[1:])))
        trace.record([x], y, lambda dy: dy.reshape(x.shape))
        return y
