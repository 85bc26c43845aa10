"""Image files as networks take them: 8 bits, upright, over white, of one size. Needs Pillow."""

import contextlib
import os
import stat
import warnings

import numpy as np

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # not PostScript, which starts Ghostscript
SUFFIXES = (
    *(
        ".png",
        ".apng",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".jif",
        ".mpo",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".webp",
    ),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
OTHER_SUFFIXES = (  # of pictures in formats that are not read
    *(
        ".avif",
        ".avifs",
        ".heic",
        ".heif",
        ".hif",
        ".jp2",
        ".j2k",
        ".jpf",
        ".jpx",
        ".jxl",
        ".jxr",
        ".svg",
        ".svgz",
    ),
    *(
        ".ico",
        ".cur",
        ".icns",
        ".tga",
        ".dib",
        ".pcx",
        ".dds",
        ".exr",
        ".hdr",
        ".pfm",
        ".sgi",
        ".qoi",
        ".xbm",
    ),
    *(".xpm", ".psd", ".xcf", ".eps", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw"),
)
MOST_PIXELS = 150_000_000  # of what is decoded: a JPEG can be decoded at an eighth of its width and height

_TOO_MANY = f"expected at most {MOST_PIXELS:,}; make it smaller first"
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION, _SAMPLE_FORMAT = 258, 262, 274, 339  # tags of TIFF and EXIF
_WHITE_IS_ZERO, _SIGNED = 0, 2
_TIFFS = (
    "of TIFFs those with 1 to 16 bits without a sign (16 where 0 is white: little-endian alone), and grey "
    "floats of 32 bits"
)
_GREYS = "expected 8 or 16 without a sign, or floats in [0, 1]"
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
# Modes of Pillow with 8 bits or less, and what they become.
_MODES = {
    "1": "L",
    "L": "L",
    "P": "RGB",
    "RGB": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "RGBX": "RGB",
    "LA": "RGBA",
    "La": "LA",
    "PA": "RGBA",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
}


class _RefusedError(Exception):
    """Why an image cannot be taken; the file's name goes before."""


def read_image(path, shape, note=None):
    """Return an image file as uint8 (H, W, C) of `shape`, C being 1 or 3; of several frames the first.

    16 bits become 8 as v / 257, floats in [0, 1] as 255 v. EXIF's orientation is applied, and what is
    transparent lies over white. Another size is resized, and `note` is called with a line that says so.

    Raises:
        ModuleNotFoundError: without Pillow.
        OSError: there is no such file, or it may not be read.
        ValueError: it is no image of these `FORMATS`, is cut, or has more than `MOST_PIXELS`.
    """
    Image = _pillow()
    height, width, channels = shape
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise ValueError(f"[predict] {path} is a folder without images ({', '.join(SUFFIXES)})")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"[predict] {path} is not a file")
    if status.st_size == 0:
        raise ValueError(f"[predict] {path} is empty, expected an image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes, and tags that do not matter here
            image, size = _decode(path, (width, height))
    except (FileNotFoundError, PermissionError):
        raise
    except MemoryError:
        raise ValueError(f"[predict] {path} is too large for the memory that is left") from None
    except _RefusedError as error:
        raise ValueError(f"[predict] {path} {error}") from None
    except Image.UnidentifiedImageError:
        raise ValueError(f"[predict] {path} is not an image that can be read, {_expected(path)}") from None
    except Exception as error:  # a damaged image can raise anything
        raise ValueError(f"[predict] {path} is cut or damaged: {error}") from None
    if image.size != (width, height):
        if note:
            note(f"{path} is resized from {size[0]}x{size[1]} to {width}x{height}")
        image = image.resize((width, height))
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB" if channels == 3 else "L"), np.uint8).reshape(shape)


def images_in(folder, note=None):
    """Return the paths of the images in a folder, known by their suffixes, sorted.

    `note` is called with a line that names the pictures in other formats, if there are any.
    """
    names = [name for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    others = [name for name in names if name.lower().endswith(OTHER_SUFFIXES)]
    if others and note:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        note(f"{folder}: left out {', '.join(others[:5])}{more}: expected {_listed(FORMATS)}")
    return [os.path.join(folder, name) for name in names if name.lower().endswith(SUFFIXES)]


def _listed(names):
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _expected(path):
    with open(path, "rb") as file:
        tiff = file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    return f"expected {_listed(FORMATS)}" + (f"; {_TIFFS}" if tiff else "")


def _pillow():
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "[predict] reading images needs Pillow: install the extra `image`, or `pip install pillow`"
        ) from None
    return Image


def _decode(path, wanted):
    """Return an image in mode L, RGB or RGBA, upright, and the size that its file has."""
    Image, orientation = _pillow(), 1
    with _open(path) as file:
        size = file.size
        if _pixels(file) > MOST_PIXELS and not file.info.get("progressive"):
            file.draft(None, wanted)  # for JPEG alone; a progressive one is held whole in any case
        if _pixels(file) > MOST_PIXELS:
            raise _RefusedError(f"has {size[0]}x{size[1]} pixels, {_TOO_MANY}")
        _scale_transparency(file)
        file.load()
        image = _eight_bits(file)
        with contextlib.suppress(Exception):  # a damaged EXIF says nothing
            orientation = file.getexif().get(_ORIENTATION, 1)
    if orientation in _UPRIGHT:
        image = image.transpose(Image.Transpose[_UPRIGHT[orientation]])
    return image, size


def _open(path):
    Image = _pillow()
    Image.init()
    try:
        return Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError as error:
        with open(path, "rb") as file:
            jpeg = file.read(3) == b"\xff\xd8\xff"
        if jpeg:  # `_decode` looks at the size that it decodes
            return Image.OPEN["JPEG"][0](path, os.fspath(path))
        text = str(error).partition(" exceeds")[0].removeprefix("Image size ").strip("()")
        raise _RefusedError(f"has {text}, {_TOO_MANY}") from None


def _pixels(image):
    return image.size[0] * image.size[1]


def _scale_transparency(file):
    """Make the transparent grey of a PNG what its pixels become: Pillow leaves it at the file's bits."""
    key = file.info.get("transparency")
    if file.format == "PNG" and key is not None and file.tile and file.tile[0][3] == "RGB;16B":
        # Pillow gives 8 of the 16 bits, which do not tell that colour from others.
        raise _RefusedError(
            "has 16 bits and a colour that is transparent, expected 8 bits or an alpha channel"
        )
    if file.format == "PNG" and file.mode == "L" and isinstance(key, int) and file.tile:
        most = {"L;2": 3, "L;4": 15}.get(file.tile[0][3], 255)
        file.info["transparency"] = (key & most) * (255 // most)  # the bits above do not count


def _eight_bits(image):
    """Return an image as L, RGB or RGBA."""
    if image.format == "TIFF" and _SIGNED in image.tag_v2.get(_SAMPLE_FORMAT, ()):
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))[0]
        raise _RefusedError(f"has {bits} bits with a sign, {_GREYS}")
    if image.mode.startswith("I;16") or image.mode == "I":
        return _from_integers(image)
    if image.mode == "F":
        return _from_floats(image)
    if image.mode not in _MODES:
        raise _RefusedError(f"has pixels of the kind {image.mode}, expected grey, RGB, CMYK or a palette")
    transparent = "transparency" in image.info and image.mode in ("1", "L", "P", "RGB")
    image = image.convert("RGBA" if transparent else _MODES[image.mode])
    return image.convert("RGBA") if image.mode == "LA" else image


def _from_integers(image):
    bits, inverted = 16, False
    if image.format == "TIFF":
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0]
        inverted = _is_inverted(image)
        if image.mode == "I":
            raise _RefusedError(f"has {bits} bits, {_GREYS}")
    values = np.asarray(image)
    if image.mode == "I":
        values = np.clip(values, 0, 65535)
    table = np.rint(np.minimum(np.arange(65536) * (255 / (2**bits - 1)), 255)).astype(np.uint8)
    grey = _pillow().fromarray(255 - table[values] if inverted else table[values])
    key = image.info.get("transparency")
    if isinstance(key, int):
        image = grey.convert("RGBA")
        image.putalpha(_pillow().fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
        return image
    return grey


def _is_inverted(image):
    return image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _from_floats(image):
    values = np.asarray(image)
    least, most = values.min(), values.max()
    if not (least >= -1e-6 and most <= 1 + 1e-6):  # NaN too
        raise _RefusedError(f"has floats from {least:g} to {most:g}, expected [0, 1]")
    if _is_inverted(image):
        values = 1 - values
    return _pillow().fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))
