"""The shape of a model's input, and where a graph begins."""

from pyconv.engine.symbol import Symbol
from pyconv.layers import arguments
from pyconv.layers.base import Layer

__all__ = ["Input"]


class Input(Layer):
    """Says the shape of one example, (H, W, C): a Sequential's first layer, or where a `Model` begins.

    Adds no computation.
    """

    takes_uint8 = True

    def __init__(self, shape, name=None):
        super().__init__(name)
        self.shape = list(arguments.shape(shape, "shape", type(self).__name__))
        self.declare_input(shape)
        self._symbol = None

    @property
    def symbol(self):
        """What it stands for in a graph: see `Model`."""
        if self._symbol is None:
            self._symbol = Symbol(self, (), self.shape)
        return self._symbol

    def explain(self, inputs, index):
        return []

    def trace(self, trace, x):
        return x
