"""Batch normalisation."""

import math

import numpy as np

from pyconv.arguments import flag, number
from pyconv.layers import arguments
from pyconv.layers.base import Layer
from pyconv.layers.steps import normalised

__all__ = ["BatchNormalization"]


class BatchNormalization(Layer):
    """Normalises each channel (the last axis) over the batch; Ioffe and Szegedy, https://arxiv.org/abs/1502.03167.

    Training uses the batch's mean and biased variance and moves the running ones:
    moving = momentum * moving + (1 - momentum) * batch. Prediction uses the moving ones, and so does training
    while `trainable` is False.

    Args:
        momentum: Keras' meaning: what the moving statistics keep.
        epsilon: added to the variance; 1e-3 as in Keras.
        center: learn an offset, beta.
        scale: learn a factor, gamma.
        beta_initializer, gamma_initializer: a Keras name or an Initializer.

    Parameters: gamma, beta, moving_mean, moving_variance, each (C,).
    """

    def __init__(
        self,
        momentum=0.99,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        input_shape=None,
        name=None,
    ):
        super().__init__(name)
        op = type(self).__name__
        self.momentum = number(momentum, "momentum", op, least=0, most=1)
        self.epsilon = number(epsilon, "epsilon", op, above=0)
        self.center = flag(center, "center", op)
        self.scale = flag(scale, "scale", op)
        self.beta_initializer = arguments.initializer(beta_initializer, "beta_initializer", op)
        self.gamma_initializer = arguments.initializer(gamma_initializer, "gamma_initializer", op)
        self.declare_input(input_shape)

    def build(self, input_shape):
        channels = input_shape[-1:]
        self.gamma = self.add_weight("gamma", channels, self.gamma_initializer) if self.scale else None
        self.beta = self.add_weight("beta", channels, self.beta_initializer) if self.center else None
        self.moving_mean = self.add_weight("moving_mean", channels, "zeros", trainable=False)
        self.moving_variance = self.add_weight("moving_variance", channels, "ones", trainable=False)

    def multiply_adds(self, input_shape):
        return math.prod(input_shape)

    def explain(self, inputs, index):
        learnt = {name: p.numpy()[index[-1]] for name, p in (("gamma", self.gamma), ("beta", self.beta)) if p}
        mean, variance = (p.numpy()[index[-1]] for p in (self.moving_mean, self.moving_variance))
        return [normalised(inputs[0][index], mean, variance, self.epsilon, **learnt)]

    def trace(self, trace, x):
        if trace.training and self.trainable:
            return self._trace_batch(trace, x)
        statistics = {"gamma": self.gamma, "variance": self.moving_variance, "epsilon": self.epsilon}
        y = trace.buffer(x.shape)
        trace.call("batch_norm_inference", x=x, beta=self.beta, mean=self.moving_mean, **statistics, y=y)

        def rule(dy):  # the same factor, no offset
            zeros = trace.constant(np.zeros(x.shape[-1:], np.float32))
            dx = trace.buffer(x.shape)
            return trace.call("batch_norm_inference", x=dy, beta=None, mean=zeros, **statistics, y=dx)

        trace.record([x], y, rule)
        return y

    def _trace_batch(self, trace, x):
        y, channels = trace.buffer(x.shape), x.shape[-1:]
        mean, rstd = trace.buffer(channels), trace.buffer(channels)
        trace.call(
            "batch_norm",
            x=x,
            gamma=self.gamma,
            beta=self.beta,
            running_mean=self.moving_mean,
            running_variance=self.moving_variance,
            epsilon=self.epsilon,
            momentum=self.momentum,
            y=y,
            mean=mean,
            rstd=rstd,
        )

        def rule(dy):
            return trace.call(
                "batch_norm_backward",
                dy=dy,
                x=x,
                gamma=self.gamma,
                mean=mean,
                rstd=rstd,
                dx=trace.buffer(x.shape),
                dgamma=trace.gradient_of(self.gamma),
                dbeta=trace.gradient_of(self.beta),
            )

        trace.record([x], y, rule, [self.gamma, self.beta])
        return y
