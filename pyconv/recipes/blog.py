"""The network of the blog post: six convolutions, about 85% on CIFAR-10 after 64 epochs."""

from pyconv import layers, regularizers
from pyconv.models import Sequential
from pyconv.recipes.settings import Settings, given

__all__ = ["Settings", "network"]


def network(settings=None, input_shape=(32, 32, 3), classes=10):
    """Return the network: three stages of two convolutions, each followed by ReLU, then normalisation."""
    settings = given(settings, Settings)
    model = Sequential(name="blog", seed=settings.seed)
    model.add(layers.Normalization(input_shape=input_shape))
    for filters in (32, 64, 128):
        for _ in range(2):
            model.add(
                layers.Conv2D(filters, 3, padding="same", kernel_regularizer=regularizers.L2(settings.l2))
            )
            model.add(layers.Activation("relu"))
            model.add(layers.BatchNormalization())
        model.add(layers.MaxPooling2D(2))
        if settings.dropout:
            model.add(layers.Dropout(settings.dropout))
    model.add(layers.Flatten())
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(classes, activation="softmax"))
    return model
