"""Random rotation, shift and flip of images."""

import numbers

import numpy as np

from pyconv import _core, arguments, ops
from pyconv.arguments import choice, flag, integer, number, shown
from pyconv.serialization import Configurable

_OP = "Augmentation"
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

    settable = ()

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
        self.rotation_range = number(rotation_range, "rotation_range", _OP, least=0, most=360)
        self.width_shift_range = _fraction(width_shift_range, "width_shift_range")
        self.height_shift_range = _fraction(height_shift_range, "height_shift_range")
        self.horizontal_flip = flag(horizontal_flip, "horizontal_flip", _OP)
        self.vertical_flip = flag(vertical_flip, "vertical_flip", _OP)
        self.fill_mode = choice(fill_mode, FILL_MODES, "fill_mode", _OP)
        self.fill_value = number(fill_value, "fill_value", _OP, least=-3.4e38, most=3.4e38)

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

    def __call__(self, x, index=None, *, seed, epoch=0, scale=None, shift=None):
        """Return the images `index` (None: all of them, in order) of `x`, warped, as `scale * value + shift`.

        Args:
            x: (M, H, W, C), uint8 or float32.
            index: integers (N,) in [0, M), the images' places in the data set.
            seed: integer in [0, 2**64).
            epoch: integer in [0, 2**32); another one draws anew.
            scale: (C,), or None for 1.
            shift: (C,), or None for 0.

        Returns:
            float32 (N, H, W, C).
        """
        if not isinstance(x, (np.ndarray, _core.Tensor)) or len(x.shape) != 4:
            raise TypeError(f"[{_OP}] x is {shown(x)}, expected images (M, H, W, C)")
        seed, epoch = arguments.seed(seed, _OP), integer(epoch, "epoch", _OP, least=0, most=2**32 - 1)
        count, height, width, _ = x.shape
        try:
            index = np.arange(count) if index is None else np.asarray(index)
        except ValueError:  # rows of different lengths
            raise ValueError(f"[{_OP}] index is {shown(index)}, expected integers (N,)") from None
        matrix = ops.random_affine(index, height=height, width=width, **self.ranges, seed=seed, epoch=epoch)
        return ops.affine(x, matrix, index, scale=scale, shift=shift, **self.border)


def _fraction(value, name):
    """Return a shift in [0, 1); Keras' pixel counts and lists are refused."""
    if isinstance(value, (list, tuple, np.ndarray)) or (isinstance(value, numbers.Real) and value >= 1):
        raise ValueError(
            f"[{_OP}] {name} is {shown(value)}, expected a fraction in [0, 1): "
            "Keras' pixel counts are not offered"
        )
    return number(value, name, _OP, least=0, below=1)
