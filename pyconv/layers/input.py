"""The shape of a model's input."""

from pyconv.layers import arguments
from pyconv.layers.base import Layer


class Input(Layer):
    """Says the shape of one example, (H, W, C), as a model's first layer. Adds no computation."""

    takes_uint8 = True

    def __init__(self, shape, name=None):
        super().__init__(name)
        self.shape = list(arguments.shape(shape, "shape", type(self).__name__))
        self.declare_input(shape)

    def trace(self, trace, x):
        return x
