"""Augmentation and ImageDataGenerator; the kernels below them have tests of their own."""

import itertools

import numpy as np
import pytest

import pyconv
from pyconv import _core, philox
from pyconv.preprocessing import Augmentation, ImageDataGenerator
from pyconv.serialization import deserialize, serialize

IMAGES = (
    philox.words(50 * 12 * 10 * 3 // 4, seed=5, purpose=_core.PHILOX_DATA)
    .view(np.uint8)
    .reshape(50, 12, 10, 3)
)
LABELS = np.arange(50, dtype=np.uint8)[:, None]
FULL = {"rotation_range": 45, "width_shift_range": 0.1, "height_shift_range": 0.1, "horizontal_flip": True}


def ramp(count, size=32):
    """Images whose pixels are their column's number."""
    return np.broadcast_to(np.arange(size, dtype=np.float32)[:, None], (count, size, size, 1)).copy()


# ---- Augmentation


def test_identity():
    assert Augmentation().is_identity
    assert not Augmentation(horizontal_flip=True).is_identity
    np.testing.assert_array_equal(Augmentation()(IMAGES, seed=0), IMAGES.astype(np.float32))


@pytest.mark.parametrize(("option", "axis"), [("horizontal_flip", 1), ("vertical_flip", 0)])
def test_flips(option, axis):
    x = np.tile(IMAGES, (8, 1, 1, 1))
    y = Augmentation(**{option: True})(x, seed=0)
    flipped = np.array([not np.array_equal(a, b) for a, b in zip(x, y, strict=True)])
    np.testing.assert_array_equal(y[~flipped], x[~flipped])
    np.testing.assert_array_equal(y[flipped], np.flip(x[flipped], axis + 1))
    assert 160 < flipped.sum() < 240  # 400 throws: 200 +- 10


@pytest.mark.parametrize(
    ("option", "axes"), [("width_shift_range", (0, 1, 2, 3)), ("height_shift_range", (0, 2, 1, 3))]
)
def test_shifts(option, axes):
    x = np.ascontiguousarray(ramp(500).transpose(axes))
    y = Augmentation(**{option: 0.25})(x, seed=0).transpose(axes)
    shift = (y - ramp(500))[:, 16, 16, 0]
    np.testing.assert_allclose(y[:, :, 8:24], (ramp(500) + shift[:, None, None, None])[:, :, 8:24], atol=1e-4)
    assert -8 <= shift.min() < -7.5
    assert 7.5 < shift.max() <= 8
    assert abs(shift.mean()) < 1


def test_rotation():
    y = Augmentation(rotation_range=30)(ramp(500), seed=0)
    np.testing.assert_allclose(y[:, 15:17, 15:17].mean((1, 2, 3)), 15.5, atol=1e-4)  # the centre stays
    slopes = y[:, 16, 17, 0] - y[:, 16, 16, 0], y[:, 17, 16, 0] - y[:, 16, 16, 0]
    angle = np.degrees(np.arctan2(slopes[1], slopes[0]))
    assert -30.01 < angle.min() < -28
    assert 28 < angle.max() < 30.01
    assert abs(angle.mean()) < 3


def test_borders():
    x = np.full((100, 8, 8, 1), 50, np.uint8)
    shifts = {"width_shift_range": 0.5, "height_shift_range": 0.5}
    for fill_mode in ("nearest", "reflect"):
        np.testing.assert_allclose(Augmentation(fill_mode=fill_mode, **shifts)(x, seed=0), 50, rtol=1e-6)
    y = Augmentation(fill_mode="constant", fill_value=7, **shifts)(x, seed=0)
    assert y.min() == pytest.approx(7)
    assert y.max() == pytest.approx(50)


def test_keyed_by_seed_epoch_and_place():
    augmentation = Augmentation(**FULL)
    y = augmentation(IMAGES, seed=3, epoch=2)
    np.testing.assert_array_equal(y, augmentation(IMAGES, seed=3, epoch=2))
    np.testing.assert_array_equal(y[[7, 2, 7]], augmentation(IMAGES, [7, 2, 7], seed=3, epoch=2))
    assert (y != augmentation(IMAGES, seed=3, epoch=3)).any((1, 2, 3)).all()
    assert (y != augmentation(IMAGES, seed=4, epoch=2)).any((1, 2, 3)).all()


def test_scale_and_shift():
    scale, shift = np.array([1, 2, 0.5], np.float32), np.array([0, -3, 1], np.float32)
    y = Augmentation(**FULL)(IMAGES, seed=0)
    np.testing.assert_allclose(
        Augmentation(**FULL)(IMAGES, seed=0, scale=scale, shift=shift),
        scale * y + shift,
        rtol=1e-5,
        atol=1e-4,
    )


def test_config():
    augmentation = Augmentation(fill_mode="constant", fill_value=3, **FULL)
    again = deserialize(serialize(augmentation))
    assert again.get_config() == augmentation.get_config()
    assert again.rotation_range == 45


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rotation_range": -1}, r"rotation_range is -1, expected a number in \[0, 360\]"),
        ({"rotation_range": float("nan")}, "rotation_range is nan"),
        ({"width_shift_range": 3}, r"width_shift_range is 3, expected a fraction in \[0, 1\)"),
        ({"height_shift_range": [0.1, 0.2]}, "height_shift_range is .* pixel counts are not offered"),
        ({"fill_mode": "wrap"}, "fill_mode is 'wrap', expected one of nearest, constant, reflect"),
    ],
)
@pytest.mark.parametrize("kind", [Augmentation, ImageDataGenerator])
def test_bad_arguments(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**arguments)


# ---- ImageDataGenerator


def epochs(flow, count=1):
    """Return what `flow` gives in each of `count` epochs: one array for each of its outputs."""
    return [list(itertools.islice(flow, len(flow))) for _ in range(count)]


def test_every_pass_is_an_epoch_in_a_new_order():
    flow = ImageDataGenerator().flow(IMAGES, LABELS, batch_size=16, seed=1)
    assert len(flow) == 4
    orders = []
    for epoch in epochs(flow, 3):
        assert [len(x) for x, _ in epoch] == [16, 16, 16, 2]
        labels = np.concatenate([y for _, y in epoch])
        assert labels.shape == (50, 1)
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(np.sort(labels[:, 0]), np.arange(50))
        x = np.concatenate([x for x, _ in epoch])
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x, IMAGES[labels[:, 0]].astype(np.float32))
        orders.append(labels)
    assert (orders[0] != orders[1]).any()
    assert (orders[1] != orders[2]).any()


def test_without_shuffle_and_labels():
    flow = ImageDataGenerator().flow(IMAGES, batch_size=50, shuffle=False)
    for _ in range(2):
        np.testing.assert_array_equal(next(flow), IMAGES.astype(np.float32))


@pytest.mark.parametrize("labels", [np.arange(50), list(range(50)), np.eye(50, dtype=np.float32)])
def test_labels_of_any_kind(labels):
    _, y = next(ImageDataGenerator().flow(IMAGES, labels, batch_size=5, shuffle=False))
    np.testing.assert_array_equal(y, np.asarray(labels)[:5])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.float16])
def test_images_of_any_dtype(dtype):
    x = next(ImageDataGenerator(**FULL).flow(IMAGES.astype(dtype), batch_size=50, seed=1))
    np.testing.assert_array_equal(x, next(ImageDataGenerator(**FULL).flow(IMAGES, batch_size=50, seed=1)))


def test_strided_and_read_only_images():
    x = IMAGES[:, ::2, ::-1].copy()
    x.flags.writeable = False
    flow = ImageDataGenerator().flow(IMAGES[:, ::2, ::-1], batch_size=50, shuffle=False)
    np.testing.assert_array_equal(next(flow), x)
    np.testing.assert_array_equal(next(ImageDataGenerator().flow(x, batch_size=50, shuffle=False)), x)


def test_augments_as_augmentation_does():
    flow = ImageDataGenerator(**FULL).flow(IMAGES, LABELS, batch_size=16, seed=9)
    for epoch, batches in enumerate(epochs(flow, 2)):
        for x, y in batches:
            expected = Augmentation(**FULL)(IMAGES, y[:, 0].astype(int), seed=9, epoch=epoch)
            np.testing.assert_array_equal(x, expected)


def test_seeds():
    generator = ImageDataGenerator(**FULL)
    first, again, other = (next(generator.flow(IMAGES, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    pyconv.utils.set_random_seed(1)
    try:
        np.testing.assert_array_equal(next(generator.flow(IMAGES)), first)
    finally:
        pyconv.utils.set_random_seed(0)


def test_goes_on_where_another_was():
    generator = ImageDataGenerator(**FULL)
    flow = generator.flow(IMAGES, LABELS, batch_size=16, seed=1)
    for _ in range(6):
        next(flow)
    other = generator.flow(IMAGES, LABELS, batch_size=16, seed=1)
    other.epoch, other.batch = flow.epoch, flow.batch
    assert (flow.epoch, flow.batch) == (1, 2)
    for a, b in zip(next(flow), next(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rescale():
    x = next(ImageDataGenerator(rescale=1 / 255).flow(IMAGES, batch_size=50, shuffle=False))
    np.testing.assert_allclose(x, IMAGES / 255, rtol=1e-6)


@pytest.mark.parametrize("rescale", [None, 1 / 255])
@pytest.mark.parametrize("function", [None, lambda image: 0.5 * image * image - 3])
def test_featurewise(rescale, function):
    generator = ImageDataGenerator(True, True, rescale=rescale, preprocessing_function=function)
    with pytest.raises(ValueError, match="call fit"):
        generator.flow(IMAGES)
    generator.fit(IMAGES)
    x = next(generator.flow(IMAGES, batch_size=50)).astype(np.float64)
    np.testing.assert_allclose(x.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(x.std((0, 1, 2)), 1, rtol=1e-4)


def test_featurewise_center_alone():
    generator = ImageDataGenerator(featurewise_center=True)
    generator.fit(IMAGES)
    x = next(generator.flow(IMAGES, batch_size=50, shuffle=False))
    np.testing.assert_allclose(x, IMAGES - IMAGES.mean((0, 1, 2)), atol=1e-3)


def test_preprocessing_function_sees_the_warped_image():
    seen = []

    def invert(image):
        assert image.shape == (12, 10, 3)
        assert image.dtype == np.float32
        seen.append(image.copy())
        return 255 - image

    options = {"rescale": 2, "fill_mode": "constant", "cval": 9, **FULL}
    x = next(ImageDataGenerator(preprocessing_function=invert, **options).flow(IMAGES, batch_size=50, seed=1))
    plain = next(ImageDataGenerator(**options).flow(IMAGES, batch_size=50, seed=1))
    assert len(seen) == 50
    np.testing.assert_allclose(x, 510 - plain, atol=1e-3)


def test_keras_other_arguments():
    ImageDataGenerator(samplewise_center=False, zoom_range=0.0, data_format="channels_last", dtype="float32")
    with pytest.raises(ValueError, match=r"zoom_range is \[0\.8, 1\.2\]: pyconv offers rotation"):
        ImageDataGenerator(zoom_range=[0.8, 1.2])
    with pytest.raises(ValueError, match="data_format is 'channels_first'"):
        ImageDataGenerator(data_format="channels_first")
    with pytest.raises(TypeError, match="unknown argument 'rotation'"):
        ImageDataGenerator(rotation=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": IMAGES[0]}, r"x has shape \(12, 10, 3\), expected \(M, height, width, channels\)"),
        ({"x": IMAGES[:0]}, "x has no images"),
        ({"y": LABELS[:3]}, "y has 3 labels, x has 50 images"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_flows(arguments, message):
    with pytest.raises(ValueError, match=message):
        ImageDataGenerator().flow(**{"x": IMAGES, **arguments})
