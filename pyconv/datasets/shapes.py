"""Ten classes of 32x32 colour images, drawn on the spot: a data set that needs no download.

Place, size, stretch, rotation, colours, textures and noise vary; only the shape tells the class. Shapes are
signed distance functions (I. Quilez, https://iquilezles.org/articles/distfunctions2d) in units of the shape's
radius, antialiased over one pixel. Only operations that IEEE 754 rounds exactly are used, so every machine
draws the same bits.
"""

import math

import numpy as np

from pyconv import _core, arguments, philox

CLASS_NAMES = ("disc", "ring", "crescent", "drop", "triangle", "square", "star", "cross", "heart", "arrow")

SIZE = 32  # pixels
CHUNK = 500  # images drawn at a time
_MOST = 2**31 - 1  # images
DRAWS = 32  # random numbers for an image, without its noise


def load_data(train=10000, test=2000, seed=0):
    """Return drawn images as `(x_train, y_train), (x_test, y_test)`, a pure function of the arguments.

    Args:
        train: number of training images.
        test: number of test images.
        seed: integer in [0, 2**64).

    Returns:
        uint8 images (train, 32, 32, 3) and (test, 32, 32, 3); uint8 labels (train, 1) and (test, 1), which
        index `CLASS_NAMES` and take turns. An image depends on the seed and its place alone: fewer images are
        the first ones of more.

    Raises:
        ValueError: for a negative number of images or a seed out of range.
    """
    train = arguments.integer(train, "train", "shapes", least=0, most=_MOST)
    test = arguments.integer(test, "test", "shapes", least=0, most=_MOST)
    seed = arguments.seed(seed, "shapes")
    return _draw(train, seed, 0), _draw(test, seed, 1)


def _draw(count, seed, split):
    x = np.empty((count, SIZE, SIZE, 3), np.uint8)
    y = (np.arange(count) % len(CLASS_NAMES)).astype(np.uint8)[:, None]
    key = {"seed": seed, "purpose": _core.PHILOX_DATA, "epoch": split}
    draws = philox.uniform((count, DRAWS), **key)
    for first in range(0, count, CHUNK):
        rows = slice(first, first + CHUNK)
        noise = philox.words(x[rows].size // 4, **key, step=1 + first // CHUNK)
        x[rows] = _images(y[rows, 0], draws[rows], noise.view(np.uint8).reshape(x[rows].shape))
    return x, y


class _Draws:
    """An image's random numbers, one after the other, each (N, 1, 1) for N images."""

    def __init__(self, draws):
        self._columns = iter(draws.T[:, :, None, None])

    def between(self, low, high):
        return np.float32(low) + np.float32(high - low) * next(self._columns)

    def chance(self, probability):
        return next(self._columns) < np.float32(probability)

    def direction(self, limit):
        """Cosine and sine of a random angle whose half has a tangent within +- limit."""
        t = self.between(-limit, limit)
        return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)


def _images(labels, draws, noise):
    """Draw images (N, 32, 32, 3), uint8, from their random numbers (N, DRAWS) and noise bytes."""
    draw = _Draws(draws)
    column, row = np.meshgrid(*[np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2] * 2)

    radius = draw.between(8, 13)  # pixels
    reach = 15 - np.float32(0.95) * radius  # keeps the shape inside
    y, x = row - reach * draw.between(-1, 1), column - reach * draw.between(-1, 1)
    cosine, sine = draw.direction(2**0.5 - 1)  # up to 45 degrees either way
    stretch = draw.between(0.88, 1.13)
    x, y = (cosine * x + sine * y) * stretch / radius, (cosine * y - sine * x) / (stretch * radius)
    distance = np.empty_like(x)
    for label, shape in enumerate(_SHAPES):
        these = labels == label
        distance[these] = shape(x[these], y[these])
    cover = np.clip(np.float32(0.5) - distance * radius, 0, 1)[..., None]

    # One of shape and background is light, the other dark.
    values = draw.between(0.7, 1), draw.between(0.15, 0.5)
    light, dark = np.where(draw.chance(0.5), values, values[::-1])
    hue = draw.between(0, 1)
    image = _paint(row, column, draw, hue, light)
    image += (_paint(row, column, draw, hue + draw.between(0.2, 0.8), dark) - image) * cover
    image += (noise.astype(np.float32) / 127.5 - 1) * draw.between(0.02, 0.12)[..., None]
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)


def _paint(row, column, draw, hue, value):
    """Colours (N, 32, 32, 3): stripes or checks, from soft to narrow, between two related colours."""
    cosine, sine = draw.direction(1)
    frequency = draw.between(0.015, 0.2)  # cycles per pixel
    stripes = _wave((cosine * row + sine * column) * frequency + draw.between(0, 1))
    checks = _wave((cosine * column - sine * row) * frequency + draw.between(0, 1))
    blend = np.where(draw.chance(1 / 3), stripes * checks, stripes)[..., None]
    saturation = draw.between(0.35, 0.95)
    first = _rgb(hue, saturation, value)
    second = _rgb(hue + draw.between(-0.1, 0.1), saturation, value * draw.between(0.55, 1))
    return first + (second - first) * (blend + 1) / 2


def _wave(phase):
    """Triangle wave of period 1 between -1 and 1."""
    return 1 - 4 * np.abs(phase - np.floor(phase) - np.float32(0.5))


def _rgb(hue, saturation, value):
    """Colours (..., 3) of hue (in turns), saturation and value, all (...)."""
    k = (np.array([5, 3, 1], np.float32) + 6 * hue[..., None]) % 6
    return value[..., None] * (1 - saturation[..., None] * np.clip(np.minimum(k, 4 - k), 0, 1))


# ---- shapes: distance to the edge, negative inside, of points (x right, y down) in units of the radius.


def _circle(x, y, radius):
    return np.sqrt(x * x + y * y) - np.float32(radius)


def _box(x, y, width, height):
    return np.maximum(np.abs(x) - np.float32(width), np.abs(y) - np.float32(height))


def _half_plane(x, y, normal, offset):
    nx, ny = np.array(normal, np.float32)
    return nx * x + ny * y - np.float32(offset)


def _disc(x, y):
    return _circle(x, y, 0.85)


def _ring(x, y):
    return np.abs(_circle(x, y, 0.7)) - np.float32(0.21)


def _crescent(x, y):
    return np.maximum(_circle(x + np.float32(0.15), y, 0.95), -_circle(x - np.float32(0.35), y, 0.78))


def _drop(x, y):
    # A disc, and its tangents up to the tip. Radius and distance of the tip are as 5 to 13.
    normal, offset = (12 / 13, -5 / 13), 0.85 * 5 / 13
    sides = np.maximum(_half_plane(x, y, normal, offset), _half_plane(-x, y, normal, offset))
    tip = np.maximum(sides, y - np.float32(0.26))
    return np.minimum(_circle(x, y - np.float32(0.45), 0.5), tip)


def _triangle(x, y):
    sides = [_half_plane(x, y, normal, 0.5) for normal in _normals(3)]
    return np.maximum.reduce(sides)


def _square(x, y):
    return _box(x, y, 0.72, 0.72)


def _star(x, y):
    # Inside a pentagram at most one of the five lines is crossed: the second largest distance.
    return np.sort([_half_plane(x, y, normal, 0.42) for normal in _normals(5)], axis=0)[-2]


def _cross(x, y):
    return np.minimum(_box(x, y, 0.95, 0.32), _box(x, y, 0.32, 0.95))


def _heart(x, y):
    # A square on its corner and a disc over each upper side.
    u, v = _half_plane(x, y, (0.5**0.5, 0.5**0.5), 0.1), _half_plane(x, y, (-(0.5**0.5), 0.5**0.5), 0.1)
    side = 0.52
    discs = np.minimum(_circle(u + np.float32(side), v, side), _circle(u, v + np.float32(side), side))
    return np.minimum(_box(u, v, side, side), discs)


def _arrow(x, y):
    sides = np.maximum(_half_plane(x, y, (0.8, -0.6), 0.57), _half_plane(-x, y, (0.8, -0.6), 0.57))
    head = np.maximum(sides, y - np.float32(0.05))
    return np.minimum(head, _box(x, y - np.float32(0.45), 0.26, 0.5))


def _normals(corners):
    """Outward normals of a regular polygon's sides, one of them pointing down."""
    angles = [2 * math.pi * k / corners for k in range(corners)]
    return [(math.sin(angle), math.cos(angle)) for angle in angles]


_SHAPES = (_disc, _ring, _crescent, _drop, _triangle, _square, _star, _cross, _heart, _arrow)
