"""Max, average and global average pooling."""

import numpy as np

from pyconv import _core
from pyconv.layers import arguments
from pyconv.layers.base import Layer
from pyconv.layers.steps import Step, mean, window

__all__ = ["AveragePooling2D", "GlobalAveragePooling2D", "MaxPooling2D"]


class _Pooling2D(Layer):
    """What max and average pooling share: a window that moves over (H, W, C)."""

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", input_shape=None, name=None):
        super().__init__(name)
        op = type(self).__name__
        self.pool_size = arguments.pair(pool_size, "pool_size", op)
        self.strides = self.pool_size if strides is None else arguments.pair(strides, "strides", op)
        self.padding = arguments.padding(padding, op)
        sides = arguments.sides(self.padding)
        inside = all(pad < size for pads, size in zip(sides, self.pool_size, strict=True) for pad in pads)
        self._expect("padding", inside, f"less than pool_size, {self.pool_size}: no window of padding alone")
        self.declare_input(input_shape)

    @property
    def _geometry(self):
        return {"window": self.pool_size, "stride": self.strides, "padding": self.padding}

    def output_shape(self, input_shape):
        self.check_rank(input_shape, 3, "(H, W, C)")
        with self.named_errors():
            return _core.pool2d_output_shape((1, *input_shape), **self._geometry)[1:]

    def sees(self, units):
        window = {"stride": self.strides, "padding": self.padding}
        return units.windows(self.input_shape[:2], self.pool_size, **window)

    def _window(self, x, index):
        """Return (values, inside) of a window in the output's channel."""
        channel = x[..., index[2]][..., None]
        values, inside = window(channel, index, self.pool_size, self.strides, self.padding)
        return values[..., 0], inside


class MaxPooling2D(_Pooling2D):
    """Largest value of each window, with Keras' arguments. Padding never wins; the first of equals does.

    Args:
        pool_size: integer or (height, width).
        strides: integer or (height, width); None: the window's size.
        padding: as in `Conv2D`.
    """

    def explain(self, inputs, index):
        values, inside = self._window(inputs[0], index)
        best = np.where(inside, values, -np.inf)
        winner = tuple(map(int, np.unravel_index(best.argmax(), best.shape)))
        return [Step("maximum", {"values": values, "inside": inside, "winner": winner}, float(best[winner]))]

    def trace(self, trace, x):
        y = trace.buffer((x.shape[0], *self.output_shape(x.shape[1:])))
        kind = _core.pool2d_argmax_dtype(self.pool_size)
        argmax = trace.buffer(y.shape, kind) if x.needs_gradient else None
        trace.call("max_pool2d", x=x, **self._geometry, return_argmax=x.needs_gradient, y=y, argmax=argmax)

        def rule(dy):
            dx = trace.buffer(x.shape)
            return trace.call(
                "max_pool2d_backward", dy=dy, argmax=argmax, x_shape=x.shape, **self._geometry, dx=dx
            )

        trace.record([x], y, rule)
        return y


class AveragePooling2D(_Pooling2D):
    """Mean of each window, with Keras' arguments. Padding does not count, as in Keras.

    Args:
        pool_size: integer or (height, width).
        strides: integer or (height, width); None: the window's size.
        padding: as in `Conv2D`.
    """

    def explain(self, inputs, index):
        values, inside = self._window(inputs[0], index)
        return [mean("mean", values, max(int(inside.sum()), 1))]

    def trace(self, trace, x):
        options = {**self._geometry, "count_include_pad": False}
        y = trace.buffer((x.shape[0], *self.output_shape(x.shape[1:])))
        trace.call("avg_pool2d", x=x, **options, y=y)

        def rule(dy):
            return trace.call(
                "avg_pool2d_backward", dy=dy, x_shape=x.shape, **options, dx=trace.buffer(x.shape)
            )

        trace.record([x], y, rule)
        return y


class GlobalAveragePooling2D(Layer):
    """Mean over all pixels, (H, W, C) to (C,)."""

    def __init__(self, input_shape=None, name=None):
        super().__init__(name)
        self.declare_input(input_shape)

    def output_shape(self, input_shape):
        self.check_rank(input_shape, 3, "(H, W, C)")
        return input_shape[2:]

    def sees(self, units):
        return None

    def explain(self, inputs, index):
        values = inputs[0][..., index[0]]
        return [mean("mean", values, values.size)]

    def trace(self, trace, x):
        n, height, width, channels = x.shape
        pooled = trace.buffer((n, 1, 1, channels))
        y = trace.call("avg_pool2d", x=x, window=(height, width), y=pooled).reshape((n, channels))

        def rule(dy):
            dy, dx = dy.reshape(pooled.shape), trace.buffer(x.shape)
            return trace.call("avg_pool2d_backward", dy=dy, x_shape=x.shape, window=(height, width), dx=dx)

        trace.record([x], y, rule)
        return y
