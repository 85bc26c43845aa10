"""A small network for the built-in data set: trained in under a minute on two processor cores."""

from dataclasses import dataclass

from pyconv import layers, regularizers
from pyconv.models import Sequential
from pyconv.recipes import settings as common


@dataclass(frozen=True)
class Settings(common.Settings):
    """The shared settings, at values for a quick training on plain images."""

    dataset: str = "shapes"
    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 1e-2
    schedule: str = "one-cycle"
    l2: float = 0.0
    augment: bool = False


def network(settings=None, input_shape=(32, 32, 3), classes=10):
    """Return the network: three convolutions, each with normalisation, ReLU and pooling."""
    settings = common.given(settings, Settings)
    penalty = regularizers.L2(settings.l2) if settings.l2 else None
    model = Sequential(name="shapes", seed=settings.seed)
    model.add(layers.Normalization(input_shape=input_shape))
    for filters in (16, 32, 64):
        model.add(layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_regularizer=penalty))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.Activation("relu"))
        model.add(layers.MaxPooling2D(2))
    if settings.dropout:
        model.add(layers.Dropout(settings.dropout))
    model.add(layers.Flatten())
    model.add(layers.Dense(classes, activation="softmax"))
    return model
