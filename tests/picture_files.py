"""Pictures to read, and files of them written by hand."""

import struct
import zlib

import numpy as np

from pyconv.preprocessing import pictures

SHAPE = (32, 32, 3)
RAMP = (np.arange(1024).reshape(32, 32) * 64).astype(np.uint16)  # 0 to 65472
GREY = (RAMP // 256).astype(np.uint8)
COLOURS = np.stack([GREY, GREY.T, 255 - GREY], -1)


def read(path, shape=SHAPE):
    got = pictures.read_image(path, shape)
    assert (got.dtype, got.shape) == (np.uint8, shape)
    return got.astype(int)


def assert_near(got, expected, most=1):
    assert np.abs(got - np.asarray(expected).reshape(got.shape[0], got.shape[1], -1)).max() <= most


def png(mode, bits, rows, *chunks):
    """Write a PNG by hand: `mode` is its colour type."""

    def chunk(kind, content):
        data = kind + content
        return struct.pack(">I", len(content)) + data + struct.pack(">I", zlib.crc32(data))

    header = struct.pack(">IIBBBBB", 32, 32, bits, mode, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(*c) for c in chunks)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def tiff(values, photometric=1, kind=None, channels=1):
    """Write a TIFF by hand, one value a pixel and channel, of the values' own type and byte order."""
    values = np.broadcast_to(values.reshape(32, 32, -1), (32, 32, channels))
    order = ">" if values.dtype.byteorder == ">" else "<"
    kind = kind or {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = {256: 32, 257: 32, 258: 8 * values.dtype.itemsize, 259: 1, 262: photometric, 273: 0, 277: channels}
    tags |= {278: 32, 279: values.nbytes, 339: kind}
    begin = 8 + 2 + 12 * len(tags) + 4
    tags[273] = begin + 16
    content = struct.pack(order + "2sHIH", b"MM" if order == ">" else b"II", 42, 8, len(tags))
    for tag, value in tags.items():
        if tag in (258, 339) and channels > 1:
            content += struct.pack(order + "HHII", tag, 3, channels, begin + (8 if tag == 339 else 0))
        else:
            content += struct.pack(order + "HHII", tag, 4, 1, value)
    several = struct.pack(order + "4H4H", *[tags[258]] * 4, *[kind] * 4)
    return content + bytes(4) + several + values.tobytes()


def packed(values, bits):
    """Put values (32, 32) of a few bits into bytes (32, 4 bits)."""
    ones = values[..., None] >> np.arange(bits)[::-1] & 1
    return np.packbits(ones.reshape(32, -1).astype(np.uint8), axis=1)
