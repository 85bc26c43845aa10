"""Activation functions as layers, and as the `activation` argument of others."""

from pyconv.arguments import shown
from pyconv.layers import arguments
from pyconv.layers.base import Layer, trace_chain


class ReLU(Layer):
    """Rectified linear unit, max(x, 0). NaN passes through."""

    def trace(self, trace, x):
        y = trace.call("relu", x=x, y=trace.buffer(x.shape))
        return y, lambda dy: trace.call("relu_backward", dy=dy, y=y, dx=trace.buffer(x.shape))


class Softmax(Layer):
    """Softmax over the last axis of (K,)."""

    def output_shape(self, input_shape):
        self.check_rank(input_shape, 1, "(K,)")
        return input_shape

    def trace(self, trace, x):
        y = trace.call("softmax", x=x, y=trace.buffer(x.shape))
        call = trace.calls[-1]

        def backward(dy):
            if call.absorbed:  # the loss took the softmax over: dy is the logits' gradient already
                return dy
            return trace.call("softmax_backward", dy=dy, y=y, dx=trace.buffer(x.shape))

        return y, backward


class Linear(Layer):
    """The identity, Keras' activation "linear"."""

    def trace(self, trace, x):
        return x, lambda dy: dy


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


def with_activation(activation, trace, y, backward):
    """Trace `activation` (or None) on a layer's output; return the output and the joint backward function."""
    if activation is None:
        return y, backward
    y.needs_gradient = trace.training
    outer = trace.layer
    z, activation_backward = trace_chain(trace, [activation], y)
    trace.layer = outer

    def joint_backward(dz):
        dy = activation_backward(dz)
        trace.layer = outer
        return backward(dy)

    return z, joint_backward
