"""Downloads of known files: mirrors tried in turn, resumed where the last attempt ended, checked by hash."""

import contextlib
import errno
import fcntl
import hashlib
import http.client
import os
import re
import socket
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

PIECE = 1 << 18  # bytes a read asks for at most


class DownloadError(OSError):
    """No mirror gave the file; the message has each one's reason."""


class _MirrorError(Exception):
    def __init__(self, reason, wrong=False, offline=False):
        super().__init__(reason)
        self.wrong = wrong  # the mirror has another file: no use asking it again
        self.offline = offline  # nobody answered


def cache_folder():
    """Return the folder for downloads: `pyconv` in the user's cache folder."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("pyconv"))


def fetch(filename, urls, *, sha256, size, folder, hint="", stall_seconds=20.0):
    """Return the path of `filename` in `folder`, downloaded from the first of `urls` that gives it.

    What has come is kept as `filename.part` when a mirror fails, and the next one (or the next call) goes on
    from there. Rounds over the mirrors end when one brings nothing new. A file that is already in place is
    hashed again, and returned without a look at the network; a damaged one is replaced. Processes take turns.

    Args:
        filename: name of the file in `folder`.
        urls: mirrors of the same file, in the order to try them.
        sha256: the file's hash, hexadecimal.
        size: the file's size in bytes.
        folder: made if missing.
        hint: ends the error's message: what to do without a network.
        stall_seconds: a mirror that sends nothing for so long is left for the next one.

    Raises:
        DownloadError: if no mirror gives a file of this size and hash.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / filename, folder / f"{filename}.part"
    with _lock(folder / f"{filename}.lock"):
        reasons, best, damaged = {}, -1, ""
        if target.exists():  # perhaps since another process had its turn
            if _size(target) == size and _digest(target) == sha256:
                return target
            damaged = f"the one that is there is damaged ({_size(target):,} bytes); "
            _say(f"{target} is damaged, downloading it again")
        while _size(part) > best:
            best = _size(part)
            for url in urls:
                if url in reasons and reasons[url].wrong:
                    continue
                try:
                    _fetch_from(url, part, sha256, size, stall_seconds)
                except _MirrorError as error:
                    reasons[url] = error
                    _say(f"{filename}: {url}: {error}")
                else:
                    os.replace(part, target)
                    return target
    offline = "this machine seems to be offline: " if all(r.offline for r in reasons.values()) else ""
    tried = "\n".join(f"  {url}: {reason}" for url, reason in reasons.items())
    kept = f"\n{_size(part):,} of {size:,} bytes are kept in {part}." if part.exists() else ""
    what = f"{offline}{damaged}no mirror gave {target} ({size:,} bytes)"
    raise DownloadError(f"[download] {what}:\n{tried}{kept}\n{hint}".rstrip())


def _fetch_from(url, part, sha256, size, stall_seconds):
    """Complete `part` from one mirror and check it; a part that turns out wrong is deleted."""
    while True:
        begin = _receive(url, part, size, stall_seconds)
        got, digest = _size(part), _digest(part)
        if got == size and digest == sha256:
            return
        part.unlink()
        if begin == 0:  # else an earlier attempt may be to blame: once more from the start
            raise _MirrorError(
                f"gave {got:,} bytes with SHA-256 {digest}, expected {size:,} bytes with SHA-256 {sha256}",
                wrong=True,
            )


def _receive(url, part, size, stall_seconds):
    """Append to `part` what it lacks. Returns the offset at which this mirror's bytes begin."""
    offset = _size(part)
    if offset > size:
        part.unlink()
        offset = 0
    if offset == size:
        return offset
    headers = {"User-Agent": "pyconv", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=stall_seconds
        ) as response:
            offset = _check_headers(response, offset, size)
            with open(part, "r+b" if offset else "wb") as file, _progress(part.stem, offset, size) as report:
                begin = file.seek(offset)
                while piece := _read(response):
                    offset += file.write(piece)
                    report(len(piece))
                    if offset > size:
                        break
                file.flush()
                os.fsync(file.fileno())
    except TimeoutError as error:
        raise _MirrorError(f"no bytes for {stall_seconds:g} s, at {_size(part):,} of {size:,}") from error
    except urllib.error.HTTPError as error:
        error.close()
        raise _MirrorError(f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _MirrorError(str(error.reason), offline=_is_offline(error.reason)) from error
    except (http.client.HTTPException, ConnectionError, ssl.SSLError) as error:
        raise _MirrorError(
            f"{type(error).__name__}: {error}, at {_size(part):,} of {size:,} bytes"
        ) from error
    except OSError as error:  # of the disk
        error.filename = error.filename or str(part)
        raise
    if offset < size:
        raise _MirrorError(f"ended after {offset:,} of {size:,} bytes")
    return begin


def _read(response):
    try:
        return response.read1(PIECE)
    except (TimeoutError, ConnectionError, ssl.SSLError):
        raise
    except OSError as error:  # "no route to host" and the like
        raise ConnectionError(str(error)) from error


def _is_offline(reason):
    """Whether a connection failed for want of a network: no name server, or no way there."""
    unreachable = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)
    return isinstance(reason, socket.gaierror) or getattr(reason, "errno", None) in unreachable


def _check_headers(response, offset, size):
    """Return the offset of the bytes to come. A wrong size announced ends it before the part is touched."""
    if response.status == 206:
        begin, total = _content_range(response)
        if begin != offset:
            raise _MirrorError(f"gives bytes from {begin:,}, asked for {offset:,}")
    else:  # the whole file, whatever was asked for
        offset, total = 0, response.headers.get("Content-Length", "")
    if total.isdigit() and int(total) != size:
        raise _MirrorError(f"announces {int(total):,} bytes, expected {size:,}", wrong=True)
    return offset


def _content_range(response):
    text = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text.strip())
    if not match:
        raise _MirrorError(f"gives the range {text!r}")
    return int(match[1]), match[2]


def _size(path):
    return path.stat().st_size if path.exists() else 0


def _digest(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def _lock(path):
    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"{path.stem}: waiting for the process that downloads it")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: the hash tells what two at once have spoilt
            pass
        yield  # closing the file unlocks it; the file stays, since another process may wait on it


@contextlib.contextmanager
def _progress(name, done, size):
    """Give a function that counts bytes: a bar on a terminal, else a line for each tenth, on stderr."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(desc=name, initial=done, total=size, unit="B", unit_scale=True, file=sys.stderr) as bar:
            yield bar.update
        return

    tenth = 10 * done // size

    def report(count):
        nonlocal done, tenth
        done += count
        if 10 * done // size > tenth:
            tenth = 10 * done // size
            _say(f"{name}: {done / 1e6:.1f} of {size / 1e6:.1f} MB")

    yield report


def _say(line):
    print(line, file=sys.stderr, flush=True)
