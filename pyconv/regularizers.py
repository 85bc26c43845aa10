"""Penalties on parameters, added to the loss."""

import numpy as np

from pyconv import names
from pyconv.arguments import number
from pyconv.serialization import Configurable, find

__all__ = ["L2", "get", "l2"]


class L2(Configurable):
    """The penalty `l2 * sum(weight ** 2)`, as Keras: its gradient is `2 * l2 * weight`."""

    settable = ()

    def __init__(self, l2=0.01):
        self.l2 = number(l2, "l2", "L2", least=0)

    def __call__(self, weight):
        """Return the penalty of an array."""
        return self.l2 * float(np.sum(np.square(np.asarray(weight, np.float64))))


l2 = L2  # Keras' name for short

CLASSES = {"l2": L2}


def get(identifier):
    """Return the regularizer that `identifier` (an instance, "l2", a config or None) means."""
    return find(identifier, CLASSES, L2, "[regularizer] unknown regularizer", "regularizers")


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
