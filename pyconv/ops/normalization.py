"""Batch normalisation (Ioffe and Szegedy, https://arxiv.org/abs/1502.03167).

Over all axes but the last, the channels: x is (..., C), every other array (C,).
"""

from pyconv import _core
from pyconv.ops.arguments import Arguments, copied

__all__ = ["batch_norm", "batch_norm_backward", "batch_norm_inference"]


def batch_norm(
    x, gamma=None, beta=None, running_mean=None, running_variance=None, *, epsilon=1e-3, momentum=0.99
):
    """Normalise x by its batch's mean and variance, per channel: y = gamma * (x - mean) * rstd + beta.

    Args:
        x: (..., C).
        gamma, beta: (C,), or None for 1 and 0.
        running_mean, running_variance: (C,), or None. running = momentum * running + (1 - momentum) * batch:
            Keras' meaning of momentum, and its biased variance.
        epsilon: added to the variance.

    Returns:
        (y (..., C), mean (C,), rstd (C,) = 1 / sqrt(variance + epsilon), running_mean, running_variance); the
        last two are new arrays, unchanged for an empty batch, or None where None was given.
    """
    given = {"gamma": gamma, "beta": beta, "running_mean": running_mean, "running_variance": running_variance}
    a = Arguments("batch_norm", x=x, optional=given)
    running = copied(a.running_mean), copied(a.running_variance)
    results = _core.batch_norm(a.x, a.gamma, a.beta, *running, epsilon=epsilon, momentum=momentum)
    return a.give((*results, *running))


def batch_norm_inference(x, gamma, beta, mean, variance, *, epsilon=1e-3):
    """Normalise x (..., C) by the given statistics: gamma * (x - mean) / sqrt(variance + epsilon) + beta.

    gamma and beta (C,), or None for 1 and 0; mean and variance (C,).
    """
    a = Arguments(
        "batch_norm_inference", x=x, mean=mean, variance=variance, optional={"gamma": gamma, "beta": beta}
    )
    return a.give(_core.batch_norm_inference(a.x, a.gamma, a.beta, a.mean, a.variance, epsilon=epsilon))


def batch_norm_backward(dy, x, gamma, mean, rstd):
    """Gradients of `batch_norm` with respect to x, gamma and beta, through the batch's statistics.

    dy and x (..., C), gamma (C,) or None, mean and rstd (C,) as `batch_norm` returned them; returns
    (dx (..., C), dgamma (C,), dbeta (C,)).
    """
    a = Arguments("batch_norm_backward", dy=dy, x=x, mean=mean, rstd=rstd, optional={"gamma": gamma})
    return a.give(_core.batch_norm_backward(a.dy, a.x, a.gamma, a.mean, a.rstd))
