"""Tar archives, plain or gzipped, read front to back: in bounded memory, to the end, whatever they claim.

The standard library's `tarfile` reads names whole, however long they say they are, and stops at tar's end
marker, before gzip's checksum. Formats: POSIX ustar and pax, GNU, and the old one.
"""

import gzip
import zlib

BLOCK = 512
LARGEST_NAME = 1 << 20  # bytes of a long name or a pax header
LARGEST_ARCHIVE = 1 << 30  # bytes, unpacked
_PIECE = 1 << 20
_REGULAR, _LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL, _SPARSE = b"0\0007", b"L", b"K", b"x", b"g", b"S"
_WITHOUT_DATA = b"123456"  # links, devices, folders


class ArchiveError(Exception):
    """What is wrong with an archive, in words."""


def is_archive(path):
    """Whether a file begins as a tar archive or as a gzipped file does."""
    with open(path, "rb") as file:
        block = file.read(BLOCK)
    return block.startswith(b"\x1f\x8b") or (len(block) == BLOCK and _checksum_holds(block))


def members(path):
    """Yield (name, size, read) of each regular file in the archive; `read()` returns its bytes.

    Nothing is written to disk. A gzipped archive's checksum has been compared when the last one is done.

    Raises:
        ArchiveError: the file is no archive, cut or damaged, has sparse files, or unpacks to more than
            `LARGEST_ARCHIVE` bytes.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = _Stream(gzip.GzipFile(fileobj=file) if gzipped else file)
        yield from _members(stream)
        stream.finish()


def _members(stream):
    name = size = None  # what a header before says of the next one
    while True:
        header = stream.read(BLOCK)
        if not header.strip(b"\0"):
            return
        if not _checksum_holds(header):
            damaged = "has a damaged header" if stream.place > BLOCK else "is no tar archive"
            raise ArchiveError(f"it {damaged} at byte {stream.place - BLOCK:,}")
        kind, length = header[156:157], _number(header[124:136])
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            if length > LARGEST_NAME:
                raise ArchiveError(f"it has a name or header of {length:,} bytes, which is too many")
            content = stream.read(_padded(length))[:length]
            if kind == _LONG_NAME:
                name = _text(content)
            elif kind == _PAX:
                name, size = _pax(content, name)
            continue
        name, length = name or _name(header), length if size is None else size
        if kind == _SPARSE:
            raise ArchiveError(f"{name} in it is a sparse file")
        if kind not in _WITHOUT_DATA:
            end = stream.place + _padded(length)
            if end > LARGEST_ARCHIVE:
                raise ArchiveError(f"it unpacks to more than {LARGEST_ARCHIVE:,} bytes")
            if kind in _REGULAR:
                yield name, length, lambda length=length: stream.read(length)
            stream.skip_to(end)
        name = size = None


class _Stream:
    """A file read front to back, which knows its place and must not end early."""

    def __init__(self, file):
        self._file = file
        self.place = 0

    def read(self, count):
        content = self._piece(count)
        if len(content) < count:
            raise ArchiveError("it ends too early")
        return content

    def skip_to(self, place):
        while self.place < place:
            self.read(min(place - self.place, _PIECE))

    def finish(self):
        """Read to the file's end, where gzip compares its checksum."""
        while self._piece(_PIECE):
            if self.place > LARGEST_ARCHIVE:
                raise ArchiveError(f"it unpacks to more than {LARGEST_ARCHIVE:,} bytes")

    def _piece(self, count):
        try:
            content = self._file.read(count)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ArchiveError(str(error)) from None
        self.place += len(content)
        return content


def _padded(length):
    return -(-length // BLOCK) * BLOCK


def _checksum_holds(header):
    try:
        expected = _number(header[148:156])
    except ArchiveError:
        return False
    return expected == sum(header) - sum(header[148:156]) + 8 * ord(" ")


def _number(field):
    """Return the number in a header's field: octal text, or GNU's big-endian bytes."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.split(b"\0")[0].strip()
    if any(digit not in b"01234567" for digit in text):
        raise ArchiveError(f"it has a damaged header: {field!r} is no number")
    return int(text or b"0", 8)


def _text(field):
    return field.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _name(header):
    name, prefix = _text(header[:100]), _text(header[345:500])
    return f"{prefix}/{name}" if prefix and header[257:263] == b"ustar\0" else name


def _pax(content, name):
    """Return name and size for the next member (None: its header's) from pax records "LENGTH KEY=VALUE"."""
    size = None
    while content:
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or not len(length) < int(length) <= len(content):
            raise ArchiveError("it has a damaged pax header")
        record, content = content[len(length) + 1 : int(length) - 1], content[int(length) :]
        key, _, value = record.partition(b"=")
        if key.startswith(b"GNU.sparse"):
            raise ArchiveError("it has a sparse file")
        if key == b"path":
            name = value.decode("utf-8", "surrogateescape")
        if key == b"size":
            if not value.isdigit():
                raise ArchiveError("it has a damaged pax header")
            size = int(value)
    return name, size
