"""A loss of one's own: the focal loss, which looks away from what is learnt already.

    python examples/own_loss.py [--epochs 3]

Lin et al., "Focal Loss for Dense Object Detection" (2017), section 3.2, for classes that exclude each other.
Trains on `shapes`, saves the model and loads it again.
"""

import argparse

from pyconv.datasets import shapes
from pyconv.layers import Conv2D, Dense, GlobalAveragePooling2D, MaxPooling2D
from pyconv.losses import Loss
from pyconv.models import Sequential, load_model
from pyconv.utils import to_categorical


class Focal(Loss):
    """(1 - p)^gamma times the cross-entropy -log p, p being the probability of the true class."""

    def __init__(self, gamma=2):
        self.gamma = gamma

    def call(self, y_true, y_pred):
        p = (y_true * y_pred).sum()
        return (1 - p) ** self.gamma * -(p + 1e-7).log()


def main(arguments=None):
    """Train, save, load; return the model's scores before and after."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args(arguments)

    (x_train, y_train), (x_test, y_test) = shapes.load_data()
    x_train, x_test = x_train / 255, x_test / 255
    y_train, y_test = to_categorical(y_train, 10), to_categorical(y_test, 10)
    model = Sequential(
        [
            Conv2D(16, 3, activation="relu", input_shape=x_train.shape[1:]),
            MaxPooling2D(),
            Conv2D(32, 3, activation="relu"),
            GlobalAveragePooling2D(),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", Focal(gamma=2), ["accuracy"])
    model.fit(x_train, y_train, epochs=options.epochs, validation_data=(x_test, y_test))
    model.save("focal.safetensors")
    return model.evaluate(x_test, y_test), load_model("focal.safetensors").evaluate(x_test, y_test)


if __name__ == "__main__":
    main()
