"""What is allowed and almost never meant: warned of when training begins."""

import warnings

import numpy as np

from pyconv.data import outside
from pyconv.layers import BatchNormalization, Conv2D, Dense, Normalization, Softmax

_SAMPLE = 256  # images looked at
_RAW = 32.0  # values beyond are those of pictures in 0..255, not of scaled ones


def warn_of_nonsense(model, feed, op):
    """Warn of a softmax on top of another or over a single unit, and of inputs in 0..255."""
    name = type(model.loss).__name__
    softmax = _ends_in_softmax(model.layers[-1])
    if softmax and model.loss.from_logits:
        _warn(
            op, f"{name} has from_logits=True and the model ends in a softmax: it is applied twice; drop one"
        )
    if (softmax or model.loss.from_logits) and model.output_shape == (1,):
        _warn(
            op,
            "the model ends in one unit, whose softmax is always 1: nothing can be learnt; "
            "give it a unit for each class, 2 for yes and no",
        )
    if softmax and any(_ends_in_softmax(layer) for layer in model.layers[-2:-1]):
        _warn(op, "the model ends in two softmaxes, one on the other; drop one")
    values = feed.sample(_SAMPLE)
    if values.size and not _rescales(model.layers):
        largest = float(np.max(values))
        if largest > _RAW and float(np.min(values)) >= 0:
            _warn(
                op,
                f"x holds values up to {largest:g} and the model does not rescale them: start it with a "
                "Normalization layer that has been adapted to the data, or divide x by 255",
            )


def _ends_in_softmax(layer):
    return isinstance(layer, Softmax) or bool(layer.children and _ends_in_softmax(layer.children[-1]))


def _rescales(layers):
    """Whether values are normalised before the first weights see them, or no layer with weights is known."""
    for layer in layers:
        if isinstance(layer, BatchNormalization):
            return True
        if isinstance(layer, Normalization) and layer.mean is not None:
            return True
        if isinstance(layer, (Conv2D, Dense)):
            return False
        if layer.children and not _rescales(layer.children):
            return False
    return True


def _warn(op, text):
    warnings.warn(f"[{op}] {text}", stacklevel=outside())
