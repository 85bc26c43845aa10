"""2D convolution."""

import math

import numpy as np

from pyconv import _core
from pyconv.arguments import flag, integer
from pyconv.layers import arguments
from pyconv.layers.activation import activation_layer
from pyconv.layers.base import Layer
from pyconv.layers.steps import weighted_sum, window

__all__ = ["Conv2D"]


class Conv2D(Layer):
    """2D convolution, (H, W, C_in) to (OH, OW, filters), with Keras' arguments.

    Args:
        filters: output channels.
        kernel_size: integer or (height, width).
        strides: integer or (height, width).
        padding: "valid" (none), "same" (output size ceil(size / stride); an odd row goes to the bottom and
            right), an integer, (height, width) or ((top, bottom), (left, right)).
        dilation_rate: integer or (height, width).
        groups: channel groups; `groups=C_in` is a depthwise convolution.
        activation: None, "relu", "gelu", "softmax" or a layer.
        use_bias: add a bias to each filter.
        kernel_initializer, bias_initializer: a Keras name or an Initializer.
        kernel_regularizer: None or `regularizers.L2`.

    Parameters: kernel (KH, KW, C_in / groups, filters), bias (filters).
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        dilation_rate=(1, 1),
        groups=1,
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
        self.filters = integer(filters, "filters", op, least=1, most=arguments.MOST)
        self.kernel_size = arguments.pair(kernel_size, "kernel_size", op)
        self.strides = arguments.pair(strides, "strides", op)
        self.padding = arguments.padding(padding, op)
        self.dilation_rate = arguments.pair(dilation_rate, "dilation_rate", op)
        self.groups = integer(groups, "groups", op, least=1, most=arguments.MOST)
        self.activation = activation_layer(activation, op)
        self.use_bias = flag(use_bias, "use_bias", op)
        self.kernel_initializer = arguments.initializer(kernel_initializer, "kernel_initializer", op)
        self.bias_initializer = arguments.initializer(bias_initializer, "bias_initializer", op)
        self.kernel_regularizer = arguments.regularizer(kernel_regularizer, "kernel_regularizer", op)
        self._expect("groups", self.filters % self.groups == 0, f"a divisor of filters, {self.filters}")
        self.declare_input(input_shape)

    @property
    def children(self):
        return (self.activation,) if self.activation else ()

    @property
    def _geometry(self):
        return {
            "stride": self.strides,
            "padding": self.padding,
            "dilation": self.dilation_rate,
            "groups": self.groups,
        }

    def _kernel_shape(self, input_shape):
        return (*self.kernel_size, input_shape[-1] // self.groups, self.filters)

    def output_shape(self, input_shape):
        self.check_rank(input_shape, 3, "(H, W, C_in)")
        with self.named_errors():
            shape = _core.conv2d_output_shape(
                (1, *input_shape), self._kernel_shape(input_shape), **self._geometry
            )
        shape = shape[1:]
        return self.activation.output_shape(shape) if self.activation else shape

    def build(self, input_shape):
        kernel = self._kernel_shape(input_shape)
        self.kernel = self.add_weight(
            "kernel", kernel, self.kernel_initializer, regularizer=self.kernel_regularizer
        )
        self.bias = self.add_weight("bias", (self.filters,), self.bias_initializer) if self.use_bias else None

    def sees(self, units):
        window = {"stride": self.strides, "padding": self.padding, "dilation": self.dilation_rate}
        return units.windows(self.input_shape[:2], self.kernel_size, **window)

    def explain(self, inputs, index):
        channel, size = index[2], self.input_shape[-1] // self.groups
        first = channel // (self.filters // self.groups) * size
        geometry = (self.kernel_size, self.strides, self.padding, self.dilation_rate)
        values, _ = window(inputs[0][..., first : first + size], index, *geometry)
        kernel = self.kernel.numpy()[..., channel].astype(np.float64)
        bias = float(self.bias.numpy()[channel]) if self.use_bias else None
        step = weighted_sum("convolution", values, kernel, bias)
        if not self.activation:
            return [step]
        return [step, *self.activation.explain([np.full((1, 1, 1), step.value)], (0, 0, 0))]

    def multiply_adds(self, input_shape):
        height, width, _ = self.output_shape(input_shape)
        return height * width * math.prod(self._kernel_shape(input_shape))

    def trace(self, trace, x):
        y = trace.buffer((x.shape[0], *self.output_shape(x.shape[1:])))
        trace.call("conv2d", x=x, weight=self.kernel, bias=self.bias, **self._geometry, y=y)

        def rule(dy):
            if trace.wants(self.kernel) or trace.wants(self.bias):
                trace.call(
                    "conv2d_backward_weight",
                    dy=dy,
                    x=x,
                    weight_shape=self.kernel.shape,
                    **self._geometry,
                    bias=self.use_bias,
                    dweight=trace.gradient_of(self.kernel),
                    dbias=trace.gradient_of(self.bias),
                )
            if not x.needs_gradient:
                return None
            dx = trace.buffer(x.shape)
            return trace.call(
                "conv2d_backward_input", dy=dy, weight=self.kernel, x_shape=x.shape, **self._geometry, dx=dx
            )

        trace.record([x], y, rule, [self.kernel, self.bias])
        return trace.apply(self.activation, y) if self.activation else y
