"""Pictures of all numbers of bits, with and without signs and transparent values."""

import struct

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")

from picture_files import GREY, RAMP, assert_near, packed, png, read, tiff  # noqa: E402


@pytest.fixture
def path(tmp_path):
    return tmp_path / "picture.png"


@pytest.mark.parametrize(
    ("format", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("PPM", "<u2")]
)
def test_16_bits(path, format, dtype):
    Image.fromarray(RAMP.astype(dtype)).save(path, format)
    assert_near(read(path), RAMP[..., None] / 257)
    assert_near(read(path, (32, 32, 1)), RAMP / 257)


def test_16_bits_where_0_is_white(path):
    Image.fromarray(RAMP).save(path, "TIFF", tiffinfo={262: 0})
    assert_near(read(path), 255 - RAMP[..., None] / 257)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("photometric", [0, 1])
def test_tiffs_of_floats_and_8_bits(path, order, photometric):
    path.write_bytes(tiff((RAMP / 65535).astype(order + "f4"), photometric))
    expected = RAMP[..., None] / 257
    assert_near(read(path), expected if photometric else 255 - expected)
    path.write_bytes(tiff(GREY, photometric))
    assert_near(read(path), GREY[..., None] if photometric else 255 - GREY[..., None], 0)


@pytest.mark.parametrize("dtype", ["i1", "<i2", ">i2", "<i4", ">i4", "<u4"])
def test_tiffs_with_a_sign_or_32_bits(path, dtype):
    path.write_bytes(tiff(GREY.astype(dtype)))
    bits = 8 * np.dtype(dtype).itemsize
    sign = " with a sign" if "i" in dtype else ""
    with pytest.raises(ValueError, match=rf"picture\.png has {bits} bits{sign}, expected 8 or 16 without"):
        read(path)


@pytest.mark.parametrize(
    ("dtype", "photometric", "channels"), [("<f8", 1, 1), ("<f4", 2, 3), (">u2", 0, 1), ("<i2", 2, 3)]
)
def test_tiffs_that_are_not_read(path, dtype, photometric, channels):
    path.write_bytes(tiff(GREY.astype(dtype), photometric, channels=channels))
    with pytest.raises(
        ValueError, match=r"expected PNG, .*or PPM; of TIFFs those with 1 to 16 bits .*floats"
    ):
        read(path)


@pytest.mark.parametrize(("bits", "above"), [(1, 0), (2, 0), (2, 1), (4, 0), (4, 1), (8, 0), (8, 1)])
def test_one_grey_is_transparent(path, bits, above):
    values = (np.arange(1024).reshape(32, 32) % 2**bits).astype(np.uint8)
    key = 2**bits // 2 - 1 if bits > 1 else 0
    rows = packed(values, bits)
    path.write_bytes(png(0, bits, rows, (b"tRNS", struct.pack(">H", key + (above << 8)))))
    expected = np.where(values == key, 255, values.astype(int) * (255 // (2**bits - 1)))
    assert_near(read(path), expected[..., None], 0)


def test_16_bits_of_colour(path):
    rgb = np.stack([RAMP, RAMP.T, 65535 - RAMP], -1)
    path.write_bytes(png(2, 16, rgb.astype(">u2")))
    assert_near(read(path), rgb / 257)
    alpha = np.full((32, 32, 1), 0x8000)
    path.write_bytes(png(6, 16, np.concatenate([rgb, alpha], -1).astype(">u2")))
    assert_near(read(path), rgb / 257 * 0.5 + 127.5, 2)


def test_16_bits_with_one_value_transparent(path):
    path.write_bytes(png(0, 16, RAMP.astype(">u2"), (b"tRNS", struct.pack(">H", RAMP[3, 4]))))
    expected = RAMP / 257
    expected[3, 4] = 255
    assert_near(read(path), expected[..., None])


@pytest.mark.parametrize("dtype", [np.float32])
def test_floats(path, dtype):
    values = (RAMP / 65535).astype(dtype)
    Image.fromarray(values).save(path, "TIFF")
    assert_near(read(path), values[..., None] * 255)
    for wrong in (values * 255, values - 0.5, np.where(values > 0.5, np.nan, values)):
        Image.fromarray(wrong.astype(dtype)).save(path, "TIFF")
        with pytest.raises(ValueError, match=r"picture\.png has floats from .* to .*, expected \[0, 1\]"):
            read(path)


@pytest.mark.parametrize("dtype", [np.int32])
def test_integers_with_a_sign(path, dtype):
    Image.fromarray(RAMP.astype(dtype)).save(path, "TIFF")
    with pytest.raises(ValueError, match=r"picture\.png has 32 bits with a sign, expected 8 or 16"):
        read(path)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "GIF", "PPM"])
def test_1_bit(path, format):
    bits = GREY > 100
    Image.fromarray(bits).save(path, format)
    assert_near(read(path), 255 * bits[..., None], 0)


def test_one_colour_is_transparent(path):
    rgb = np.stack([RAMP, RAMP.T, 65535 - RAMP], -1)
    eight = (rgb >> 8).astype(np.uint8)
    path.write_bytes(png(2, 8, eight, (b"tRNS", struct.pack(">3H", *map(int, eight[3, 4])))))
    expected = np.where((eight == eight[3, 4]).all(-1, keepdims=True), 255, eight)
    assert_near(read(path), expected, 0)
    path.write_bytes(png(2, 16, rgb.astype(">u2"), (b"tRNS", struct.pack(">3H", *map(int, rgb[3, 4])))))
    with pytest.raises(ValueError, match="has 16 bits and a colour that is transparent, expected 8 bits or"):
        read(path)
