"""The network of the blog post "The Inner Workings of Convolutional Nets": six convolutions."""

from dataclasses import dataclass

from pyconv import layers, regularizers
from pyconv.models import Sequential
from pyconv.recipes import settings as common

INITIALIZERS = ("glorot_uniform", "glorot_normal", "he_uniform", "he_normal")
ORDERS = ("relu-bn", "bn-relu")


@dataclass(frozen=True)
class Settings(common.Settings):
    """The post's hyperparameters; those that it leaves open as docs/results.md found them best."""

    batch_size: int = 128
    learning_rate: float = 4e-3
    schedule: str = "one-cycle"
    order: str = common.setting("relu-bn", "ReLU before or after normalisation", choices=ORDERS)
    initializer: str = common.setting(
        "glorot_uniform", f"initial weights: {', '.join(INITIALIZERS)}", choices=INITIALIZERS
    )


def network(settings=None, input_shape=(32, 32, 3), classes=10):
    """Return the network: three stages of two convolutions, a hidden layer of 32 units, softmax."""
    settings = common.given(settings, Settings)
    model = stages(settings, input_shape, [settings.dropout] * 3, name="blog")
    model.add(layers.Dense(32, activation="relu", kernel_initializer=settings.initializer))
    model.add(layers.Dense(classes, activation="softmax", kernel_initializer=settings.initializer))
    return model


def stages(settings, input_shape, dropout, name):
    """Return the model up to its flattened maps; `dropout` has a rate for each of the three stages."""
    model = Sequential(name=name, seed=settings.seed)
    model.add(layers.Normalization(input_shape=input_shape))
    for filters, rate in zip((32, 64, 128), dropout, strict=True):
        for _ in range(2):
            _add_convolution(model, filters, settings)
        model.add(layers.MaxPooling2D(2))
        if rate:
            model.add(layers.Dropout(rate))
    model.add(layers.Flatten())
    return model


def _add_convolution(model, filters, settings):
    penalty = regularizers.L2(settings.l2)
    kernel = {"kernel_initializer": settings.initializer, "kernel_regularizer": penalty}
    model.add(layers.Conv2D(filters, 3, padding="same", **kernel))
    after = [layers.Activation("relu"), layers.BatchNormalization()]
    for layer in after if settings.order == "relu-bn" else reversed(after):
        model.add(layer)
