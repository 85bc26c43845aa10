"""Layers, with Keras' names, arguments and defaults."""

from pyconv import names
from pyconv.layers.activation import GELU, Activation, Linear, ReLU, Softmax
from pyconv.layers.base import Layer
from pyconv.layers.batch_normalization import BatchNormalization
from pyconv.layers.conv2d import Conv2D
from pyconv.layers.dense import Dense
from pyconv.layers.dropout import Dropout
from pyconv.layers.flatten import Flatten
from pyconv.layers.input import Input
from pyconv.layers.merging import Add, Concatenate, Multiply
from pyconv.layers.normalization import Normalization
from pyconv.layers.parameter import Parameter
from pyconv.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, MaxPooling2D
from pyconv.layers.residual import Residual

__all__ = [
    "GELU",
    "Activation",
    "Add",
    "AveragePooling2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "Input",
    "Layer",
    "Linear",
    "MaxPooling2D",
    "Multiply",
    "Normalization",
    "Parameter",
    "ReLU",
    "Residual",
    "Softmax",
]


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
