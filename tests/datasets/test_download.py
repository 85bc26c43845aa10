"""Downloads against a local server that stalls, cuts, lies, ignores Range and has the wrong file."""

import fcntl
import hashlib
import http.server
import os
import socket
import threading
import time

import pytest

from pyconv import _core, philox
from pyconv.datasets.download import DownloadError, fetch

CONTENT = philox.words(100_000, seed=1, purpose=_core.PHILOX_DATA).tobytes()
OTHER = bytes(len(CONTENT))
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """The first part of the path names what goes wrong."""

    def do_GET(self):
        kind = self.path.strip("/")
        self.server.requests.append((kind, self.headers.get("Range")))
        content = OTHER if kind == "wrong" else CONTENT[:-1000] if kind == "short" else CONTENT
        if kind == "missing":
            self.send_error(404)
            return
        begin = 0
        if self.headers.get("Range") and kind not in ("ignores-range", "ignores-range-and-cuts"):
            begin = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            first = begin + 7 if kind == "other-range" else begin
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        announced = len(content) - begin + {"announces-more": 5000, "announces-less": -5000}.get(kind, 0)
        if kind not in ("no-length", "endless"):
            self.send_header("Content-Length", str(announced))
        self.end_headers()
        half = begin + len(content) // 2
        if kind in ("cuts", "ignores-range-and-cuts"):
            self.wfile.write(content[begin:half])
        elif kind == "stalls":
            self.wfile.write(content[begin:half])
            self.wfile.flush()
            self.server.stop.wait(20)
        elif kind == "silent":
            self.server.stop.wait(20)
        elif kind == "endless":
            self.wfile.write(content + content)
        else:
            self.wfile.write(content[begin:])

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.stop = [], threading.Event()

    def url(self, kind):
        return f"http://127.0.0.1:{self.server_port}/{kind}"

    def handle_error(self, request, client_address):
        pass  # clients that hang up are part of the tests


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.stop.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def get(server, tmp_path):
    """Fetch from mirrors named by what goes wrong with them; return the content."""

    def run(*kinds):
        path = fetch(
            "file.bin",
            [server.url(kind) for kind in kinds],
            sha256=SHA256,
            size=SIZE,
            folder=tmp_path,
            hint="Do this.",
            stall_seconds=0.3,
        )
        assert path == tmp_path / "file.bin"
        assert not (tmp_path / "file.bin.part").exists()
        return path.read_bytes()

    return run


def part(tmp_path):
    return tmp_path / "file.bin.part"


def test_downloads_once(get, server):
    assert get("good") == CONTENT
    assert get("good") == CONTENT
    assert server.requests == [("good", None)]


def test_without_a_length(get):
    assert get("no-length") == CONTENT


@pytest.mark.parametrize("kind", ["stalls", "cuts", "announces-more", "announces-less", "wrong", "missing"])
def test_falls_to_the_next_mirror(get, server, kind):
    assert get(kind, "good") == CONTENT
    assert [request[0] for request in server.requests] == [kind, "good"]


@pytest.mark.parametrize("kind", ["silent", "short", "endless"])
def test_falls_to_the_next_mirror_from_nothing(get, kind):
    assert get(kind, "good") == CONTENT


@pytest.mark.parametrize("kind", ["cuts", "stalls"])
def test_the_next_mirror_resumes(get, server, kind):
    assert get(kind, "good") == CONTENT
    assert server.requests[1] == ("good", f"bytes={SIZE // 2}-")


def test_a_stall_is_left_quickly(get):
    begin = time.monotonic()
    get("stalls", "good")
    assert 0.25 < time.monotonic() - begin < 5


def test_one_mirror_that_cuts_is_resumed(get, server):
    assert get("cuts") == CONTENT
    assert server.requests[1] == ("cuts", f"bytes={SIZE // 2}-")


def test_the_next_call_resumes(get, server, tmp_path):
    part(tmp_path).write_bytes(CONTENT[:1234])
    assert get("good") == CONTENT
    assert server.requests == [("good", "bytes=1234-")]


def test_range_ignored_restarts(get, server, tmp_path):
    part(tmp_path).write_bytes(OTHER[:1234])
    assert get("ignores-range") == CONTENT
    assert len(server.requests) == 1


def test_another_range_is_refused(get, tmp_path):
    part(tmp_path).write_bytes(CONTENT[:1234])
    assert get("other-range", "good") == CONTENT


def test_a_spoilt_part_starts_again(get, server, tmp_path):
    part(tmp_path).write_bytes(OTHER[:1234])
    assert get("good") == CONTENT
    assert server.requests == [("good", "bytes=1234-"), ("good", None)]


def test_a_whole_part_needs_no_network(get, server, tmp_path):
    part(tmp_path).write_bytes(CONTENT)
    assert get("good") == CONTENT
    assert server.requests == []


def test_a_part_that_is_too_long(get, tmp_path):
    part(tmp_path).write_bytes(CONTENT + b"x")
    assert get("good") == CONTENT


def test_a_wrong_file_leaves_nothing(get, server, tmp_path):
    with pytest.raises(DownloadError) as raised:
        get("wrong")
    message = str(raised.value)
    for text in (
        str(tmp_path / "file.bin"),
        f"{SIZE:,}",
        SHA256,
        hashlib.sha256(OTHER).hexdigest(),
        "Do this.",
    ):
        assert text in message
    assert not part(tmp_path).exists()
    assert not (tmp_path / "file.bin").exists()
    assert len(server.requests) == 1


def test_another_length_leaves_the_part(get, tmp_path):
    part(tmp_path).write_bytes(CONTENT[:1234])
    with pytest.raises(DownloadError, match=f"announces {SIZE - 1000:,} bytes, expected {SIZE:,}"):
        get("short")
    assert part(tmp_path).read_bytes() == CONTENT[:1234]


def test_no_network(get, tmp_path, server):
    with pytest.raises(DownloadError) as raised:
        fetch(
            "file.bin",
            ["http://127.0.0.1:9/a", server.url("missing"), server.url("ignores-range-and-cuts")],
            sha256=SHA256,
            size=SIZE,
            folder=tmp_path,
        )
    message = str(raised.value)
    assert "http://127.0.0.1:9/a: [Errno 111] Connection refused" in message
    assert "missing: HTTP 404 Not Found" in message
    assert f"ended after {SIZE // 2:,} of {SIZE:,} bytes" in message
    assert f"{SIZE // 2:,} of {SIZE:,} bytes are kept in {part(tmp_path)}" in message


def test_two_at_once_share_one_download(get, server):
    results = []
    threads = [threading.Thread(target=lambda: results.append(get("stalls", "good"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CONTENT] * 3
    assert len(server.requests) == 2


def test_progress_in_plain_lines(get, capsys):
    get("good")
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 10
    assert lines[-1] == "file.bin: 0.4 of 0.4 MB"


def test_progress_bar_on_a_terminal(get, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    get("good")
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize("content", [OTHER, CONTENT[:-1], b""])
def test_a_damaged_file_in_place_is_replaced(get, server, tmp_path, capsys, content):
    (tmp_path / "file.bin").write_bytes(content)
    with pytest.raises(DownloadError, match=rf"the one that is there is damaged \({len(content):,} bytes\)"):
        get("missing")
    assert get("good") == CONTENT
    assert f"{tmp_path / 'file.bin'} is damaged, downloading it again" in capsys.readouterr().err


def test_offline_is_said_first(tmp_path, monkeypatch):
    def resolve(*arguments, **options):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(
        DownloadError, match=r"^\[download\] this machine seems to be offline: no mirror gave"
    ):
        fetch("file.bin", ["http://example.org/x"], sha256=SHA256, size=SIZE, folder=tmp_path)


def test_a_full_disk_is_no_fault_of_the_mirror(get, monkeypatch, tmp_path):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*file\.bin\.part"):
        get("good", "good")


def test_a_file_system_without_locks(get, monkeypatch):
    def unsupported(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert get("good") == CONTENT
