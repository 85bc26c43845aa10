"""Activation functions as layers, and as the `activation` argument of others."""

import math

import numpy as np

from pyconv.arguments import flag, shown
from pyconv.layers import arguments
from pyconv.layers.base import Layer
from pyconv.layers.steps import Step

__all__ = ["GELU", "Activation", "Linear", "ReLU", "Softmax"]


class ReLU(Layer):
    """Rectified linear unit, max(x, 0). NaN passes through."""

    def explain(self, inputs, index):
        x = float(inputs[0][index])
        return [Step("relu", {"x": x}, max(x, 0.0))]

    def trace(self, trace, x):
        y = trace.call("relu", x=x, y=trace.buffer(x.shape))
        trace.record([x], y, lambda dy: trace.call("relu_backward", dy=dy, y=y, dx=trace.buffer(x.shape)))
        return y


class GELU(Layer):
    """Gaussian error linear unit, x times the normal distribution's function of x.

    `approximate` takes its approximation by a tanh. Hendrycks & Gimpel, "Gaussian Error Linear Units" (2016).
    """

    def __init__(self, approximate=False, name=None):
        super().__init__(name)
        self.approximate = flag(approximate, "approximate", type(self).__name__)

    def explain(self, inputs, index):
        x = float(inputs[0][index])
        share = 0.5 * math.erfc(-x / math.sqrt(2))
        if self.approximate:
            share = 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return [Step("gelu", {"x": x, "share": share}, x * share)]

    def trace(self, trace, x):
        options = {"approximate": self.approximate}
        y = trace.call("gelu", x=x, **options, y=trace.buffer(x.shape))
        trace.record(
            [x], y, lambda dy: trace.call("gelu_backward", dy=dy, x=x, **options, dx=trace.buffer(x.shape))
        )
        return y


class Softmax(Layer):
    """Softmax over the last axis of (K,)."""

    def output_shape(self, input_shape):
        self.check_rank(input_shape, 1, "(K,)")
        return input_shape

    def explain(self, inputs, index):
        powers = np.exp(inputs[0] - inputs[0].max())
        parts = {"scores": inputs[0], "powers": powers, "sum": float(powers.sum())}
        return [Step("softmax", parts, float(powers[index] / powers.sum()))]

    def trace(self, trace, x):
        y = trace.call("softmax", x=x, y=trace.buffer(x.shape))
        trace.record([x], y, lambda dy: trace.call("softmax_backward", dy=dy, y=y, dx=trace.buffer(x.shape)))
        return y


class Linear(Layer):
    """The identity, Keras' activation "linear"."""

    def explain(self, inputs, index):
        return []

    def trace(self, trace, x):
        return x


ACTIVATIONS = {"relu": ReLU, "gelu": GELU, "softmax": Softmax, "linear": Linear}


class Activation(Layer):
    """An activation by its Keras name: "relu", "gelu", "softmax" or "linear"."""

    def __init__(self, activation, input_shape=None, name=None):
        super().__init__(name)
        if not isinstance(activation, str):
            raise TypeError(
                f"[Activation] activation is {shown(activation)}, expected one of {', '.join(ACTIVATIONS)}"
            )
        self._layer = activation_layer(activation, "Activation")
        self.activation = activation
        self.declare_input(input_shape)

    @property
    def children(self):
        return (self._layer,)

    def output_shape(self, input_shape):
        return self._layer.output_shape(input_shape)

    def explain(self, inputs, index):
        return self._layer.explain(inputs, index)

    def trace(self, trace, x):
        return self._layer.trace(trace, x)


def activation_layer(activation, op):
    """Return the layer that the argument `activation` of `op` means: None, a name or a layer."""
    return arguments.activation(activation, ACTIVATIONS, Layer, op)
