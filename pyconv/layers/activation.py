"""Activation functions as layers, and as the `activation` argument of others."""

from pyconv.arguments import shown
from pyconv.layers import arguments
from pyconv.layers.base import Layer


class ReLU(Layer):
    """Rectified linear unit, max(x, 0). NaN passes through."""

    def trace(self, trace, x):
        y = trace.call("relu", x=x, y=trace.buffer(x.shape))
        trace.record([x], y, lambda dy: trace.call("relu_backward", dy=dy, y=y, dx=trace.buffer(x.shape)))
        return y


class Softmax(Layer):
    """Softmax over the last axis of (K,)."""

    def output_shape(self, input_shape):
        self.check_rank(input_shape, 1, "(K,)")
        return input_shape

    def trace(self, trace, x):
        y = trace.call("softmax", x=x, y=trace.buffer(x.shape))
        trace.record([x], y, lambda dy: trace.call("softmax_backward", dy=dy, y=y, dx=trace.buffer(x.shape)))
        return y


class Linear(Layer):
    """The identity, Keras' activation "linear"."""

    def trace(self, trace, x):
        return x


ACTIVATIONS = {"relu": ReLU, "softmax": Softmax, "linear": Linear}


class Activation(Layer):
    """An activation by its Keras name: "relu", "softmax" or "linear"."""

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

    def trace(self, trace, x):
        return self._layer.trace(trace, x)


def activation_layer(activation, op):
    """Return the layer that the argument `activation` of `op` means: None, a name or a layer."""
    return arguments.activation(activation, ACTIVATIONS, Layer, op)
