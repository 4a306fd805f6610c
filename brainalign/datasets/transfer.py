"""How does one file come over a network that breaks? In pieces that go on where they stopped.

The pieces go to a file of their own, and only what has arrived whole is handed on. Servers are
not trusted: what is longer than it should be, comes compressed or turns out to be a web page is
refused, and no redirect leads from an encrypted address to an open one.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from brainalign.__about__ import __version__
from brainalign.core.errors import BrainalignError

MAX_REDIRECTS = 8
_CHUNK_BYTES = 1 << 16
# A connection that brought this much was worth its try: what follows is counted anew.
_GAIN_BYTES = 1 << 20
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_REASONS = {
    401: "the address wants a login",
    403: "the server refuses programs, or the file is not public",
    404: "the file has moved or never was there",
    410: "the file was taken away",
    451: "the file is blocked for legal reasons",
}


class TransferProblem(BrainalignError, OSError):
    """A file could not be fetched whole."""


class NotThere(TransferProblem):
    """A server has no file of that name."""


class Stopped(Exception):
    """The transfer was called off; what has arrived is kept."""


class _Broken(Exception):
    """A connection failed in a way that trying again may mend."""

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Parameters
    ----------
    connect_s, read_s
        Seconds until a connection must stand, and until the next piece must come.
    tries
        Connections in a row that may fail without bringing anything much.
    pause_s
        Seconds before the second try; doubled after each further one, up to 30.
    """

    connect_s: float = 20.0
    read_s: float = 60.0
    tries: int = 5
    pause_s: float = 1.0

    def pause(self, failures: int, *, wanted: float = 0.0) -> float:
        """Return how long to wait after so many failures, or as long as the server asks, at most 30 s."""
        return min(30.0, max(wanted, self.pause_s * 2 ** (failures - 1)))


class ResumingDownloader:
    """A downloader for pooch that goes on where an earlier one stopped.

    Parameters
    ----------
    partial
        Where the pieces are gathered; what lies there from an earlier try is gone on with.
    size
        Bytes that must arrive; None if nobody knows.
    has_hash
        Whether the whole will be compared with a known hash.
    patience
        How long to wait for the server.
    tell
        Called with the number of bytes after each piece (negative when starting over).
    stop
        When set, the transfer ends at the next piece.
    session
        Connections to use again, which spares many small files a handshake each; by default
        every connection is a new one.

    Attributes
    ----------
    resumed
        Whether the file was put together from several connections.
    """

    def __init__(
        self,
        partial: Path,
        *,
        size: int | None = None,
        has_hash: bool = False,
        patience: Patience | None = None,
        tell: Callable[[int], None] | None = None,
        stop: threading.Event | None = None,
        session: requests.Session | None = None,
    ) -> None:
        self.partial = partial
        self.size = size
        self.has_hash = has_hash
        self.patience = patience or Patience()
        self.tell = tell or (lambda _: None)
        self.stop = stop or threading.Event()
        self.get = requests.get if session is None else session.get
        self.resumed = False

    def __call__(self, url: str, output_file: str | Path, pooch: Any = None) -> None:
        """Fetch `url` whole and put it at `output_file`; a failure leaves what came for the next try."""
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        failures = 0
        self.resumed = self._have() > 0
        while True:
            before = self._have()
            try:
                self._receive(url)
            except _Broken as broken:
                gained = self._have() - before
                failures = 1 if gained >= _GAIN_BYTES else failures + 1
                if failures >= self.patience.tries:
                    raise self._given_up(url, broken) from broken
                self.stop.wait(self.patience.pause(failures, wanted=broken.wait_s))
            else:
                self.partial.replace(output_file)
                self._etag_file().unlink(missing_ok=True)
                return

    def _have(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _etag_file(self) -> Path:
        return self.partial.with_name(f"{self.partial.name}.etag")

    def _receive(self, url: str) -> None:
        have = self._have()
        if have and have == self.size:
            return
        if self.size is not None and have > self.size:
            self._start_over()
            have = 0
        try:
            with self._answer(url, have=have) as answer:
                total = self._check(answer, url, have=have)
                self._write(answer, url, total=total)
        # The network fails in these ways; an OSError of the disk is none of them and goes on its way.
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise _Broken(f"{type(error).__name__}: {error}") from error
        except requests.RequestException as error:
            raise TransferProblem(
                "this address cannot be asked for a file",
                got=f"{url}: {type(error).__name__}: {error}",
                fix="look at the dataset's page (brainalign datasets NAME)",
            ) from error
        if total is not None and self._have() < total:
            raise _Broken(f"{self._have()} of {total} bytes came")

    def _answer(self, url: str, *, have: int) -> requests.Response:
        """Ask for what is still to come, following redirects that are as safe as the address."""
        headers = {"Accept-Encoding": "identity", "User-Agent": f"brainalign/{__version__}"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._etag_file().exists():
                headers["If-Range"] = self._etag_file().read_text(encoding="utf-8")
        waits = (self.patience.connect_s, self.patience.read_s)
        at = url
        for _ in range(MAX_REDIRECTS):
            answer = self.get(at, headers=headers, stream=True, timeout=waits, allow_redirects=False)
            if not answer.is_redirect:
                return answer
            answer.close()
            onward = urljoin(at, answer.headers["Location"])
            _require_safe_redirect(at, onward)
            at = onward
        raise TransferProblem(
            "the server sends us from one address to the next without end",
            got=f"{MAX_REDIRECTS} redirects from {url}",
            fix="try later, or download the file in a browser and give its folder with --from",
        )

    def _check(self, answer: requests.Response, url: str, *, have: int) -> int | None:
        """Judge an answer before its content is read; return how long the file will be, where that is told."""
        status = answer.status_code
        if status in _TRY_AGAIN:
            raise _Broken(f"the server answers {status}", wait_s=_seconds(answer.headers.get("Retry-After", "")))
        if status == 416:
            self._start_over()
            raise _Broken("the server has less than has already come")
        if status not in (200, 206):
            raise _refusal(status, url)
        self._require_data(answer, url)
        total = _length(answer)
        if status == 206:
            start, total = _content_range(answer)
            if start != have:
                self._start_over()
                raise _Broken(f"the server goes on at byte {start}, and {have} have come")
            self.resumed = self.resumed or have > 0
        elif have:
            self._start_over()
        if total is not None and self.size is not None and total != self.size:
            raise _wrong_size(url, got=f"the server offers {total} bytes, and the manifest says {self.size}")
        chunked = "chunked" in answer.headers.get("Transfer-Encoding", "").lower()
        if total is None and self.size is None and not self.has_hash and not chunked:
            raise TransferProblem(
                "nobody could tell whether this file came whole",
                got=f"{url}: neither its length nor its hash is known",
                fix="download the file in a browser and give its folder with --from",
            )
        self._keep_etag(answer)
        return self.size if total is None else total

    def _require_data(self, answer: requests.Response, url: str) -> None:
        coding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise TransferProblem(
                "the server sends this file compressed on the way, although asked not to",
                got=f"Content-Encoding {coding} from {url}",
                fix="download the file in a browser and give its folder with --from",
            )
        kind = answer.headers.get("Content-Type", "").split(";")[0].strip().lower()
        is_page = urlsplit(url).path.lower().endswith((".html", ".htm"))
        if kind == "text/html" and not is_page:
            raise TransferProblem(
                "a web page came instead of the file",
                got=f"{kind} from {answer.url}",
                fix="the address may want a login: open it in a browser, and give the folder of what comes with --from",
            )

    def _write(self, answer: requests.Response, url: str, *, total: int | None) -> None:
        limit = self.size if total is None else total
        with self.partial.open("ab") as stream:
            for chunk in answer.iter_content(_CHUNK_BYTES):
                if self.stop.is_set():
                    raise Stopped
                if limit is not None and stream.tell() + len(chunk) > limit:
                    stream.close()
                    self._start_over()
                    raise _wrong_size(url, got=f"more than the {limit} bytes that it should have")
                stream.write(chunk)
                self.tell(len(chunk))
            stream.flush()
            os.fsync(stream.fileno())

    def _keep_etag(self, answer: requests.Response) -> None:
        etag = answer.headers.get("ETag", "")
        if etag.startswith('"') and etag.isascii():
            self._etag_file().write_text(etag, encoding="utf-8")
        else:
            self._etag_file().unlink(missing_ok=True)

    def _start_over(self) -> None:
        self.tell(-self._have())
        self.partial.unlink(missing_ok=True)
        self._etag_file().unlink(missing_ok=True)

    def _given_up(self, url: str, broken: _Broken) -> TransferProblem:
        expected = "an unknown number of" if self.size is None else self.size
        return TransferProblem(
            f"the connection failed {self.patience.tries} times in a row",
            got=f"{url}: {broken}; {self._have()} of {expected} bytes have come",
            fix="run the same command again: it goes on where it stopped",
        )


def _require_safe_redirect(origin: str, onward: str) -> None:
    schemes = urlsplit(origin).scheme, urlsplit(onward).scheme
    if schemes[1] not in ("http", "https") or schemes == ("https", "http"):
        raise TransferProblem(
            "the server sends us to an address that is less safe than its own",
            got=f"from {origin} to {onward}",
            fix="download the file in a browser and give its folder with --from",
        )


def _refusal(status: int, url: str) -> TransferProblem:
    kind = NotThere if status in (404, 410) else TransferProblem
    return kind(
        f"the server does not give this file: {_REASONS.get(status, 'it refuses')}",
        got=f"{status} from {url}",
        fix="look at the dataset's page (brainalign datasets NAME); files got by hand can be given with --from FOLDER",
    )


def _wrong_size(url: str, *, got: str) -> TransferProblem:
    return TransferProblem(
        "this file has not the size that it should have",
        got=f"{url}: {got}",
        fix="the dataset has probably changed at its source: compare its version with the manifest's",
    )


def _length(answer: requests.Response) -> int | None:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _content_range(answer: requests.Response) -> tuple[int, int]:
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if match is None:
        raise _Broken("the server sends a part of the file and does not say which")
    return int(match[1]), int(match[2]) + 1 if match[3] == "*" else int(match[3])


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else 0.0
