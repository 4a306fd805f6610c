"""Whose recordings does a study read, how are they cleaned, and how does each listener get one design? Their tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainalign.core.errors import ValueProblem
from brainalign.pipeline.schema import (
    BidsListeners,
    DatasetListeners,
    FileListeners,
    ListenerFile,
    SimulatedListeners,
    StudyConfig,
)
from brainalign.pipeline.stage import Task
from brainalign.pipeline.stages import listening, modelling, sittings

if TYPE_CHECKING:
    from brainalign.datasets.sittings import Sitting

MANIFEST_FACTS = ("format", "montage", "units", "rate", "starts_with")


@dataclass(frozen=True)
class ListenerLayout:
    """The listeners of one study.

    Attributes
    ----------
    config
        The study's.
    base
        What paths are relative to.
    stimuli
        Names of the stories, in order.
    """

    config: StudyConfig
    base: Path
    stimuli: tuple[str, ...]

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """Names of the listeners, in order."""
        return tuple(self.cleaned)

    @cached_property
    def cleaned(self) -> Mapping[str, tuple[str, ...]]:
        """Listener -> the tasks that make clean recordings of that listener, in order."""
        part = self.config.listeners
        if isinstance(part, SimulatedListeners):
            return {f"{i + 1:02d}": (f"clean[{i + 1:02d}]",) for i in range(part.n_listeners)}
        pairs: list[tuple[str, str]]
        if isinstance(part, FileListeners):
            pairs = [(entry.subject, entry.label) for entry in part.recordings]
        else:
            pairs = [(item.subject, item.label) for item in self._sittings]
        subjects = dict.fromkeys(subject for subject, _ in pairs)
        return {subject: tuple(f"clean[{label}]" for own, label in pairs if own == subject) for subject in subjects}

    def tasks(self) -> Iterator[Task]:
        """Yield every piece of work, up to the designs."""
        part = self.config.listeners
        if isinstance(part, SimulatedListeners):
            for subject in self.subjects:
                yield self._simulated(subject)
                yield from self._prepared(subject)
        elif isinstance(part, FileListeners):
            for entry in part.recordings:
                yield self._read(entry)
                yield from self._prepared(entry.label)
                yield from self._sound_check(entry.label, part, recording=f"recording[{entry.label}]")
        else:
            for item in self._sittings:
                settings = self._reading(part, item)
                yield from self._sitting(item, settings)
                yield from self._sound_check(item.label, part, reading=settings, files=item.files)
        for subject in self.subjects:
            yield from self._design(subject)

    def _simulated(self, subject: str) -> Task:
        heard = {kind: tuple(f"{made}[{name}]" for name in self.stimuli) for kind, made in _HEARD.items()}
        settings = {"subject": subject, "seed": self.config.seed}
        inputs = {**heard, "planting": "planting"}
        return Task(f"recording[{subject}]", listening.LISTEN, settings=settings, inputs=inputs)

    def _read(self, entry: ListenerFile) -> Task:
        reading, files = reading_of(entry, self.base)
        return Task(f"recording[{entry.label}]", listening.READ_RECORDING, settings=reading, files=files)

    def _prepared(self, label: str) -> Iterator[Task]:
        raw = {"recording": f"recording[{label}]"}
        yield Task(f"clean[{label}]", listening.CLEAN, settings=self.config.cleaning, inputs=raw)
        yield Task(f"quality[{label}]", listening.QUALITY, inputs={**raw, "clean": f"clean[{label}]"})

    @cached_property
    def _sittings(self) -> tuple[Sitting, ...]:
        """The recordings of a dataset that the study reads: those known to hold none of its sounds are passed over."""
        from brainalign.datasets.sittings import list_bids_sittings, list_sittings

        part = self.config.listeners
        if isinstance(part, DatasetListeners):
            folder = self.base / part.folder.expanduser()
            there = list_sittings(part.name, folder, subjects=part.subjects, runs=part.runs)
        elif isinstance(part, BidsListeners):
            there = list_bids_sittings(
                self.base / part.folder.expanduser(),
                subjects=part.subjects,
                sessions=part.sessions,
                task=part.task,
                runs=part.runs,
                starts_with=part.starts_with,
            )
        else:
            return ()
        kept = tuple(
            item for item in there if not item.sound or part.events.get(item.sound, item.sound) in self.stimuli
        )
        if not kept:
            raise ValueProblem(
                "no run of the dataset starts with a sound of this study",
                got=f"runs start with {', '.join(item.sound for item in there[:4])}..., sounds are "
                f"{', '.join(self.stimuli[:4])}...",
                fix="name the sound files as the runs' sounds, or map the names in listeners.events",
            )
        return kept

    def _reading(self, part: DatasetListeners | BidsListeners, item: Sitting) -> dict[str, Any]:
        own: dict[str, Any]
        if isinstance(part, DatasetListeners):
            from brainalign.datasets.manifest import find_dataset

            own = {"dataset": part.name, **find_dataset(part.name).model_dump(include=set(MANIFEST_FACTS))}
        else:
            own = {"dataset": "", "format": "bids", "montage": part.montage or ""}
        which = {name: getattr(item, name) for name in ("subject", "session", "task", "run", "sound")}
        return {"reading": {**own, **which}, "events": part.events}

    def _sitting(self, item: Sitting, reading: Mapping[str, Any]) -> Iterator[Task]:
        settings = {**reading, "cleaning": self.config.cleaning}
        yield Task(f"clean[{item.label}]", sittings.PREPARE, settings=settings, files=item.files)

    def _sound_check(
        self,
        label: str,
        part: FileListeners | DatasetListeners | BidsListeners,
        *,
        recording: str | None = None,
        reading: Mapping[str, Any] | None = None,
        files: tuple[Path, ...] = (),
    ) -> Iterator[Task]:
        if part.sound_channel is None:
            return
        settings = {"channel": part.sound_channel, **(reading or {})}
        inputs: dict[str, Any] = {"stimuli": tuple(f"stimulus[{name}]" for name in self.stimuli)}
        inputs |= {"recording": recording} if recording else {}
        yield Task(f"sound-check[{label}]", sittings.SOUND_CHECK, settings=settings, inputs=inputs, files=files)

    def _design(self, subject: str) -> Iterator[Task]:
        model, recordings = self.config.model, {"recordings": self.cleaned[subject]}
        window = {"stimuli": self.stimuli, "partial": self.partial, "lags": model.lags, "trim": model.trim}
        candidates = tuple(f"candidates[{name}]" for name in self.stimuli)
        inputs = {**recordings, "candidates": candidates}
        yield Task(f"design[{subject}]", modelling.ALIGN, settings=window, inputs=inputs)
        if not isinstance(self.config.listeners, SimulatedListeners):
            heard = {**recordings, "stimuli": tuple(f"stimulus[{name}]" for name in self.stimuli)}
            yield Task(f"hearing[{subject}]", sittings.HEARING, inputs=heard)

    @property
    def partial(self) -> bool:
        """Whether a listener may have missed some of the stories: in a dataset, runs get lost."""
        return isinstance(self.config.listeners, (DatasetListeners, BidsListeners))


_HEARD = {"codes": "codes", "stimuli": "stimulus"}


def reading_of(entry: ListenerFile, base: Path) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """Return how a recording is read, and all files that are read for it.

    Parameters
    ----------
    entry
        As the configuration has it.
    base
        What its paths are relative to.
    """
    places = base / Path(entry.montage).expanduser() if entry.montage else None
    from_file = places is not None and places.is_file()
    settings = entry.model_dump(include={"subject", "run", "units", "starts_with"})
    settings |= {"montage": None if from_file else entry.montage, "places_from_file": from_file}
    own = with_companions(existing(base, entry.file))
    return settings, (*own, places) if from_file and places is not None else own


def existing(base: Path, path: Path) -> Path:
    """Return a file that the configuration names, or say that it is not there.

    Parameters
    ----------
    base
        What the path is relative to.
    path
        As the configuration has it.
    """
    from brainalign.core.errors import MissingFile

    whole = base / path.expanduser()
    if not whole.exists():
        raise MissingFile("the configuration names a file that does not exist", got=whole, fix="correct the path")
    return whole


def with_companions(file: Path) -> tuple[Path, ...]:
    """Return a recording's file and those that belong to it: BrainVision, EEGLAB and split FIF have several.

    All their contents enter the key: a changed ``.eeg`` beside an unchanged ``.vhdr`` is another recording.
    """
    stem = escape(file.stem)
    beside = {*file.parent.glob(f"{stem}.*"), *file.parent.glob(f"{stem}-[0-9]*.fif")} - {file}
    return (file, *sorted(path for path in beside if path.is_file()))
