"""Right and wrong answers on a data set, and the images that excite a channel."""

import numpy as np

from pyconv import arguments
from pyconv.engine.data import as_targets
from pyconv.engine.fit_arguments import BATCH
from pyconv.inspect.features import batches
from pyconv.inspect.fields import receptive_field
from pyconv.inspect.probe import images_of, shape_of


def confusion(model, x, y, batch_size=BATCH):
    """Return how often a class was taken for another: counts (K, K), int64.

    True classes are rows, predicted ones columns.

    Args:
        model: a built model that gives (K,): one score a class.
        x: images (N, H, W, C).
        y: labels (N,), or rows (N, K), of which the largest counts.
        batch_size: images at a time.
    """
    labels, predicted, _ = _answers(model, x, y, batch_size, "confusion")
    counts = np.zeros((model.output_shape[0],) * 2, np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def mistakes(model, x, y, count=None, batch_size=BATCH):
    """Return (index, predicted, score) of the images answered wrongly, the highest score first.

    Args:
        model, x, y, batch_size: as in `confusion`.
        count: how many at most. None: all.

    Returns:
        index (M,) of the images, int64; predicted (M,), the classes taken instead, int64; score (M,), what
        the model gave these, float32.
    """
    labels, predicted, scores = _answers(model, x, y, batch_size, "mistakes")
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-scores[wrong], kind="stable")]
    if count is not None:
        wrong = wrong[: arguments.integer(count, "count", "mistakes", least=0)]
    return wrong, predicted[wrong], scores[wrong]


def top_patches(model, x, layer, channel, count=9, batch_size=BATCH):
    """Return the pieces of images that excite a channel most: of each image what its best unit sees.

    After Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014), figure 2.

    Args:
        model: a built model of one input.
        x: images (N, H, W, C) of the model's size.
        layer: the name of a layer with maps.
        channel: of that layer.
        count: pieces at most.
        batch_size: images at a time.

    Returns:
        (patches, index, place, value), the highest value first: patches (M, h, w, C), of x's type, 0 beyond
        the image; index (M,) of their images; place (M, 2), row and column of the unit; value (M,), what it
        gave.
    """
    op, images = "top_patches", images_of(model, x, "top_patches")
    shape = shape_of(model, layer)
    if len(shape) != 3:
        raise ValueError(f"[{op}] layer {layer} has no maps, expected one that gives (H, W, C)")
    channel = arguments.integer(channel, "channel", op, least=0, most=shape[2] - 1)
    count = arguments.integer(count, "count", op, least=1)
    size = arguments.integer(batch_size, "batch_size", op, least=1)
    best, value = [], []
    for values in batches(model, images, [layer], size):
        flat = values[layer][..., channel].reshape(-1, shape[0] * shape[1])
        best.append(flat.argmax(1))
        value.append(flat.max(1))
    best, value = np.concatenate(best), np.concatenate(value)
    index = np.argsort(-value, kind="stable")[:count]
    place = np.stack(np.divmod(best[index], shape[1]), 1)
    middle = receptive_field(model, layer, clip=False)
    images = np.asarray(x)
    patches = np.zeros((len(index), middle.height, middle.width, images.shape[3]), images.dtype)
    for patch, i, (row, column) in zip(patches, index, place, strict=True):
        box = receptive_field(model, layer, int(row), int(column), clip=False)
        part = box.inside(*images.shape[1:3])
        there = (
            slice(part.top - box.top, part.bottom - box.top),
            slice(part.left - box.left, part.right - box.left),
        )
        patch[there] = images[i, part.top : part.bottom, part.left : part.right]
    return patches, index, place, value[index]


def _answers(model, x, y, batch_size, op):
    """Return labels, predicted classes and the scores of these."""
    images = images_of(model, x, op)
    shape = model.network.output_shape
    if isinstance(shape, list) or len(shape) != 1:
        raise ValueError(f"[{op}] the model gives {shape}, expected (K,): one score a class")
    targets = as_targets(y, shape[0], len(images), op)
    size = arguments.integer(batch_size, "batch_size", op, least=1)
    scores = model.predict(images, batch_size=size)
    labels = targets.argmax(1) if targets.ndim == 2 else targets.astype(np.int64)
    predicted = scores.argmax(1)
    return labels, predicted, scores[np.arange(len(scores)), predicted]
