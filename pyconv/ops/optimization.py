"""Optimizer steps as pure functions: new arrays out, the given ones stay.

All arrays have the weight's shape. The gradient is dweight + 2 * l2 * weight: Keras' L2 regularisation, whose
loss is l2 * sum(weight**2).
"""

import math

import numpy as np

from pyconv import _core
from pyconv.arguments import integer, number
from pyconv.ops.arguments import Arguments, copied

__all__ = ["adam", "sgd"]


def adam(dweight, weight, m, v, *, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, step, l2=0.0):
    """One step of Adam (Kingma and Ba, https://arxiv.org/abs/1412.6980), with Keras' defaults.

    weight -= alpha * m / (sqrt(v) + epsilon), where alpha = learning_rate * sqrt(1 - beta_2^step) /
    (1 - beta_1^step): the paper's section 2 in its efficient order, so epsilon is its "epsilon hat".

    Args:
        dweight: the gradient of the data loss.
        weight: what is moved.
        m, v: running means of the gradient and of its square, 0 before the first step.
        learning_rate, beta_1, beta_2, epsilon: as in the paper.
        step: 1 for the first one.

    Returns:
        (weight, m, v) after the step.
    """
    step = integer(step, "step", "adam", least=1, most=2**53)
    learning_rate = number(learning_rate, "learning_rate", "adam")
    epsilon = number(epsilon, "epsilon", "adam", least=0)
    beta_1, beta_2 = (
        number(v, n, "adam", least=0, below=1) for v, n in ((beta_1, "beta_1"), (beta_2, "beta_2"))
    )
    a = Arguments("adam", dweight=dweight, weight=weight, m=m, v=v)
    alpha = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    moved = copied(a.weight), copied(a.m), copied(a.v)
    _core.adam(a.dweight, *moved, _hyper(a, alpha, beta_1, beta_2, epsilon), l2=l2)
    return a.give(moved)


def sgd(dweight, weight, velocity=None, *, learning_rate=0.01, momentum=0.0, nesterov=False, l2=0.0):
    """One step of stochastic gradient descent, as Keras writes it.

    velocity = momentum * velocity - learning_rate * gradient; then weight += velocity, or with Nesterov's
    momentum weight += momentum * velocity - learning_rate * gradient (Sutskever et al., ICML 2013).

    Args:
        dweight: the gradient of the data loss.
        weight: what is moved.
        velocity: 0 before the first step; None without momentum.
        learning_rate, momentum, nesterov: as above.

    Returns:
        (weight, velocity) after the step.
    """
    learning_rate = number(learning_rate, "learning_rate", "sgd")
    momentum = number(momentum, "momentum", "sgd")
    if velocity is None and momentum != 0:
        raise ValueError(f"[sgd] velocity is None, expected an array, since momentum is {momentum}")
    a = Arguments("sgd", dweight=dweight, weight=weight, optional={"velocity": velocity})
    moved = copied(a.weight), copied(a.velocity)
    _core.sgd(a.dweight, *moved, _hyper(a, learning_rate, momentum, 0, 0), l2=l2, nesterov=nesterov)
    return a.give(moved)


def _hyper(arguments, *values):
    return arguments.constant(np.array(values, np.float32))
