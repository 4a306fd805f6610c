"""A server on this machine that breaks in every way that servers do, and datasets that lie on it."""

import hashlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from brainalign.datasets.manifest import Dataset
from brainalign.datasets.transfer import Patience

# Slow machines answer within a second; a stall lasts longer than that.
HASTY = Patience(connect_s=5, read_s=1.0, tries=3, pause_s=0.01)
STALL_S = 1.6


@dataclass
class Served:
    """One file, and what goes wrong with the requests for it, in their order."""

    content: bytes
    faults: list = field(default_factory=list)
    headers: dict = field(default_factory=dict)
    ranges: bool = True
    asked: list = field(default_factory=list)
    port: int = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        served = self.server.files.get(self.path)
        if served is None:
            return self._plain(404)
        served.asked.append(dict(self.headers))
        served.port = self.client_address[1]
        fault = served.faults.pop(0) if served.faults else None
        kind, _, value = (fault or "").partition(":")
        if kind == "status":
            return self._plain(int(value), **served.headers)
        if kind == "redirect":
            return self._plain(302, Location=value)
        return self._send(served, kind, value)

    def _plain(self, status, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, served, kind, value):
        start, content = 0, served.content
        asked = self.headers.get("Range", "")
        changed = self.headers.get("If-Range", served.headers.get("ETag")) != served.headers.get("ETag")
        if asked and served.ranges and not changed:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return self._plain(416, **{"Content-Range": f"bytes */{len(content)}"})
        if kind == "content":
            content = value.encode()
        rest = content[start:]
        self.send_response(206 if start else 200)
        if start:
            told = start + 7 if kind == "shifted" else start
            self.send_header("Content-Range", f"bytes {told}-{len(content) - 1}/{len(content)}")
        if kind not in ("unsized", "chunked"):
            self.send_header("Content-Length", str(len(rest) + (5 if kind == "promise" else 0)))
        if kind == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        for name, text in served.headers.items():
            self.send_header(name, text)
        self.end_headers()
        self._body(rest, kind, value)
        return None

    def _body(self, rest, kind, value):
        if kind in ("reset", "stall", "close"):
            self.wfile.write(rest[: int(value)])
            self.wfile.flush()
            if kind == "stall":
                time.sleep(STALL_S)
            if kind == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        elif kind == "chunked":
            cut = rest[: int(value)] if value else rest
            self.wfile.write(f"{len(cut):x}\r\n".encode() + cut + b"\r\n" + (b"" if value else b"0\r\n\r\n"))
            self.close_connection = True
        else:
            self.wfile.write(rest)
            self.close_connection = kind in ("unsized", "promise")


class Server:
    """The server and its files."""

    def __init__(self, http):
        self.http = http
        self.url = f"http://127.0.0.1:{http.server_address[1]}/"

    def put(self, path: str, content: bytes, *faults: str, **more) -> Served:
        served = Served(content, list(faults), **more)
        self.http.files[f"/{path}"] = served
        return served


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that holds nothing yet."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    http.files = {}
    http.handle_error = lambda *_: None
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield Server(http)
    http.shutdown()
    http.server_close()
    thread.join()


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def make_dataset(server):
    """Put files on the server and describe them as a dataset: path -> content, with or without size and hash."""

    def make(files: dict[str, bytes], *, told: bool = True, faults: dict | None = None, **more) -> Dataset:
        entries = []
        for path, content in files.items():
            server.put(path, content, *(faults or {}).get(path, ()))
            facts = {"size": len(content), "hash": sha256(content)} if told and content else {}
            entries.append({"path": path, **facts, **more.get(path, {})})
        return Dataset.model_validate(
            {
                "title": "Made up for a test",
                "citation": ["nobody"],
                "licence": {"name": "CC0-1.0", "restrictions": "do not tell anybody"},
                "access": "open",
                "task": "speech",
                "subjects": 3,
                "format": "bids",
                "audio": "included",
                "onsets": "none",
                "verified": True,
                "base": server.url,
                "files": entries,
                "parts": {
                    "eeg": {"match": [r"sub-(?P<subject>\d+)/.*run-(?P<run>\d+).*"], "about": "recordings"},
                    "extra": {"match": ["extra/.*"], "about": "more", "default": False},
                    "rest": {"match": [".*"], "about": "the rest"},
                },
            }
        )

    return make
