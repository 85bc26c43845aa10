"""Images that excite a channel, a unit or a class most, and DeepDream."""

import numpy as np

from pyconv import arguments
from pyconv.inspect.pictures import Adam, Fourier, Pixels, Warp, resized
from pyconv.inspect.probe import Probe, expect_images, images_of, layer_at
from pyconv.layers import Normalization

_PARAMETRISATIONS = {"fourier": Fourier, "pixel": Pixels}


def maximise(
    model,
    of,
    layer=None,
    *,
    steps=256,
    size=None,
    parametrisation="fourier",
    learning_rate=0.05,
    jitter=None,
    scale=0.1,
    rotation=5.0,
    total_variation=0.0,
    values=None,
    seed=0,
):
    """Return images that excite what `of` names most, float32 (M, H, W, C): gradient ascent from noise.

    Erhan et al., "Visualizing Higher-Layer Features of a Deep Network" (2009); Olah, Mordvintsev and
    Schubert, "Feature Visualization" (Distill, 2017), whose means against noise can be chosen here.

    Args:
        model: a built model of one input: images.
        of: a class, or a channel of `layer` (the mean of its map), or a list of such, an image for each; with
            `layer`, a tuple (row, column, channel): one unit.
        layer: a layer's name; of its values below its own activation, whose gradient may be 0 everywhere.
            None: the model's scores, below the softmax at its end.
        steps: of Adam.
        size: (H, W). None: the model's; another one needs a layer before Flatten or Dense.
        parametrisation: "fourier", or "pixel".
        learning_rate: Adam's.
        jitter: pixels by which the image is shifted at random in each step. None: a sixteenth of its height.
        scale: it is also scaled by up to this share,
        rotation: and turned by up to so many degrees.
        total_variation: what the sum of differences between neighbours counts for, per pixel.
        values: (least, largest) that pixels have. None: (0, 255) for a model that begins with a Normalization
            whose mean is above 1, else (0, 1).
        seed: keys noise and shifts.
    """
    op = "maximise"
    expect_images(model, op)
    if len(model.input_shape) != 3:
        raise ValueError(f"[{op}] the model takes {model.input_shape}, expected images (H, W, C)")
    steps = arguments.integer(steps, "steps", op, least=0, most=_MOST_STEPS)
    chosen = arguments.choice(parametrisation, tuple(_PARAMETRISATIONS), "parametrisation", op)
    rate = arguments.number(learning_rate, "learning_rate", op, above=0)
    scale = arguments.number(scale, "scale", op, least=0, below=1)
    rotation = np.deg2rad(arguments.number(rotation, "rotation", op, least=0, most=180))
    smooth = arguments.number(total_variation, "total_variation", op, least=0)
    least, largest = value_range(model, values, op)
    height, width = model.input_shape[:2] if size is None else _size(size, op)
    jitter = (
        height // 16 if jitter is None else arguments.integer(jitter, "jitter", op, least=0, most=_LARGEST)
    )
    rng = np.random.default_rng(arguments.seed(seed, op))

    wanted = of if isinstance(of, list) else [of]
    if not wanted:
        raise ValueError(f"[{op}] of is an empty list, expected at least one channel or class")
    if layer is not None:
        layer_at(model, layer)
    shape = (len(wanted), height, width, model.input_shape[2])
    probe = Probe(model, shape, gradient_of=Probe.SCORES if layer is None else layer, below_activation=True)
    weights = _weights(probe.weights_shape, wanted, op)
    picture, adam = _PARAMETRISATIONS[chosen](shape, rng), Adam(rate)
    for _ in range(steps):
        unit = _sigmoid(picture.images())
        angle, zoom = rng.uniform(-rotation, rotation), 1 + rng.uniform(-scale, scale)
        warp = Warp((height, width), angle, zoom, rng.uniform(-jitter, jitter, 2))
        probe.gradients((least + (largest - least) * warp(unit)).astype(np.float32), weights)
        dunit = (largest - least) * warp.gradient(probe.gradient().astype(np.float64))
        if smooth:
            dunit -= smooth * _total_variation_gradient(unit)
        adam.ascend(picture.values, picture.gradient(dunit * unit * (1 - unit)))
    return (least + (largest - least) * _sigmoid(picture.images())).astype(np.float32)


def deep_dream(
    model,
    x,
    layer,
    channel=None,
    *,
    octaves=4,
    octave_scale=1.4,
    steps=20,
    step=0.005,
    jitter=8,
    values=None,
    seed=0,
):
    """Return images in which a layer sees more of what it saw, float32 (N, H, W, C): DeepDream.

    Mordvintsev, Olah and Tyka, "Inceptionism" (2015). Gradient ascent on the sum of the squares of what the
    layer gives, from a small size (octave) to the image's own; an octave's changes are carried to the next.

    Args:
        model: a built model of one input: images.
        x: images (N, H, W, C), of any size that the layers up to `layer` take in every octave.
        layer: a layer's name, before Flatten or Dense for images that are not of the model's size.
        channel: of the layer. None: all.
        octaves: sizes, each `octave_scale` times the one before.
        steps: of each octave.
        step: how far a step goes where the gradient is as large as its mean, as a share of the values' range.
        jitter: pixels by which the image is rolled at random in each step.
        values: as in `maximise`.
        seed: keys the rolls.
    """
    op, x = "deep_dream", images_of(model, x, "deep_dream")
    if x.ndim != 4:
        raise ValueError(f"[{op}] x has shape {x.shape}, expected images (N, H, W, C)")
    layer_at(model, layer)
    octaves = arguments.integer(octaves, "octaves", op, least=1, most=64)
    factor = arguments.number(octave_scale, "octave_scale", op, above=1)
    steps = arguments.integer(steps, "steps", op, least=0, most=_MOST_STEPS)
    step = arguments.number(step, "step", op, least=0)
    jitter = arguments.integer(jitter, "jitter", op, least=0, most=_LARGEST)
    least, largest = value_range(model, values, op)
    rng = np.random.default_rng(arguments.seed(seed, op))
    sizes = [tuple(round(side / factor**i) for side in x.shape[1:3]) for i in reversed(range(octaves))]
    if min(sizes[0]) < 1:
        raise ValueError(f"[{op}] octaves is {octaves}, expected fewer: the smallest would be {sizes[0]}")
    changes = np.zeros_like(x)
    for size in sizes:
        base = resized(x, *size)
        changes = resized(changes, *size)
        probe = Probe(model, base.shape, gradient_of=layer, of_squares=True)
        weights = np.ones(probe.weights_shape, np.float32)
        if channel is not None:
            last = probe.weights_shape[-1] - 1
            weights[:] = 0
            weights[..., arguments.integer(channel, "channel", op, least=0, most=last)] = 1
        for _ in range(steps):
            shift = tuple(rng.integers(-jitter, jitter + 1, 2))
            probe.gradients(np.roll(base + changes, shift, (1, 2)), weights)
            gradient = np.roll(probe.gradient(), (-shift[0], -shift[1]), (1, 2))
            mean = np.abs(gradient).mean((1, 2, 3), keepdims=True)
            moved = base + changes + step * (largest - least) * gradient / (mean + 1e-12)
            changes = np.clip(moved, least, largest).astype(np.float32) - base
    return x + changes


_MOST_STEPS = 100_000
_LARGEST = 2**14  # pixels of a side


def value_range(model, values, op):
    """Return the least and the largest value of pixels."""
    if values is None:
        first = model.layers[0]
        large = isinstance(first, Normalization) and np.max(first.parameters[0].numpy()) > 1
        return (0.0, 255.0) if large else (0.0, 1.0)
    pair = arguments.items(values, "values", op, "(least, largest)")
    if len(pair) != 2:
        raise ValueError(f"[{op}] values is {arguments.shown(values)}, expected (least, largest)")
    least, largest = (arguments.number(value, "values", op) for value in pair)
    if least >= largest:
        raise ValueError(f"[{op}] values is {arguments.shown(values)}, expected the least before the largest")
    return least, largest


def _size(size, op):
    pair = arguments.items([size, size] if isinstance(size, int) else size, "size", op, "(H, W)")
    if len(pair) != 2:
        raise ValueError(f"[{op}] size is {arguments.shown(size)}, expected (H, W)")
    return tuple(arguments.integer(side, "size", op, least=1, most=_LARGEST) for side in pair)


def _weights(shape, wanted, op):
    """Return the weights of a probe's values, (M, ...): of each image the mean of what is wanted of it."""
    weights = np.zeros(shape, np.float32)
    for row, one in zip(weights, wanted, strict=True):
        index = arguments.items(
            [one] if isinstance(one, (int, np.integer)) else one, "of", op, "a channel or unit"
        )
        if len(index) not in (1, row.ndim):
            raise ValueError(f"[{op}] of has {len(index)} numbers, expected 1 or {row.ndim}")
        sizes = zip(index, shape[-len(index) :], strict=True)
        place = tuple(arguments.integer(i, "of", op, least=-n, most=n - 1) for i, n in sizes)
        chosen = (..., *place) if len(place) == 1 else place
        row[chosen] = 1 / row[chosen].size
    return weights


def _sigmoid(values):
    return 0.5 + 0.5 * np.tanh(0.5 * values)  # which does not overflow


def _total_variation_gradient(images):
    """Return the gradient of the sum of |differences| between neighbours, of images (N, H, W, C)."""
    gradient = np.zeros_like(images)
    for axis in (1, 2):
        signs = np.sign(np.diff(images, axis=axis))
        ahead, behind = [slice(None)] * 4, [slice(None)] * 4
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        gradient[tuple(ahead)] += signs
        gradient[tuple(behind)] -= signs
    return gradient
