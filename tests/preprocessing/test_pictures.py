"""Pictures as people have them."""

import io
import os
import struct
import sys
import tracemalloc
import zlib

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")

from picture_files import COLOURS, GREY, SHAPE, assert_near, png, read  # noqa: E402

from pyconv.preprocessing import pictures  # noqa: E402


@pytest.fixture
def path(tmp_path):
    return tmp_path / "picture.png"


@pytest.mark.parametrize("format", ["PNG", "GIF"])
@pytest.mark.parametrize("transparent", [False, True])
def test_palettes(path, format, transparent):
    index = (GREY // 64).astype(np.uint8)
    palette = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]], np.uint8)
    image = Image.frombytes("P", (32, 32), index.tobytes())
    image.putpalette(palette.tobytes())
    image.save(path, format, **({"transparency": 2} if transparent else {}))
    expected = palette.copy()
    if transparent:
        expected[2] = 255
    assert_near(read(path), expected[index], 0)


def test_a_palette_with_many_alphas(path):
    index = (GREY // 64).astype(np.uint8)
    image = Image.frombytes("P", (32, 32), index.tobytes())
    image.putpalette(bytes([0] * 12))
    image.save(path, transparency=bytes([0, 85, 170, 255]))
    assert_near(read(path), np.array([255, 170, 85, 0])[index][..., None])


@pytest.mark.parametrize(
    ("format", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("TIFF", "RGBA"), ("WEBP", "RGBA")]
)
def test_alpha_lies_over_white(path, format, mode):
    alpha = np.broadcast_to(np.linspace(0, 255, 32).astype(np.uint8), (32, 32))
    colour = COLOURS if mode == "RGBA" else GREY[..., None]
    pixels = np.concatenate([colour, alpha[..., None]], -1)
    Image.fromarray(pixels).save(path, format, **({"lossless": True} if format == "WEBP" else {}))
    a = alpha[..., None] / 255
    assert_near(read(path), colour * a + 255 * (1 - a), 2)


def test_what_is_transparent_does_not_bleed_when_resized(path):
    pixels = np.zeros((64, 64, 4), np.uint8)  # transparent black
    pixels[16:48, 16:48] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(path)
    got = read(path)
    assert (got[..., 0] >= 254).all()  # red or white, and what is between: never dark


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk(path, format):
    image = Image.fromarray(np.full((32, 32, 3), (200, 30, 60), np.uint8)).convert("CMYK")
    image.save(path, format)
    assert_near(read(path), np.full((32, 32, 3), (200, 30, 60)), 4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation(path, format, orientation):
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    undo |= {6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}
    upright = np.zeros((32, 32, 3), np.uint8)
    upright[:16, :16], upright[:16, 16:], upright[16:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    image = Image.fromarray(upright)
    if orientation in undo:
        image = image.transpose(Image.Transpose[undo[orientation]])
    exif = Image.Exif()
    exif[274] = orientation
    if format == "TIFF":
        image.save(path, format, tiffinfo={274: orientation})
    else:
        image.save(path, format, exif=exif, quality=95, **({"lossless": True} if format == "WEBP" else {}))
    got = read(path)
    for rows, columns in ((8, 8), (8, 24), (24, 8), (24, 24)):
        assert np.abs(got[rows, columns] - upright[rows, columns]).max() <= 30


def test_a_damaged_exif_says_nothing(path):
    Image.fromarray(COLOURS).save(path, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    read(path)


@pytest.mark.parametrize("format", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_of_several_frames(path, format):
    frames = [Image.fromarray(np.full((32, 32, 3), value, np.uint8)) for value in (10, 120, 250)]
    options = {"lossless": True} if format == "WEBP" else {}
    frames[0].save(path, format, save_all=True, append_images=frames[1:], **options)
    assert_near(read(path), np.full(SHAPE, 10), 0)


def test_sizes_and_notes(path):
    Image.new("RGB", (64, 48), (1, 2, 3)).save(path)
    notes = []
    got = pictures.read_image(path, SHAPE, notes.append)
    assert (got == (1, 2, 3)).all()
    assert notes == [f"{path} is resized from 64x48 to 32x32"]


def test_a_huge_jpeg_is_decoded_smaller(path):
    image = Image.new("L", (21_000, 20_000), 200)
    image.save(path, "JPEG", quality=10)
    tracemalloc.start()
    assert_near(read(path, (32, 32, 1)), np.full((32, 32), 200), 2)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def huge_png(path, width, height):
    content = io.BytesIO(png(0, 8, np.zeros((1, 1), np.uint8)))
    data = bytearray(content.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


@pytest.mark.parametrize("size", [(13_000, 13_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_other_huge_pictures_are_refused(path, size):
    huge_png(path, *size)
    with pytest.raises(ValueError, match=r"picture\.png has .* pixels, expected at most 150,000,000"):
        read(path)


def test_a_huge_progressive_jpeg_is_refused(path, monkeypatch):
    Image.new("L", (200, 200), 200).save(path, "JPEG", progressive=True)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 10_000)
    with pytest.raises(ValueError, match=r"picture\.png has 200x200 pixels"):
        read(path)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_cut_pictures(path, format):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path, format)
    content = path.read_bytes()
    for size in (1, 5, 20, len(content) // 2, len(content) - len(content) // 8):
        path.write_bytes(content[:size])
        with pytest.raises(
            ValueError, match=r"^\[predict\] .*picture\.png is (cut or damaged: |not an image)"
        ):
            read(path)


def test_damaged_pictures_raise_nothing_else(path):
    content = io.BytesIO()
    rng = np.random.default_rng(1)
    for format in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        content = io.BytesIO()
        Image.fromarray(COLOURS).save(content, format)
        for _ in range(60):
            damaged = bytearray(content.getvalue())
            for place in rng.integers(0, min(len(damaged), 200), 3):
                damaged[place] ^= int(rng.integers(1, 256))
            path.write_bytes(damaged)
            try:
                read(path)
            except ValueError as error:
                assert str(error).startswith("[predict] ")  # noqa: PT017


NO_IMAGE = "is not an image that can be read, expected PNG, JPEG, GIF, BMP, TIFF, WEBP or PPM$"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty, expected an image"),
        (b"no image", NO_IMAGE),
        (EPS, NO_IMAGE),
        (b"%PDF-1.4\n", NO_IMAGE),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", NO_IMAGE),
        (b"\0\0\1\0\1\0", NO_IMAGE),  # ICO
        (b"\0" * 100, NO_IMAGE),
    ],
)
def test_files_that_are_no_pictures(path, content, message):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"picture.png {message}"):
        read(path)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("pipe", "is not a file"), (".", "is a folder without images")):
        with pytest.raises(ValueError, match=message):
            read(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="none"):
        read(tmp_path / "none")


def test_images_in_a_folder(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    assert pictures.images_in(tmp_path) == [str(tmp_path / name) for name in ("a.png", "b.JPG")]


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPE", "JFIF", "mpo", "pnm", "apng"])
def test_rarer_suffixes(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").touch()
    assert pictures.images_in(tmp_path) == [str(tmp_path / f"a.{suffix}")]


def test_what_is_left_out_is_said(tmp_path):
    notes = []
    (tmp_path / "a.png").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.heic").touch()
    pictures.images_in(tmp_path, notes.append)
    assert notes == []
    for name in ("b.avif", "c.HEIC", "d.svg"):
        (tmp_path / name).touch()
    assert pictures.images_in(tmp_path, notes.append) == [str(tmp_path / "a.png")]
    formats = "expected PNG, JPEG, GIF, BMP, TIFF, WEBP or PPM"
    assert notes == [f"{tmp_path}: left out b.avif, c.HEIC, d.svg: {formats}"]
    for k in range(4):
        (tmp_path / f"e{k}.tga").touch()
    pictures.images_in(tmp_path, notes.append)
    assert notes[1] == f"{tmp_path}: left out b.avif, c.HEIC, d.svg, e0.tga, e1.tga and 2 more: {formats}"


def test_without_pillow(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match="reading images needs Pillow"):
        read(path)
