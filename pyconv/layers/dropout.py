"""Dropout."""

from pyconv import _core
from pyconv.arguments import number
from pyconv.layers.base import Layer

__all__ = ["Dropout"]


class Dropout(Layer):
    """Sets a fraction `rate` of the inputs to 0 and scales the rest by 1 / (1 - rate), in training only.

    Srivastava et al., "Dropout" (JMLR 2014). The mask depends on the seed, the layer's place, epoch and step.
    """

    def __init__(self, rate, name=None):
        super().__init__(name)
        self.rate = number(rate, "rate", type(self).__name__, least=0, below=1)

    def explain(self, inputs, index):
        return []

    def trace(self, trace, x):
        if not trace.training or self.rate == 0:
            return x
        options = {"rng": trace.rng, "rate": self.rate, "purpose": _core.PHILOX_DROPOUT + self.place}
        y = trace.call("dropout", x=x, **options, y=trace.buffer(x.shape))
        trace.record([x], y, lambda dy: trace.call("dropout", x=dy, **options, y=trace.buffer(x.shape)))
        return y
