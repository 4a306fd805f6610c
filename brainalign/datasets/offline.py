"""How does a file come from a folder that somebody copied? Checked like one from the network."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brainalign.core.errors import ValueProblem
from brainalign.datasets.transfer import NotThere, Stopped, TransferProblem

_CHUNK_BYTES = 1 << 20


class FolderCopier:
    """A downloader for pooch that copies from a folder instead.

    Parameters
    ----------
    source
        The folder: a copy of the dataset, or a datalad clone whose files were got.
    name
        The file's path in the dataset; it may also lie in the folder itself, without its own folders.
    size
        Bytes that it must have; None if nobody knows.
    tell
        Called with the number of bytes after each piece.
    stop
        When set, copying ends at the next piece.

    Attributes
    ----------
    resumed
        Always false: copying starts over.
    """

    def __init__(
        self,
        source: Path,
        name: str,
        *,
        size: int | None = None,
        tell: Callable[[int], None] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.source = source
        self.name = name
        self.size = size
        self.tell = tell or (lambda _: None)
        self.stop = stop or threading.Event()
        self.resumed = False

    def __call__(self, url: str, output_file: str | Path, pooch: Any = None) -> None:
        """Copy the file to `output_file`, all of it or nothing."""
        origin = self._origin()
        if self.size is not None and origin.stat().st_size != self.size:
            raise TransferProblem(
                "a file of the offline folder has not the size that it should have",
                got=f"{self.name}: {origin.stat().st_size} bytes instead of {self.size}",
                fix="copy it again from its source; it may have been cut off",
            )
        with origin.open("rb") as stream, Path(output_file).open("wb") as sink:
            while chunk := stream.read(_CHUNK_BYTES):
                if self.stop.is_set():
                    raise Stopped
                sink.write(chunk)
                self.tell(len(chunk))
            sink.flush()
            os.fsync(sink.fileno())

    def _origin(self) -> Path:
        places = (self.source / self.name, self.source / Path(self.name).name)
        found = next((place for place in places if place.exists() or place.is_symlink()), None)
        if found is None:
            raise NotThere(
                "a file is not in the offline folder",
                got=f"{self.name} in {self.source.as_posix()}",
                fix="copy it there, or choose fewer subjects, runs or parts",
            )
        whole = found.resolve()
        if not whole.is_relative_to(self.source.resolve()):
            raise ValueProblem(
                "a link in the offline folder leads out of it",
                got=f"{self.name} -> {whole.as_posix()}",
                fix="copy the file itself into the folder",
            )
        if not whole.is_file():
            raise NotThere(
                "a file of the offline folder is a link to nothing",
                got=f"{self.name} -> {found.readlink().as_posix() if found.is_symlink() else 'a folder'}",
                fix=f"in a datalad clone, get its content first: datalad get {self.name}",
            )
        return whole
