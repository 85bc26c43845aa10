"""The script of the blog post "The Inner Workings of Convolutional Nets", written anew for pyconv.

    python examples/blog.py [--data-dir FOLDER] [--epochs 64]

A Keras script but for its imports. CIFAR-10, about 85% test accuracy after 64 epochs.
"""

import argparse

from pyconv.datasets import cifar10
from pyconv.layers import Activation, BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D
from pyconv.models import Sequential
from pyconv.optimizers import Adam
from pyconv.preprocessing.image import ImageDataGenerator
from pyconv.regularizers import l2
from pyconv.utils import to_categorical


def build():
    """Return the post's network."""
    model = Sequential()
    model.add(Conv2D(32, (3, 3), padding="same", kernel_regularizer=l2(1e-4), input_shape=(32, 32, 3)))
    model.add(Activation("relu"))
    model.add(BatchNormalization())
    model.add(Conv2D(32, (3, 3), padding="same", kernel_regularizer=l2(1e-4)))
    model.add(Activation("relu"))
    model.add(BatchNormalization())
    model.add(MaxPooling2D(pool_size=(2, 2)))

    model.add(Conv2D(64, (3, 3), padding="same", kernel_regularizer=l2(1e-4)))
    model.add(Activation("relu"))
    model.add(BatchNormalization())
    model.add(Conv2D(64, (3, 3), padding="same", kernel_regularizer=l2(1e-4)))
    model.add(Activation("relu"))
    model.add(BatchNormalization())
    model.add(MaxPooling2D(pool_size=(2, 2)))

    model.add(Conv2D(128, (3, 3), padding="same", kernel_regularizer=l2(1e-4)))
    model.add(Activation("relu"))
    model.add(BatchNormalization())
    model.add(Conv2D(128, (3, 3), padding="same", kernel_regularizer=l2(1e-4)))
    model.add(Activation("relu"))
    model.add(BatchNormalization())
    model.add(MaxPooling2D(pool_size=(2, 2)))

    model.add(Flatten())
    model.add(Dense(32, activation="relu"))
    model.add(Dense(10, activation="softmax"))
    return model


def main(arguments=None):
    """Train, and write the architecture and the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder with CIFAR-10; default: the cache folder, else a download")
    parser.add_argument("--epochs", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--images", type=int, default=50000, help="training images to use")
    options = parser.parse_args(arguments)

    (x_train, y_train), (x_test, y_test) = cifar10.load_data(options.data_dir)
    x_train, y_train = x_train[: options.images], y_train[: options.images]
    x_train = x_train.astype("float32")
    x_test = x_test.astype("float32")

    mean = x_train.mean(axis=(0, 1, 2, 3))
    std = x_train.std(axis=(0, 1, 2, 3))
    x_train = (x_train - mean) / (std + 1e-7)
    x_test = (x_test - mean) / (std + 1e-7)

    y_train = to_categorical(y_train, 10)
    y_test = to_categorical(y_test, 10)

    model = build()
    model.summary()

    datagen = ImageDataGenerator(
        rotation_range=45, width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True
    )
    datagen.fit(x_train)

    model.compile(optimizer=Adam(learning_rate=1e-3), loss="categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        datagen.flow(x_train, y_train, batch_size=options.batch_size),
        epochs=options.epochs,
        validation_data=(x_test, y_test),
    )

    with open("model.json", "w") as file:
        file.write(model.to_json())
    model.save_weights("model.safetensors")
    return history


if __name__ == "__main__":
    main()
