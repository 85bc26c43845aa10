"""Layers, with Keras' names, arguments and defaults."""

from pyconv import names
from pyconv.layers.activation import *
from pyconv.layers.base import *
from pyconv.layers.batch_normalization import *
from pyconv.layers.conv2d import *
from pyconv.layers.dense import *
from pyconv.layers.dropout import *
from pyconv.layers.flatten import *
from pyconv.layers.input import *
from pyconv.layers.merging import *
from pyconv.layers.normalization import *
from pyconv.layers.parameter import *
from pyconv.layers.pooling import *
from pyconv.layers.residual import *

__all__ = names.made_in(__name__, vars())


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
