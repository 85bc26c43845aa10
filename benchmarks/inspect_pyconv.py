"""What pyconv does in bench_inspect.py, on the blog's network."""

import numpy as np
from network import IMAGE, batch_of, pyconv_model

CONVOLUTIONS = tuple(f"conv2d_{i}" if i else "conv2d" for i in range(6))


def about():
    from pyconv import __version__, _core

    return lambda: f"pyconv {__version__} ({_core.backend()})"


def features(batch):
    """The maps of all six convolutions, after ReLU."""
    from pyconv import inspect

    model, (x, _) = pyconv_model(), batch_of(batch)
    return lambda: tuple(inspect.features(model, x, CONVOLUTIONS, batch).values())


def gradient(batch):
    """Of each image's own class' score, with respect to the image."""
    from pyconv import inspect

    model, (x, y) = pyconv_model(), batch_of(batch)
    return lambda: inspect.gradient(model, x, y)


def maximise(batch, steps):
    """Images for so many channels of the last convolution, from noise."""
    from pyconv import inspect

    model = pyconv_model()
    return lambda: inspect.maximise(model, list(range(batch)), CONVOLUTIONS[-1], steps=steps)


def dream(size, steps):
    """An image of size x size pixels, four octaves of so many steps."""
    from pyconv import inspect

    model = pyconv_model()
    x = np.random.default_rng(0).uniform(0, 1, (1, size, size, IMAGE[2])).astype(np.float32)
    return lambda: inspect.deep_dream(model, x, CONVOLUTIONS[-1], octaves=4, steps=steps)


TASKS = {"about": about, "features": features, "gradient": gradient, "maximise": maximise, "dream": dream}
