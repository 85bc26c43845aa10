"""Batches from a data set: picking, normalising and warping images.

A `source` is uint8 or float32; `index` holds integers (N,) in [0, M); `scale` and `shift` (C,) give
y = scale * value + shift, with defaults 1 and 0.
"""

from pyconv import _core
from pyconv.ops.arguments import Arguments, as_int32
from pyconv.philox import to_rng_state

__all__ = ["affine", "gather", "random_affine"]


def gather(source, index=None, *, scale=None, shift=None):
    """Pick examples from a data set and normalise them, as float32.

    Args:
        source: (M, ..., C), uint8 or float32.
        index: integers (N,) in [0, M); None: all of them, in order.
        scale, shift: (C,); y = scale * value + shift.

    Returns:
        y (N, ..., C).

    Raises ValueError for an index outside [0, M).
    """
    optional = {"index": as_int32(index, "gather", "index"), "scale": scale, "shift": shift}
    a = Arguments("gather", source=source, optional=optional)
    return a.give(_core.gather(a.source, a.index, scale=a.scale, shift=a.shift))


def affine(source, matrix, index=None, *, scale=None, shift=None, fill_mode="nearest", fill_value=0.0):
    """Pick images from a data set, warp each by its own matrix (bilinear) and normalise them, as float32.

    Args:
        source: (M, H, W, C), uint8 or float32.
        matrix: (N, 6): output pixel (h, w) reads source row m0 h + m1 w + m2 and column m3 h + m4 w + m5, in
            pixels with centres at integers.
        index: integers (N,) in [0, M); None: all of them, in order.
        scale, shift: (C,); y = scale * value + shift.
        fill_mode: what is outside the image: "nearest" (the edge's pixel), "constant" or "reflect" (about the
            edge: d c b a | a b c d | d c b a).
        fill_value: the constant, in the units of `source`.

    Returns:
        y (N, H, W, C).

    Raises ValueError for an index outside [0, M).
    """
    optional = {"index": as_int32(index, "affine", "index"), "scale": scale, "shift": shift}
    a = Arguments("affine", source=source, matrix=matrix, optional=optional)
    y = _core.affine(
        a.source,
        a.matrix,
        a.index,
        scale=a.scale,
        shift=a.shift,
        fill_mode=fill_mode,
        fill_value=fill_value,
    )
    return a.give(y)


def random_affine(
    index,
    *,
    height,
    width,
    rotation_range=0.0,
    height_shift_range=0.0,
    width_shift_range=0.0,
    horizontal_flip=False,
    vertical_flip=False,
    seed,
    epoch=0,
):
    """Draw a warp for each image: the `matrix` of `affine`, composed as Keras' ImageDataGenerator does.

    An image's warp depends on its index, the seed and the epoch, and not on its place in the batch.

    Args:
        index: integers (N,), the images' places in the data set.
        height, width: the images' size in pixels.
        rotation_range: degrees; the angle is uniform in [-r, r], about the centre.
        height_shift_range, width_shift_range: fractions of the size; the shift is uniform in [-r, r].
        horizontal_flip, vertical_flip: flip with probability 1/2.
        seed: integer in [0, 2**64).
        epoch: integer in [0, 2**32); another one draws anew.

    Returns:
        matrix (N, 6).
    """
    a = Arguments("random_affine", index=as_int32(index, "random_affine", "index"))
    matrix = _core.random_affine(
        a.constant(to_rng_state(seed, epoch, op="random_affine")),
        a.index,
        height=height,
        width=width,
        rotation_range=rotation_range,
        height_shift_range=height_shift_range,
        width_shift_range=width_shift_range,
        horizontal_flip=horizontal_flip,
        vertical_flip=vertical_flip,
    )
    return a.give(matrix)
