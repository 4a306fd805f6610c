"""What is to be fetched, what is there already, and is there room for the rest?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pooch

from brainalign.core.errors import StoreProblem, ValueProblem
from brainalign.datasets.choose import RemoteFile, choose_files
from brainalign.datasets.manifest import Dataset, find_dataset
from brainalign.datasets.paths import below
from brainalign.datasets.state import FolderMemory

# Room that is left free on the disk beyond what the files need.
SPARE_BYTES = 64 << 20
_HOW = {
    "login": "make an account there and download it",
    "request": "ask there for access and download it",
    "by-hand": "download it there in a browser: its server refuses programs, or its files' addresses are not known",
}


@dataclass(frozen=True)
class FetchPlan:
    """What a fetch will do.

    Parameters
    ----------
    name, dataset
        The dataset, and what the manifest says of it.
    folder
        Where its files go.
    source
        A folder to take files from instead of the network; None for the network.
    kept
        Files that are there already, whole.
    missing
        Files to be fetched.
    """

    name: str
    dataset: Dataset
    folder: Path
    source: Path | None
    kept: tuple[RemoteFile, ...]
    missing: tuple[RemoteFile, ...]

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        """All files that were asked for."""
        return (*self.kept, *self.missing)

    @property
    def n_bytes(self) -> int:
        """Bytes still to come, as far as sizes are known."""
        gathered = sum(min(partial_bytes(self.folder, file), file.size or 0) for file in self.missing)
        return sum(file.size or 0 for file in self.missing) - gathered

    @property
    def n_unknown(self) -> int:
        """Number of missing files whose size nobody knows."""
        return sum(file.size is None for file in self.missing)

    @property
    def n_unpacked_bytes(self) -> int:
        """Room that unpacking will take at least; archives never unfold to less than they weigh by much."""
        return sum(file.size or 0 for file in self.missing if file.unpack)

    @property
    def n_free(self) -> int:
        """Free bytes where the files will lie."""
        there = self.folder.absolute()
        while not there.exists():
            there = there.parent
        return shutil.disk_usage(there).free

    @property
    def licence(self) -> dict[str, str]:
        """The terms that are to be accepted, as the folder remembers them."""
        terms = self.dataset.licence
        return {
            "dataset": self.name,
            "version": self.dataset.version,
            "licence": terms.name,
            "terms": terms.restrictions,
        }

    @property
    def licence_accepted(self) -> bool:
        """Whether these terms were accepted for this folder before."""
        return FolderMemory(self.folder).licence_accepted(self.licence)


def plan_fetch(
    name: str,
    folder: str | Path,
    *,
    subjects: Sequence[str] = (),
    runs: Sequence[str] = (),
    parts: Sequence[str] = (),
    source: str | Path | None = None,
    dataset: Dataset | None = None,
) -> FetchPlan:
    """Find out what is to be fetched; nothing is fetched or written.

    Files that are there are compared with their hashes, which takes a while for many gigabytes.

    Parameters
    ----------
    name
        A dataset of the manifest (``brainalign datasets`` lists them).
    folder
        Where its files go.
    subjects, runs, parts
        What to choose, as in `choose_files`; nothing given means the usual parts of all listeners and runs.
    source
        A folder with a copy to take files from instead of the network.
    dataset
        What is known of the dataset, if it is not in the manifest.

    Returns
    -------
    FetchPlan
    """
    dataset = find_dataset(name) if dataset is None else dataset
    files = choose_files(dataset, subjects=subjects, runs=runs, parts=parts)
    source = None if source is None else _existing(Path(source))
    _require_reachable(name, dataset, files, source)
    folder = Path(folder)
    received = FolderMemory(folder).received()
    known = {path: fact.hash for path, fact in received.items()}
    whole = {file.path for file in files if is_whole(folder, file, hash=file.hash or known.get(file.path, ""))}
    return FetchPlan(
        name,
        dataset,
        folder,
        source,
        kept=tuple(file for file in files if file.path in whole),
        missing=tuple(file for file in files if file.path not in whole),
    )


def require_room(plan: FetchPlan) -> None:
    """Refuse a plan for which there is not enough room on the disk."""
    needed, free = plan.n_bytes + plan.n_unpacked_bytes, plan.n_free
    if needed + SPARE_BYTES > free:
        raise StoreProblem(
            "there is not enough room for these files",
            got=f"{needed / 1e9:.2f} GB are needed, and {free / 1e9:.2f} GB are free at {plan.folder.as_posix()}",
            fix="choose fewer subjects or runs, make room, or choose a folder on another disk with --to",
        )


def is_whole(folder: Path, file: RemoteFile, *, hash: str) -> bool:
    """Tell whether a file lies in a folder as it should: its size and its hash decide, never its date.

    Parameters
    ----------
    folder
        The dataset's folder.
    file
        Which file.
    hash
        What its content must hash to; empty if nobody knows, and then nothing is believed.
    """
    path = below(folder, file.path)
    if not hash or not path.is_file() or (file.size is not None and path.stat().st_size != file.size):
        return False
    kind, _, value = hash.partition(":")
    return pooch.file_hash(str(path), alg=kind) == value


def partial_path(folder: Path, file: RemoteFile) -> Path:
    """Return where the pieces of a file are gathered."""
    return FolderMemory(folder).incoming / f"{file.path}.part"


def partial_bytes(folder: Path, file: RemoteFile) -> int:
    """Return how much of a file has come already."""
    path = partial_path(folder, file)
    return path.stat().st_size if path.exists() else 0


def _existing(source: Path) -> Path:
    if not source.is_dir() or not os.access(source, os.R_OK):
        raise ValueProblem(
            "the folder to take files from is not there", got=source.as_posix(), fix="give a folder with --from"
        )
    return source


def _require_reachable(name: str, dataset: Dataset, files: tuple[RemoteFile, ...], source: Path | None) -> None:
    page = dataset.page or (f"https://doi.org/{dataset.doi}" if dataset.doi else "its authors")
    if not files:
        how = _HOW.get(dataset.access, "choose other parts, subjects or runs")
        raise ValueProblem(f"no file of {name} can be fetched", got=f"access: {dataset.access}; {page}", fix=how)
    if dataset.access != "open" and source is None:
        raise ValueProblem(
            f"{name} is not open to programs",
            got=f"access: {dataset.access}; {page}",
            fix=f"{_HOW[dataset.access]}, and check the files with --from FOLDER",
        )
