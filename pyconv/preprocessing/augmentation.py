"""Random rotation, shift and flip of images."""

import numpy as np

from pyconv import _core
from pyconv.ops import as_tensor
from pyconv.philox import to_rng_state
from pyconv.serialization import Configurable

FILL_MODES = ("nearest", "constant", "reflect")


class Augmentation(Configurable):
    """A random affine warp of each image, composed as Keras' `ImageDataGenerator` composes it.

    What an image gets depends on seed, epoch and its place in the data set alone: not on its batch.

    Args:
        rotation_range: degrees; the angle is uniform in [-range, range].
        width_shift_range: fraction of the width in [0, 1); the shift is uniform in [-range, range].
        height_shift_range: fraction of the height, likewise.
        horizontal_flip: mirror left and right with probability 1/2.
        vertical_flip: mirror top and bottom with probability 1/2.
        fill_mode: what lies outside: "nearest" (the edge), "constant" or "reflect" (d c b a | a b c d).
        fill_value: the value outside for "constant", in the units of the source.

    Raises:
        ValueError: for a range or a fill mode that is not one of these.
    """

    def __init__(
        self,
        rotation_range=0.0,
        width_shift_range=0.0,
        height_shift_range=0.0,
        horizontal_flip=False,
        vertical_flip=False,
        fill_mode="nearest",
        fill_value=0.0,
    ):
        self.rotation_range = _check_range("rotation_range", rotation_range, 360.0, "degrees in [0, 360]")
        self.width_shift_range = _check_fraction("width_shift_range", width_shift_range)
        self.height_shift_range = _check_fraction("height_shift_range", height_shift_range)
        self.horizontal_flip = bool(horizontal_flip)
        self.vertical_flip = bool(vertical_flip)
        if fill_mode not in FILL_MODES:
            raise ValueError(
                f"[augmentation] fill_mode is {fill_mode!r}, expected one of {', '.join(FILL_MODES)}"
            )
        self.fill_mode = fill_mode
        self.fill_value = float(fill_value)

    @property
    def ranges(self):
        """The arguments of `random_affine`."""
        names = (
            "rotation_range",
            "height_shift_range",
            "width_shift_range",
            "horizontal_flip",
            "vertical_flip",
        )
        return {name: getattr(self, name) for name in names}

    @property
    def border(self):
        """The arguments of `affine` that say what lies outside the image."""
        return {"fill_mode": self.fill_mode, "fill_value": self.fill_value}

    @property
    def is_identity(self):
        """Whether every image stays as it is."""
        return not any(self.ranges.values())

    def warp(self, source, index, rng, *, scale=None, shift=None, matrix=None, y=None):
        """Pick the images `index` from `source`, warp them and return `scale * value + shift`.

        Args:
            source: Tensor (M, H, W, C), uint8 or float32.
            index: int32 Tensor (N,): the examples of the batch.
            rng: uint32 Tensor (4,), see `to_rng_state`; its step is not looked at.
            scale: float32 Tensor (C,) or None.
            shift: float32 Tensor (C,) or None.
            matrix: float32 Tensor (N, 6) to write the warps to, or None.
            y: float32 Tensor (N, H, W, C) to write to, or None.
        """
        _, height, width, _ = source.shape
        matrix = _core.random_affine(rng, index, height=height, width=width, **self.ranges, matrix=matrix)
        return _core.affine(source, matrix, index, scale=scale, shift=shift, **self.border, y=y)

    def __call__(self, x, *, seed, epoch=0, index=None):
        """Return the images `index` (default: all, in order) of `x`, warped.

        Args:
            x: images (M, H, W, C), uint8 or float32, a NumPy array.
            seed: integer in [0, 2**64).
            epoch: integer in [0, 2**32); another one draws anew.
            index: integers (N,) in [0, M).

        Returns:
            float32 array (N, H, W, C) in the units of `x`.
        """
        source = as_tensor(x, "augmentation", "x")
        if index is None:
            index = np.arange(source.shape[0])
        index = _core.from_numpy(np.ascontiguousarray(index, np.int32))
        return self.warp(source, index, _core.from_numpy(to_rng_state(seed, epoch))).numpy()


def _check_range(name, value, largest, expected):
    if not 0 <= value <= largest:
        raise ValueError(f"[augmentation] {name} is {value}, expected {expected}")
    return float(value)


def _check_fraction(name, value):
    if np.ndim(value) or value >= 1:
        raise ValueError(
            f"[augmentation] {name} is {value}, expected a fraction in [0, 1): "
            "Keras' pixel counts are not offered"
        )
    return _check_range(name, value, 1.0, "a fraction in [0, 1)")
