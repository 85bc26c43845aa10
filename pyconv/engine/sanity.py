"""What is allowed and almost never meant: warned of when training begins."""

import warnings

import numpy as np

from pyconv.engine.data import outside
from pyconv.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Linear,
    Normalization,
    ReLU,
    Residual,
    Softmax,
)
from pyconv.schedules import LearningRateSchedule

_SAMPLE = 256  # images looked at
_RAW = 32.0  # values beyond are those of pictures in 0..255, not of scaled ones


def warn_of_nonsense(trainer, feed, op):
    """Warn of a softmax on top of another or over a single unit, and of inputs in 0..255."""
    if len(trainer.network.outputs) == 1:
        _warn_of_the_end(trainer, op)
    if not trainer.network.trainable_parameters:
        _warn(op, "no parameter is trainable: nothing can be learnt")
    optimizer = trainer.optimizer
    if isinstance(optimizer._learning_rate, LearningRateSchedule) and not optimizer.learning_rate:
        _warn(op, f"the learning rate is 0 at step {optimizer.iterations}: the schedule has ended")
    first, *more = feed.sample(_SAMPLE)
    if first.size and not more and not _rescales(trainer.network.layers):
        values, largest = first, float(np.max(first))
        if largest > _RAW and float(np.min(values)) >= 0:
            _warn(
                op,
                f"x holds values up to {largest:g} and the model does not rescale them: start it with a "
                "Normalization layer that has been adapted to the data, or divide x by 255",
            )


def _warn_of_the_end(trainer, op):
    """Warn of what the last layer and the loss make of each other."""
    name = type(trainer.loss).__name__
    last = _last_activation(trainer.network.layers)
    softmax = isinstance(last, Softmax)
    if softmax and trainer.loss.from_logits:
        _warn(
            op, f"{name} has from_logits=True and the model ends in a softmax: it is applied twice; drop one"
        )
    if (softmax or trainer.loss.from_logits) and trainer.network.output_shape == (1,):
        _warn(
            op,
            "the model ends in one unit, whose softmax is always 1: nothing can be learnt; "
            "give it a unit for each class, 2 for yes and no",
        )
    if (
        softmax
        and isinstance(_last_activation(trainer.network.layers[:-1]), Softmax)
        and not trainer.network.layers[-1].parameters
    ):
        _warn(op, "the model ends in two softmaxes, one on the other; drop one")
    if isinstance(last, ReLU) and trainer.loss.from_logits:
        _warn(op, "the model's logits end in a ReLU, which cuts all below 0; drop it")


def _last_activation(layers):
    """Return the last layer that changes values in prediction; None without one."""
    for layer in reversed(layers):
        inner = None if isinstance(layer, Residual) else _last_activation(layer.children)
        if inner is not None:
            return inner
        if not isinstance(layer, (Dropout, Linear, Flatten, Activation)):
            return layer
    return None


def _is_identity(layer):
    """Whether a Normalization leaves values as they are: by its numbers, or as nobody has adapted it."""
    return layer.mean is None or (np.all(np.equal(layer.mean, 0)) and np.all(np.equal(layer.variance, 1)))


def _rescales(layers):
    """Whether values are normalised before the first weights see them, or no layer with weights is known."""
    for layer in layers:
        if isinstance(layer, BatchNormalization):
            return True
        if isinstance(layer, Normalization) and not _is_identity(layer):
            return True
        if isinstance(layer, (Conv2D, Dense)):
            return False
        if layer.children and not _rescales(layer.children):
            return False
    return True


def _warn(op, text):
    warnings.warn(f"[{op}] {text}", stacklevel=outside())
