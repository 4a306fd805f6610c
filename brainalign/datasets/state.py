"""What does a folder of fetched data remember? The licence that was accepted, hashes of what came, what was unpacked.

All of it lies in a folder ``.brainalign`` inside the data's folder, so that it moves with the data.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainalign.core.errors import StoreProblem, UnreadableFile
from brainalign.core.hashing import file_digest
from brainalign.datasets.listing import FileFact, read_listing, write_listing

MEMORY = ".brainalign"


@dataclass(frozen=True)
class FolderMemory:
    """What is remembered of the data in one folder.

    Parameters
    ----------
    folder
        The data's folder; it need not exist yet, and reading the memory does not make it.
    """

    folder: Path

    @property
    def place(self) -> Path:
        """Where the memory lies."""
        return self.folder / MEMORY

    @property
    def incoming(self) -> Path:
        """Where files are gathered and checked before they are believed."""
        return self.place / "incoming"

    def licence_accepted(self, terms: dict[str, str]) -> bool:
        """Tell whether exactly these terms were accepted for this folder."""
        return terms in self._json("licences.json", [])

    def accept_licence(self, terms: dict[str, str]) -> None:
        """Remember that these terms were accepted."""
        accepted = self._json("licences.json", [])
        self._write("licences.json", [*(item for item in accepted if item != terms), terms])

    def received(self) -> dict[str, FileFact]:
        """Return size and hash of files that came without a known hash, as they were when they came."""
        path = self.place / "received.tsv.gz"
        return {fact.path: fact for fact in read_listing(path)} if path.exists() else {}

    def add_received(self, paths: Iterable[str]) -> None:
        """Remember the hashes of files as they lie in the folder now."""
        facts = self.received()
        for name in paths:
            path = self.folder / name
            facts[name] = FileFact(name, path.stat().st_size, f"sha256:{file_digest(path)}")
        if facts:
            write_listing(self._made("received.tsv.gz.new"), facts.values()).replace(self.place / "received.tsv.gz")

    def unpacked(self, archive: str) -> tuple[FileFact, ...]:
        """Return what came out of an archive of this name and content; empty if it was never unpacked."""
        kept = self._json("unpacked.json", {}).get(archive)
        if kept is None or kept["archive"] != self._digest(archive):
            return ()
        return tuple(FileFact(*member) for member in kept["members"])

    def add_unpacked(self, archive: str, members: Iterable[FileFact]) -> None:
        """Remember what came out of an archive."""
        kept = self._json("unpacked.json", {})
        rows = [[member.path, member.size, member.hash] for member in members]
        self._write("unpacked.json", {**kept, archive: {"archive": self._digest(archive), "members": rows}})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other program that fetches out of this folder."""
        with self._made("lock").open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StoreProblem(
                    "another program is fetching into this folder",
                    got=self.folder.as_posix(),
                    fix="wait until it has ended, or choose another folder with --to",
                ) from error
            yield

    def _digest(self, name: str) -> str:
        path = self.folder / name
        return file_digest(path) if path.exists() else ""

    def _made(self, name: str) -> Path:
        self.place.mkdir(parents=True, exist_ok=True)
        return self.place / name

    def _json(self, name: str, nothing: Any) -> Any:
        path = self.place / name
        if not path.exists():
            return nothing
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UnreadableFile(
                "what this folder remembers cannot be read",
                got=f"{MEMORY}/{name}: {error}",
                fix=f"remove {MEMORY}/{name}; what it told is then asked or checked again",
            ) from error

    def _write(self, name: str, value: Any) -> None:
        fresh = self._made(f"{name}.new")
        fresh.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(self.place / name)
