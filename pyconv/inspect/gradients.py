"""What a score would change by: gradients of images, saliency, class activation maps, occlusion."""

import numpy as np

from pyconv import arguments
from pyconv.engine.data import as_array
from pyconv.inspect.probe import Probe, images_of, layer_at, probe_of, shape_of
from pyconv.layers import Conv2D

_MOST_SAMPLES = 10_000


def gradient(model, x, of=None, layer=None):
    """Return the gradient of one score of each image with respect to the image, float32 (N, H, W, C).

    A score is a value that the model gives, below the softmax at its end (Simonyan et al., "Deep Inside
    Convolutional Networks", 2013, section 3): a probability's gradient vanishes where it is near 1.

    Args:
        model: a built model of one input, in prediction's form: running statistics, no dropout.
        x: images (N, H, W, C).
        of: a class, or one for each image, (N,). None: the class of the largest score. With `layer`: which of
            its values, a channel (the sum of its map) or (row, column, channel).
        layer: None, or the name of the layer that the value is of; x may then have any size that the layers
            up to it take.
    """
    x = images_of(model, x, "gradient")
    if layer is not None:
        layer_at(model, layer)
    with model.trainer.turns:
        probe = probe_of(model, x.shape, gradient_of=Probe.SCORES if layer is None else layer)
        probe.gradients(x, _weights(probe, x, of, layer, "gradient"))
        return probe.gradient().copy()


def saliency(model, x, of=None, samples=0, noise=0.1, seed=0):
    """Return how much each pixel matters for a score: the largest |gradient| of its channels, (N, H, W).

    Simonyan et al., "Deep Inside Convolutional Networks" (2013), section 3.1. With `samples`, of the mean
    gradient of so many noisy copies (SmoothGrad; Smilkov et al., 2017, section 3.2).

    Args:
        model, x, of: as in `gradient`.
        samples: noisy copies; 0: the image itself.
        noise: their standard deviation, as a share of the image's range.
        seed: keys the noise.
    """
    x = images_of(model, x, "saliency")
    samples = arguments.integer(samples, "samples", "saliency", least=0, most=_MOST_SAMPLES)
    noise = arguments.number(noise, "noise", "saliency", least=0)
    probe = Probe(model, x.shape, gradient_of=Probe.SCORES)
    weights = _weights(probe, x, of, None, "saliency")
    if not samples:
        probe.gradients(x, weights)
        return np.abs(probe.gradient()).max(-1)  # a copy
    rng = np.random.default_rng(arguments.seed(seed, "saliency"))
    axes = tuple(range(1, x.ndim))
    sigma = noise * (x.max(axes, keepdims=True) - x.min(axes, keepdims=True))
    total = np.zeros(x.shape, np.float64)
    for _ in range(samples):
        probe.gradients(x + sigma * rng.standard_normal(x.shape, np.float32), weights)
        total += probe.gradient()
    return np.abs(total / samples).max(-1).astype(np.float32)


def grad_cam(model, x, of=None, layer=None):
    """Return where a layer's maps speak for a class, (N, h, w), of the layer's size, at least 0.

    The maps' sum, each times the mean of the score's gradient over its pixels, and a ReLU of that: Selvaraju
    et al., "Grad-CAM" (2017), equations 1 and 2.

    Args:
        model, x, of: as in `gradient`, without its `layer`.
        layer: the name of a layer with maps. None: the last convolution.
    """
    x = images_of(model, x, "grad_cam")
    if layer is None:
        convolutions = [path for path, one in model.network.walk() if isinstance(one, Conv2D)]
        if not convolutions:
            raise ValueError("[grad_cam] the model has no convolution, expected layer: one with maps")
        layer = convolutions[-1]
    if len(shape_of(model, layer)) != 3:
        raise ValueError(f"[grad_cam] layer {layer} has no maps, expected one that gives (H, W, C)")
    with model.trainer.turns:
        probe = probe_of(model, x.shape, [layer], gradient_of=Probe.SCORES, with_respect_to=[layer])
        probe.gradients(x, _weights(probe, x, of, None, "grad_cam"))
        shares = probe.gradient(layer).mean((1, 2), keepdims=True)
        return np.maximum((shares * probe.value(layer)).sum(-1), 0)


def occlusion(model, x, of=None, size=8, stride=4, value=None):
    """Return by how much a score falls where a square of the image is hidden, (N, rows, columns).

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014), section 4.2. Squares of
    `size` pixels lie `stride` apart, from the top left corner on, the last ones at the image's end.

    Args:
        model, x, of: as in `gradient`, without its `layer`.
        size, stride: pixels.
        value: what hides: a number, or one for each channel. None: the mean of each image's channels.
    """
    x = images_of(model, x, "occlusion")
    if x.ndim != 4:
        raise ValueError(f"[occlusion] x has shape {x.shape}, expected images (N, H, W, C)")
    n, height, width, channels = x.shape
    most = min(height, width)
    size = arguments.integer(size, "size", "occlusion", least=1, most=most)
    stride = arguments.integer(stride, "stride", "occlusion", least=1, most=most)
    hidden = x.mean((1, 2), keepdims=True) if value is None else _colour(value, channels)
    rows, columns = _starts(height, size, stride), _starts(width, size, stride)
    probe = Probe(model, x.shape, gradient_of=Probe.SCORES)
    weights = _weights(probe, x, of, None, "occlusion")
    probe.values(x)
    whole = (weights * probe.scores()).sum(1)
    fall = np.empty((n, len(rows), len(columns)), np.float32)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            covered = x.copy()
            covered[:, row : row + size, column : column + size] = hidden
            probe.values(covered)
            fall[:, i, j] = whole - (weights * probe.scores()).sum(1)
    return fall


def _colour(value, channels):
    """Return a number, or one for each channel, as float32."""
    expected = f"expected a number, or {channels} of them"
    if isinstance(value, (list, tuple, np.ndarray)):
        given = as_array(value, "occlusion", "value")
        if given.dtype.kind not in "fiu" or given.shape != (channels,):
            raise ValueError(f"[occlusion] value is {arguments.shown(value)}, {expected}")
        return given.astype(np.float32)
    return np.float32(arguments.number(value, "value", "occlusion"))


def _starts(length, size, stride):
    """Return where squares begin along a side."""
    starts = list(range(0, length - size + 1, stride))
    return starts if starts[-1] == length - size else [*starts, length - size]


def _weights(probe, x, of, layer, op):
    """Return what the gradient is the gradient of, as weights of the probe's values: 1 where it is meant."""
    shape = probe.weights_shape
    weights = np.zeros(shape, np.float32)
    if layer is not None:
        index = arguments.items([of] if isinstance(of, (int, np.integer)) else of, "of", op, "an index")
        if len(index) not in (1, len(shape) - 1):
            raise ValueError(f"[{op}] of has {len(index)} numbers, expected 1 or {len(shape) - 1}")
        sizes = zip(index, shape[-len(index) :], strict=True)
        index = [arguments.integer(i, "of", op, least=-n, most=n - 1) for i, n in sizes]
        weights[(..., *index) if len(index) == 1 else (slice(None), *index)] = 1
        return weights
    if len(shape) != 2:
        raise ValueError(
            f"[{op}] the model gives values of shape {shape[1:]}, expected (K,): a score a class"
        )
    if of is None:
        probe.values(x)
        of = probe.scores().argmax(1)
    classes = np.asarray(of) if isinstance(of, (int, np.integer)) else as_array(of, op, "of")
    if classes.dtype.kind not in "iu" or classes.shape not in ((), (len(x),)):
        raise ValueError(f"[{op}] of is {arguments.shown(of)}, expected a class or {len(x)} of them")
    if classes.size and not (classes.min() >= 0 and classes.max() < shape[1]):
        raise ValueError(f"[{op}] of is {arguments.shown(of)}, expected classes from 0 to {shape[1] - 1}")
    weights[np.arange(len(x)), classes] = 1
    return weights
