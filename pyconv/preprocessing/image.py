"""`ImageDataGenerator`: endless batches of augmented images from arrays, with Keras' arguments."""

import numpy as np

from pyconv import arguments, names, ops
from pyconv.attributes import Checked, Guarded, answering
from pyconv.engine.data import as_array
from pyconv.philox import permutation
from pyconv.preprocessing.augmentation import Augmentation
from pyconv.utils import random_seed

# Keras' other arguments, accepted at the values that switch them off.
_NOT_OFFERED = {
    "samplewise_center": (False,),
    "samplewise_std_normalization": (False,),
    "zca_whitening": (False,),
    "zca_epsilon": (1e-6,),
    "brightness_range": (None,),
    "shear_range": (0,),
    "zoom_range": (0,),
    "channel_shift_range": (0,),
    "data_format": (None, "channels_last"),
    "validation_split": (0,),
    "interpolation_order": (1,),
    "dtype": (None, "float32"),
}


class ImageDataGenerator(Guarded):
    """Batches of augmented, standardised images, as Keras' class of the same name.

    Each image is warped (see `Augmentation`), then goes through `preprocessing_function` and is multiplied by
    `rescale`, then the data set's mean is subtracted and the result divided by its standard deviation.

    Args:
        featurewise_center: subtract the mean of each channel over the data set given to `fit`.
        featurewise_std_normalization: divide by the standard deviation of each channel (+ 1e-6).
        rotation_range: degrees.
        width_shift_range: fraction of the width.
        height_shift_range: fraction of the height.
        fill_mode: what lies outside the image: "nearest", "constant" or "reflect".
        cval: the value outside for "constant", in the units of the source.
        horizontal_flip: mirror left and right with probability 1/2.
        vertical_flip: mirror top and bottom with probability 1/2.
        rescale: factor, or None.
        preprocessing_function: takes one image (H, W, C), float32, and returns one of the same shape.
        **others: Keras' other arguments, at the values that switch them off.

    Raises:
        ValueError: for an argument that Keras has and pyconv does not offer, or a value out of range.
        TypeError: for an argument that Keras does not have.
    """

    settable = ("mean", "std")

    def __init__(
        self,
        featurewise_center=False,
        featurewise_std_normalization=False,
        rotation_range=0,
        width_shift_range=0.0,
        height_shift_range=0.0,
        fill_mode="nearest",
        cval=0.0,
        horizontal_flip=False,
        vertical_flip=False,
        rescale=None,
        preprocessing_function=None,
        **others,
    ):
        for name, value in others.items():
            if name not in _NOT_OFFERED:
                raise TypeError(f"[ImageDataGenerator] unknown argument {name!r}")
            if not any(value is off or (np.isscalar(value) and value == off) for off in _NOT_OFFERED[name]):
                raise ValueError(
                    f"[ImageDataGenerator] {name} is {arguments.shown(value)}: pyconv offers rotation, "
                    "shifts, flips, rescale, featurewise_center, featurewise_std_normalization and "
                    "preprocessing_function"
                )
        self.augmentation = Augmentation(
            rotation_range,
            width_shift_range,
            height_shift_range,
            horizontal_flip,
            vertical_flip,
            fill_mode,
            cval,
        )
        name = "ImageDataGenerator"
        self.featurewise_center = arguments.flag(featurewise_center, "featurewise_center", name)
        self.featurewise_std_normalization = arguments.flag(
            featurewise_std_normalization, "featurewise_std_normalization", name
        )
        if rescale is not None and not arguments.number(rescale, "rescale", name):
            raise ValueError(f"[{name}] rescale is {rescale}, expected a factor other than 0, or None")
        self.rescale = rescale
        if preprocessing_function is not None and not callable(preprocessing_function):
            raise TypeError(
                f"[{name}] preprocessing_function is {arguments.shown(preprocessing_function)}, expected a "
                "function of an image"
            )
        self.preprocessing_function = preprocessing_function
        self.mean = self.std = None

    @answering
    def fit(self, x):
        """Take the mean and the standard deviation of each channel from the images `x` (M, H, W, C).

        They are those of the images as `flow` gives them, before centring and without augmentation.
        """
        x = _check_images(x)
        count, total, squares = 0, 0.0, 0.0
        for first in range(0, len(x), 1024):  # in float64, a part at a time
            part = self._prepare(x[first : first + 1024].astype(np.float32)).astype(np.float64)
            part = part.reshape(-1, x.shape[-1])
            count += len(part)
            total += part.sum(0)
            squares += (part * part).sum(0)
        if not count:
            raise ValueError("[ImageDataGenerator] fit: x has no images")
        mean = total / count
        self.mean = mean.astype(np.float32)
        self.std = np.sqrt(np.maximum(squares / count - mean * mean, 0)).astype(np.float32)

    @answering
    def flow(self, x, y=None, batch_size=32, shuffle=True, seed=None):
        """Return an endless iterator over batches of `x`, or of `x` and `y`; its length is that of an epoch.

        Args:
            x: images (M, H, W, C), uint8 or any real type.
            y: labels, M of them, of any type and shape; None for batches of images alone.
            batch_size: images a batch; the last one of an epoch may have fewer.
            shuffle: a new order each epoch.
            seed: integer in [0, 2**64), for order and augmentation; None: one of its own, drawn from that of
                `utils.set_random_seed`, so that each flow draws anew.
        """
        return ArrayIterator(self, x, y, batch_size, shuffle, random_seed() if seed is None else seed)

    def _prepare(self, images):
        """Apply `preprocessing_function` and `rescale` to float32 images, in place."""
        if self.preprocessing_function:
            for image in images:
                made = np.asarray(self.preprocessing_function(image))
                if made.shape != image.shape or made.dtype.kind not in "fiub":
                    raise ValueError(
                        f"[flow] preprocessing_function gives {arguments.shown(made)}, expected numbers of "
                        f"shape {image.shape}"
                    )
                image[...] = made
        if self.rescale:
            images *= np.float32(self.rescale)
        return images

    def _standardisation(self, channels):
        """Return `scale` and `shift` (C,): what centring and division come to as scale * value + shift."""
        scale, shift = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        if (self.featurewise_center or self.featurewise_std_normalization) and self.mean is None:
            raise ValueError(
                "[ImageDataGenerator] featurewise_center and featurewise_std_normalization need statistics: "
                "call fit(x) first"
            )
        if self.featurewise_std_normalization:
            scale /= self.std + np.float32(1e-6)
        if self.featurewise_center:
            shift -= self.mean * scale
        return scale, shift


class ArrayIterator(Guarded):
    """Batches from arrays for ever: each pass is an epoch with a new order and new augmentation.

    `epoch` and `batch` name the next batch; set them to go on where another iterator was.
    """

    settable = ()
    epoch = Checked(arguments.integer, least=0, most=2**32 - 1)
    batch = Checked(arguments.integer, least=0)

    def __init__(self, generator, x, y, batch_size, shuffle, seed):
        x = _check_images(x)
        if not len(x):
            raise ValueError("[flow] x has no images")
        if y is not None:
            y = as_array(y, "flow", "y")
            if y.ndim == 0 or len(y) != len(x):
                raise ValueError(f"[flow] y has {len(y) if y.ndim else 'no'} labels, x has {len(x)} images")
        self.x = np.ascontiguousarray(x, np.uint8 if x.dtype == np.uint8 else np.float32)
        self.y = y
        self.batch_size = arguments.integer(batch_size, "batch_size", "flow", least=1)
        self.shuffle = arguments.flag(shuffle, "shuffle", "flow")
        self.seed = arguments.seed(seed, "flow")
        self.epoch = self.batch = 0
        if generator.mean is not None and len(generator.mean) != x.shape[-1]:
            raise ValueError(
                f"[flow] x has {x.shape[-1]} channels, the generator was fitted to {len(generator.mean)}"
            )
        self._generator = generator
        self._scale, self._shift = generator._standardisation(x.shape[-1])
        self._order, self._order_epoch = np.arange(len(x), dtype=np.int32), None

    def __len__(self):
        return -(-len(self.x) // self.batch_size)

    def __iter__(self):
        return self

    def __next__(self):
        if self.shuffle and self._order_epoch != self.epoch:
            self._order = permutation(len(self.x), seed=self.seed, epoch=self.epoch)
            self._order_epoch = self.epoch
        index = self._order[self.batch * self.batch_size : (self.batch + 1) * self.batch_size]
        images = self._images(index)
        self.batch += 1
        if self.batch == len(self):
            self.epoch, self.batch = self.epoch + 1, 0
        return images if self.y is None else (images, self.y[index])

    def _images(self, index):
        generator, scale, shift = self._generator, self._scale, self._shift
        if generator.preprocessing_function:  # between the warp and the standardisation
            return generator._prepare(self._warp(index)) * scale + shift
        return self._warp(index, scale=scale * np.float32(generator.rescale or 1), shift=shift)

    def _warp(self, index, **standardisation):
        augmentation = self._generator.augmentation
        if augmentation.is_identity:
            return ops.gather(self.x, index, **standardisation)
        return augmentation(self.x, index, seed=self.seed, epoch=self.epoch, **standardisation)


def _check_images(x):
    x = as_array(x, "ImageDataGenerator", "x")
    if x.dtype.kind not in "fiub":
        raise TypeError(f"[ImageDataGenerator] x has dtype {x.dtype}, expected numbers")
    if x.ndim != 4:
        raise ValueError(f"[ImageDataGenerator] x has shape {x.shape}, expected (M, height, width, channels)")
    return x


def __getattr__(name):
    raise names.missing(__name__, name, ("ArrayIterator", "ImageDataGenerator"))
