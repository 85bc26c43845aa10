"""Normalisation by fixed statistics of the data."""

import numpy as np

from pyconv.arguments import shown
from pyconv.layers.base import Layer
from pyconv.layers.steps import normalised

__all__ = ["Normalization"]

_LARGEST = 3.4e38  # about what float32 holds


class Normalization(Layer):
    """(x - mean) / sqrt(variance) for each channel; takes uint8 images too.

    The statistics are parameters that do not train: they are saved with the model, so prediction needs
    nothing else. Set them by argument or learn them with `adapt`.

    Args:
        mean: numbers (C,), or one for all channels; None until `adapt`.
        variance: likewise.

    Parameters: mean, variance, each (C,).
    """

    def __init__(self, mean=None, variance=None, input_shape=None, name=None):
        super().__init__(name)
        if (mean is None) != (variance is None):
            given, other = ("mean", "variance") if variance is None else ("variance", "mean")
            raise ValueError(
                f"[Normalization] {other} is None beside {given}, expected mean and variance, or neither"
            )
        self.mean = None if mean is None else _numbers(mean, "mean", -_LARGEST)
        self.variance = None if variance is None else _numbers(variance, "variance", 1e-38)
        self.declare_input(input_shape)

    def adapt(self, x):
        """Take mean and variance of each channel from the images `x` (N, H, W, C), in float64."""
        x = _images(x)
        count, total, squares = 0, 0.0, 0.0
        for start in range(0, len(x), 1024):
            part = x[start : start + 1024].reshape(-1, x.shape[-1]).astype(np.float64)
            count += len(part)
            total = total + part.sum(0)
            squares = squares + np.square(part).sum(0)
        mean = total / count
        variance = np.maximum(squares / count - mean * mean, 1e-12)
        if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
            raise ValueError("[Normalization] x has values that are not finite, expected numbers")
        if self.built and mean.shape != self.input_shape[-1:]:
            raise ValueError(
                f"[{self.name}] x has {mean.size} channels, the layer is built for {self.input_shape[-1]}"
            )
        with self._open():
            self.mean, self.variance = mean.tolist(), variance.tolist()
        if self.built:
            self.parameters[0].assign(mean)
            self.parameters[1].assign(variance)

    def build(self, input_shape):
        channels = input_shape[-1:]
        mean, variance = (0.0, 1.0) if self.mean is None else (self.mean, self.variance)
        for name, value in (("mean", mean), ("variance", variance)):
            if np.size(value) not in (1, *channels):
                raise ValueError(
                    f"[{self.name}] {name} has {np.size(value)} numbers, "
                    f"expected 1 or {channels[0]}, one for each channel"
                )
            parameter = self.add_weight(name, channels, "zeros", trainable=False)
            parameter.assign(np.broadcast_to(np.asarray(value, np.float32), channels))

    def explain(self, inputs, index):
        mean, variance = (parameter.numpy()[index[-1]] for parameter in self.parameters)
        return [normalised(inputs[0][index], mean, variance)]

    def trace(self, trace, x):
        mean, variance = self.parameters
        statistics = {"gamma": None, "beta": None, "mean": mean, "variance": variance, "epsilon": 0.0}
        y = trace.buffer(x.shape)
        trace.call("batch_norm_inference", x=x, **statistics, y=y)

        def rule(dy):
            zeros = trace.constant(np.zeros(x.shape[-1:], np.float32))
            dx = trace.buffer(x.shape)
            return trace.call("batch_norm_inference", x=dy, **{**statistics, "mean": zeros}, y=dx)

        trace.record([x], y, rule)
        return y


def _numbers(value, name, least):
    """Return a number, or a list of them, as Python's own."""
    expected = "expected a number or one for each channel" + (", greater than 0" if least > 0 else "")
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise ValueError(f"[Normalization] {name} is {shown(value)}, {expected}") from None
    if array.dtype.kind not in "fiu":
        raise TypeError(f"[Normalization] {name} is {shown(value)}, {expected}")
    array = array.astype(np.float64)
    if array.ndim > 1 or array.size == 0 or not ((least <= array) & (array <= _LARGEST)).all():
        raise ValueError(f"[Normalization] {name} is {shown(value)}, {expected}")
    return array.tolist()


def _images(x):
    """Return images as an array with channels last, or refuse them."""
    try:
        x = np.asarray(x)
    except ValueError:
        raise ValueError("[Normalization] x has rows of different lengths, expected an array") from None
    if x.dtype.kind not in "fiub":
        raise TypeError(f"[Normalization] x has dtype {x.dtype}, expected images of numbers")
    if x.ndim < 2 or not x.size:
        what = "x is empty" if not x.size else f"x has shape {x.shape}"
        raise ValueError(f"[Normalization] {what}, expected images (N, H, W, C)")
    return x
