"""Normalisation by fixed statistics of the data."""

import numpy as np

from pyconv.layers.base import Layer


class Normalization(Layer):
    """(x - mean) / sqrt(variance) for each channel; takes uint8 images too.

    The statistics are parameters that do not train: they are saved with the model, so prediction needs
    nothing else. Set them by argument or learn them with `adapt`.

    Args:
        mean: numbers (C,), or one for all channels; None until `adapt`.
        variance: likewise.

    Parameters: mean, variance, each (C,).
    """

    takes_uint8 = True

    def __init__(self, mean=None, variance=None, input_shape=None, name=None):
        super().__init__(name)
        if (mean is None) != (variance is None):
            raise ValueError("[Normalization] expected mean and variance, or neither")
        self.mean = None if mean is None else np.asarray(mean, np.float64).tolist()
        self.variance = None if variance is None else np.asarray(variance, np.float64).tolist()
        self.declare_input(input_shape)

    def adapt(self, x):
        """Take mean and variance of each channel from the images `x` (N, H, W, C), in float64."""
        x = np.asarray(x)
        count, total, squares = 0, 0.0, 0.0
        for start in range(0, len(x), 1024):
            part = x[start : start + 1024].reshape(-1, x.shape[-1]).astype(np.float64)
            count += len(part)
            total = total + part.sum(0)
            squares = squares + np.square(part).sum(0)
        if count == 0:
            raise ValueError("[Normalization] adapt: x is empty, expected at least one image")
        mean = total / count
        variance = np.maximum(squares / count - mean * mean, 1e-12)
        self.mean, self.variance = mean.tolist(), variance.tolist()
        if self.built:
            self.parameters[0].assign(mean)
            self.parameters[1].assign(variance)

    def build(self, input_shape):
        channels = input_shape[-1:]
        mean, variance = (0.0, 1.0) if self.mean is None else (self.mean, self.variance)
        for name, value in (("mean", mean), ("variance", variance)):
            parameter = self.add_weight(name, channels, "zeros", trainable=False)
            parameter.assign(np.broadcast_to(np.asarray(value, np.float32), channels))

    def trace(self, trace, x):
        if x.dtype == "uint8":
            x = trace.cast(x)
        mean, variance = self.parameters
        statistics = {"gamma": None, "beta": None, "mean": mean, "variance": variance, "epsilon": 0.0}
        y = trace.buffer(x.shape)
        trace.call("batch_norm_inference", x=x, **statistics, y=y)

        def backward(dy):
            zeros = trace.constant(np.zeros(x.shape[-1:], np.float32))
            dx = trace.buffer(x.shape)
            return trace.call("batch_norm_inference", x=dy, **{**statistics, "mean": zeros}, y=dx)

        return y, backward
