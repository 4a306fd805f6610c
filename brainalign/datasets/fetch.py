"""How do the files of a dataset come into a folder, whole? Several at a time, checked, and never believed before.

pooch compares hashes; what carries the bytes is `ResumingDownloader`, which goes on where it
stopped. A file is gathered and checked inside ``.brainalign/incoming`` and moved to its place
in one step, so whatever happens, a file in its place is a whole one.
"""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests

from brainalign.core.errors import BrainalignError, StoreProblem, ValueProblem
from brainalign.datasets.archive import unpack
from brainalign.datasets.choose import RemoteFile
from brainalign.datasets.listing import FileFact
from brainalign.datasets.offline import FolderCopier
from brainalign.datasets.paths import below
from brainalign.datasets.plan import FetchPlan, is_whole, partial_path, plan_fetch, require_room
from brainalign.datasets.state import FolderMemory
from brainalign.datasets.transfer import NotThere, Patience, ResumingDownloader, Stopped, TransferProblem

JOBS = 4


class LicenceNotAccepted(BrainalignError, ValueError):
    """A dataset's terms have to be accepted before it is fetched."""


@dataclass(frozen=True)
class FetchReport:
    """What a fetch did.

    Parameters
    ----------
    folder
        Where the files lie.
    fetched, kept
        Paths of the files that came, and of those that were there already.
    absent
        Optional files that the source does not have.
    unverified
        Files that came without a known hash; what came is remembered.
    unpacked
        Files that came out of archives.
    replaced
        Files that were there, were others, and now lie in ``.brainalign/replaced``.
    """

    folder: Path
    fetched: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    unpacked: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()


def fetch_dataset(
    name: str,
    folder: str | Path,
    *,
    subjects: Sequence[str] = (),
    runs: Sequence[str] = (),
    parts: Sequence[str] = (),
    source: str | Path | None = None,
    accept_licence: bool = False,
    jobs: int = JOBS,
) -> FetchReport:
    """Fetch files of a dataset, or check and complete those that are there.

    Parameters
    ----------
    name
        A dataset of the manifest (``brainalign datasets`` lists them).
    folder
        Where its files go.
    subjects, runs, parts
        What to choose: ``subjects=["1-3"], runs=["5"]``; nothing given means the usual parts, all of them.
    source
        A folder with a copy to take files from instead of the network.
    accept_licence
        Say that the dataset's terms are accepted; needed once per folder.
    jobs
        Files at a time.

    Returns
    -------
    FetchReport
    """
    plan = plan_fetch(name, folder, subjects=subjects, runs=runs, parts=parts, source=source)
    return carry_out(plan, accept_licence=accept_licence, jobs=jobs)


def carry_out(
    plan: FetchPlan,
    *,
    accept_licence: bool = False,
    jobs: int = JOBS,
    patience: Patience | None = None,
    tell: Callable[[str, int], None] | None = None,
) -> FetchReport:
    """Do what a plan says.

    One file that fails does not keep the others from coming; the first failure is then told, with
    the number of failures. The same call again goes on where this one stopped.

    Parameters
    ----------
    plan
        What `plan_fetch` found.
    accept_licence
        Say that the dataset's terms are accepted; needed once per folder.
    jobs
        Files at a time.
    patience
        How long to wait for a server.
    tell
        Called with a file's path and a number of bytes as they come, from several threads.

    Returns
    -------
    FetchReport
    """
    require_accepted(plan, accept_licence=accept_licence)
    require_room(plan)
    memory = FolderMemory(plan.folder)
    plan.folder.mkdir(parents=True, exist_ok=True)
    with memory.locked(), _room_told(plan.folder):
        memory.accept_licence(plan.licence)
        courier = _Courier(plan, patience=patience, tell=tell)
        fetched = courier.bring_all(jobs)
        unverified = [file.path for file in plan.missing if file.path in fetched and not file.hash]
        memory.add_received(unverified)
        unpacked = [fact.path for file in plan.files if file.unpack for fact in _unpacked(plan, file, memory)]
        courier.raise_failures()
    return FetchReport(
        plan.folder,
        fetched=tuple(sorted(fetched)),
        kept=tuple(file.path for file in plan.kept),
        absent=tuple(sorted(courier.absent)),
        unverified=tuple(unverified),
        unpacked=tuple(unpacked),
        replaced=tuple(sorted(courier.replaced)),
    )


def require_accepted(plan: FetchPlan, *, accept_licence: bool) -> None:
    """Refuse a fetch whose dataset's terms were accepted neither now nor before, in this folder."""
    if accept_licence or plan.licence_accepted:
        return
    terms = plan.dataset.licence
    raise LicenceNotAccepted(
        f"the terms of {plan.name} are to be accepted first",
        got="; ".join(text for text in (terms.name, terms.restrictions, terms.url or "") if text),
        fix="read them, then say so: --accept-licence (in Python: accept_licence=True); it is remembered in the folder",
    )


class _Courier:
    """Brings the missing files of a plan, several at a time, and notes what went wrong."""

    def __init__(self, plan: FetchPlan, *, patience: Patience | None, tell: Callable[[str, int], None] | None) -> None:
        self.plan = plan
        self.patience = patience
        self.tell = tell or (lambda _path, _count: None)
        self.stop = threading.Event()
        self.absent: list[str] = []
        self.replaced: list[str] = []
        self.failures: list[Exception] = []
        self.sessions: list[requests.Session] = []
        self.own = threading.local()
        memory = FolderMemory(plan.folder)
        self.attic = memory.place / "replaced"
        self.pooch = pooch.Pooch(
            path=memory.incoming,
            base_url="",
            registry={file.path: file.hash or None for file in plan.missing},
            urls={file.path: file.url or f"offline:{file.path}" for file in plan.missing},
        )

    def bring_all(self, jobs: int) -> set[str]:
        """Bring every missing file and return the paths of those that came."""
        came: set[str] = set()
        # Before the threads start: pooch makes a missing folder in a way that two of them must not meet in.
        for file in self.plan.missing:
            (self.pooch.abspath / file.path).parent.mkdir(parents=True, exist_ok=True)
        with _quiet_pooch(), ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            tasks = {pool.submit(self._bring, file): file for file in self.plan.missing}
            try:
                for task in as_completed(tasks):
                    self._note(task, tasks[task], came)
            except BaseException:
                self.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            finally:
                pool.shutdown(wait=True)
                for session in self.sessions:
                    session.close()
        return came

    def raise_failures(self) -> None:
        """Tell the first failure, and how many there were."""
        if not self.failures:
            return
        first = self.failures[0]
        if len(self.failures) > 1 and isinstance(first, BrainalignError):
            n_files = len(self.plan.missing)
            raise TransferProblem(
                f"{len(self.failures)} of {n_files} files did not come; the first: {first.what}",
                got=first.got,
                fix=first.fix,
            ) from first
        raise first

    def _note(self, task: Future[bool], file: RemoteFile, came: set[str]) -> None:
        try:
            if task.result():
                came.add(file.path)
            else:
                self.absent.append(file.path)
        except BrainalignError as error:
            self.failures.append(error)

    def _bring(self, file: RemoteFile) -> bool:
        """Bring one file into its place; False if it is optional and not there."""
        if self.stop.is_set():
            raise Stopped
        carrier = self._carrier(file)
        try:
            whole = self._checked(file, carrier)
        except NotThere:
            if file.optional:
                return False
            raise
        target = below(self.plan.folder, file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            self._set_aside(target, file.path)
        whole.replace(target)
        return True

    def _carrier(self, file: RemoteFile) -> ResumingDownloader | FolderCopier:
        def tell(count: int) -> None:
            self.tell(file.path, count)

        if self.plan.source is not None:
            return FolderCopier(self.plan.source, file.path, size=file.size, tell=tell, stop=self.stop)
        return ResumingDownloader(
            partial_path(self.plan.folder, file),
            size=file.size,
            has_hash=bool(file.hash),
            patience=self.patience,
            tell=tell,
            stop=self.stop,
            session=self._session(),
        )

    def _session(self) -> requests.Session:
        """Return this thread's own connections: sessions are not made to be shared."""
        if not hasattr(self.own, "session"):
            self.own.session = requests.Session()
            self.sessions.append(self.own.session)
        return self.own.session

    def _checked(self, file: RemoteFile, carrier: ResumingDownloader | FolderCopier, *, again: bool = True) -> Path:
        """Let pooch fetch and compare; pieces of two connections that do not fit are fetched once more as one."""
        try:
            return Path(self.pooch.fetch(file.path, downloader=carrier))
        except ValueError as error:
            if isinstance(error, BrainalignError):
                raise
            if carrier.resumed and again:
                return self._checked(file, carrier, again=False)
            raise TransferProblem(
                "a file is not what it should be: its hash is another",
                got=f"{file.path} from {self.plan.source or file.url}: {' '.join(str(error).split())}",
                fix="it was thrown away; if it happens again, the dataset has changed at its source or on its way",
            ) from error

    def _set_aside(self, target: Path, name: str) -> None:
        kept = self.attic / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        target.replace(kept)
        self.replaced.append(name)


def _unpacked(plan: FetchPlan, file: RemoteFile, memory: FolderMemory) -> tuple[FileFact, ...]:
    """Unpack an archive where it lies, unless all that came out of it is still there."""
    archive = plan.folder / file.path
    if not archive.exists():
        return ()
    inside = archive.parent
    facts = memory.unpacked(file.path)
    if facts and all(is_whole(inside, RemoteFile(fact.path, "", size=fact.size), hash=fact.hash) for fact in facts):
        return facts
    facts = unpack(archive, inside, aside=memory.place / "unpacking")
    memory.add_unpacked(file.path, facts)
    return facts


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Keep pooch from writing a line per file; whoever asked is told through `tell`."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _room_told(folder: Path) -> Iterator[None]:
    """Turn a full disk into an error that says so; what has come is kept."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreProblem(
            "the disk is full",
            got=f"{shutil.disk_usage(folder).free / 1e6:.0f} MB are free at {folder.as_posix()}",
            fix="make room and run the same command again: it goes on where it stopped",
        ) from error


def clear_incoming(folder: str | Path) -> None:
    """Throw away the pieces of files that never came whole.

    Parameters
    ----------
    folder
        The dataset's folder.
    """
    memory = FolderMemory(Path(folder))
    if not memory.place.is_dir():
        raise ValueProblem("nothing was ever fetched into this folder", got=str(folder), fix="check the path")
    with memory.locked():
        shutil.rmtree(memory.incoming, ignore_errors=True)
