"""Small networks to look into, with weights that nothing is special about."""

import numpy as np

from pyconv import Model, Sequential
from pyconv.layers import (
    GELU,
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    Linear,
    MaxPooling2D,
    Multiply,
    Normalization,
    ReLU,
    Residual,
    Softmax,
)

SHAPE = (12, 12, 3)


def ready(model, seed=0):
    """Give the running statistics values as after a training."""
    rng = np.random.default_rng(seed)
    for parameter in model.parameters:
        if parameter.name in ("moving_mean", "beta", "bias"):
            parameter.assign(rng.normal(0, 0.3, parameter.shape))
        if parameter.name in ("moving_variance", "gamma"):
            parameter.assign(rng.uniform(0.5, 1.5, parameter.shape))
    return model


def chain():
    """As the post's: convolutions, ReLU, batch normalisation, pooling, dense layers, softmax."""
    return ready(
        Sequential(
            [
                Normalization([0.1, 0.2, 0.3], [2.0, 3.0, 4.0], input_shape=SHAPE),
                Conv2D(16, 3, padding="same"),
                Activation("relu"),
                BatchNormalization(),
                Conv2D(8, 3, padding="same", activation="relu"),
                BatchNormalization(),
                MaxPooling2D(),
                Dropout(0.5),
                Flatten(),
                Dense(6, activation="relu"),
                Dense(4, activation="softmax"),
            ],
            seed=1,
        )
    )


def branched():
    """Branches that meet, and a layer used twice."""
    x = Input(SHAPE)
    start = Conv2D(6, 3, padding="same", activation="relu")(x)
    shared = Conv2D(6, 3, padding="same")
    once = shared(start)
    joined = Concatenate()([Add()([start, once, shared(once)]), Multiply()([start, once])])
    y = Softmax()(Dense(4)(GlobalAveragePooling2D()(joined)))
    return ready(Model(x, y, seed=2))


def odd():
    """What the others leave out: groups, strides, dilation, paddings, activations, average pooling."""
    return ready(
        Sequential(
            [
                Conv2D(6, (3, 2), padding=((1, 0), (2, 1)), groups=3, activation="gelu", input_shape=SHAPE),
                AveragePooling2D(3, strides=2, padding="same"),
                Conv2D(8, 3, strides=2, dilation_rate=2, padding="same", groups=2, use_bias=False),
                GELU(approximate=True),
                MaxPooling2D(2, strides=1, padding="same"),
                Linear(),
                BatchNormalization(center=False, scale=False),
                Flatten(),
                Dense(5, activation="gelu", use_bias=False),
                Dense(3),
                Softmax(),
            ],
            seed=4,
        )
    )


def nested():
    """A residual layer with layers inside."""
    inner = [Conv2D(6, 3, padding="same"), BatchNormalization(), ReLU(), Conv2D(6, 3, padding="same")]
    return ready(
        Sequential(
            [
                Conv2D(6, 3, strides=2, input_shape=SHAPE),
                Residual(inner),
                ReLU(),
                GlobalAveragePooling2D(),
                Dense(4),
            ],
            seed=3,
        )
    )
