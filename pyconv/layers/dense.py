"""Fully connected layer."""

import numpy as np

from pyconv.arguments import flag, integer
from pyconv.layers import arguments
from pyconv.layers.activation import activation_layer
from pyconv.layers.base import Layer
from pyconv.layers.steps import weighted_sum

__all__ = ["Dense"]


class Dense(Layer):
    """Fully connected layer, (C_in,) to (units,): y = x kernel + bias, with Keras' arguments.

    Args:
        units: outputs.
        activation: None, "relu", "gelu", "softmax" or a layer.
        use_bias: add a bias to each unit.
        kernel_initializer, bias_initializer: a Keras name or an Initializer.
        kernel_regularizer: None or `regularizers.L2`.

    Parameters: kernel (C_in, units), bias (units).
    """

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        input_shape=None,
        name=None,
    ):
        super().__init__(name)
        op = type(self).__name__
        self.units = integer(units, "units", op, least=1, most=arguments.MOST)
        self.activation = activation_layer(activation, op)
        self.use_bias = flag(use_bias, "use_bias", op)
        self.kernel_initializer = arguments.initializer(kernel_initializer, "kernel_initializer", op)
        self.bias_initializer = arguments.initializer(bias_initializer, "bias_initializer", op)
        self.kernel_regularizer = arguments.regularizer(kernel_regularizer, "kernel_regularizer", op)
        self.declare_input(input_shape)

    @property
    def children(self):
        return (self.activation,) if self.activation else ()

    def output_shape(self, input_shape):
        self.check_rank(input_shape, 1, "(C_in,): put a Flatten or a GlobalAveragePooling2D before it")
        return (self.units,)

    def build(self, input_shape):
        kernel = (input_shape[0], self.units)
        self.kernel = self.add_weight(
            "kernel", kernel, self.kernel_initializer, regularizer=self.kernel_regularizer
        )
        self.bias = self.add_weight("bias", (self.units,), self.bias_initializer) if self.use_bias else None

    def sees(self, units):
        return None

    def explain(self, inputs, index):
        kernel = self.kernel.numpy().astype(np.float64)
        bias = self.bias.numpy() if self.use_bias else None
        step = weighted_sum(
            "weighted sum", inputs[0], kernel[:, index[0]], None if bias is None else float(bias[index[0]])
        )
        if not self.activation:
            return [step]
        sums = inputs[0] @ kernel + (0 if bias is None else bias)
        return [step, *self.activation.explain([sums], index)]

    def multiply_adds(self, input_shape):
        return input_shape[0] * self.units

    def trace(self, trace, x):
        y = trace.buffer((x.shape[0], self.units))
        trace.call("linear", x=x, weight=self.kernel, bias=self.bias, y=y)

        def rule(dy):
            if trace.wants(self.kernel) or trace.wants(self.bias):
                trace.call(
                    "linear_backward_weight",
                    dy=dy,
                    x=x,
                    bias=self.use_bias,
                    dweight=trace.gradient_of(self.kernel),
                    dbias=trace.gradient_of(self.bias),
                )
            if not x.needs_gradient:
                return None
            return trace.call("linear_backward_input", dy=dy, weight=self.kernel, dx=trace.buffer(x.shape))

        trace.record([x], y, rule, [self.kernel, self.bias])
        return trace.apply(self.activation, y) if self.activation else y
