"""Penalties on parameters, added to the loss."""

import math

import numpy as np

from pyconv.serialization import Configurable, find


class L2(Configurable):
    """The penalty `l2 * sum(weight ** 2)`, as Keras: its gradient is `2 * l2 * weight`."""

    def __init__(self, l2=0.01):
        self.l2 = float(l2)
        self._expect("l2", 0 <= self.l2 < math.inf, "a number of at least 0")

    def __call__(self, weight):
        """Return the penalty of an array."""
        return self.l2 * float(np.sum(np.square(np.asarray(weight, np.float64))))


l2 = L2  # Keras' name for short


def get(identifier):
    """Return the regularizer that `identifier` (an instance, "l2", a config or None) means."""
    return find(identifier, {"l2": L2}, "regularizer")
