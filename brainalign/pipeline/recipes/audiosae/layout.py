"""How does the AudioSAE recipe become a plan? The usual study's stations where they serve, the paper's steps elsewhere.

Sounds, encoder, sparse coder, simulated recordings and the package's own test are the very
tasks of the usual study (`brainalign.pipeline.study`), so that both share what is kept. Three
things stand in for the study's own: which features there are, each listener's design, and
what is done with them beside the test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from brainalign.core.errors import MissingFile
from brainalign.pipeline.listeners import reading_of
from brainalign.pipeline.plan import Plan
from brainalign.pipeline.reading import read_config
from brainalign.pipeline.recipes.audiosae import stages
from brainalign.pipeline.recipes.audiosae.comparison import COMPARE
from brainalign.pipeline.recipes.audiosae.schema import AudioSaeConfig, PlantedListeners, RunListeners
from brainalign.pipeline.recipes.audiosae.telling import tell
from brainalign.pipeline.recipes.base import RecipeStudy
from brainalign.pipeline.schema import FileListeners, ListenerFile, SimulatedListeners, StudyConfig, TestPart
from brainalign.pipeline.stage import Task
from brainalign.pipeline.study import lay_out


def load_audiosae(path: Path, overrides: Mapping[str, object]) -> RecipeStudy:
    """Read the recipe's configuration and lay out its work (nothing is computed or written).

    Parameters
    ----------
    path, overrides
        As for `brainalign.pipeline.study.load_study`.
    """
    config = read_config(path, AudioSaeConfig, overrides=overrides)
    out = config.out or Path("runs") / config.name
    plan = Plan(config.name, list(_Layout(config, Path(path).parent).tasks()))
    return RecipeStudy(config, plan, out, config.store or out / "store", tell)


@dataclass(frozen=True)
class _Layout:
    """The recipe's tasks; paths are relative to its configuration file."""

    config: AudioSaeConfig
    base: Path

    def tasks(self) -> Iterator[Task]:
        """Yield every piece of work."""
        own = {task.name: task for task in (*self._features(), *self._listeners(), *self._paper(), self._comparison())}
        usual = {task.name: task for task in lay_out(self._usual, self.base)}
        wanted = ["coder-quality", *own]
        kept: dict[str, Task] = {}
        while wanted:
            name = wanted.pop()
            if name not in kept:
                kept[name] = own.get(name) or usual[name]
                wanted += kept[name].needs()
        order = [*usual, *(name for name in own if name not in usual)]
        yield from (kept[name] for name in order if name in kept)

    @cached_property
    def _usual(self) -> StudyConfig:
        """The usual study of the same sounds, model, listeners and test."""
        config, own = self.config, self.config.own
        return StudyConfig(
            name=config.name,
            seed=config.seed,
            stimuli=config.stimuli,
            encoder=config.encoder,
            sae=config.sae,
            listeners=self._usual_listeners(),
            model=config.model,
            test=TestPart(scheme=own.scheme, n_permutations=own.n_permutations, level=own.level),
        )

    def _usual_listeners(self) -> SimulatedListeners | FileListeners:
        part = self.config.listeners
        if isinstance(part, PlantedListeners):
            return SimulatedListeners(n_listeners=part.n_listeners, planting=part.planting, decoys=False)
        if isinstance(part, FileListeners):
            return part
        files = [self._run_file(part, subject, self.config.stories[0]) for subject in part.subjects]
        pairs = zip(part.subjects, files, strict=True)
        recordings = tuple(ListenerFile(file=file, subject=subject, montage=part.montage) for subject, file in pairs)
        return FileListeners(kind="files", recordings=recordings)

    def _all(self, kind: str, of: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{kind}[{name}]" for name in of)

    def _features(self) -> Iterator[Task]:
        part, stories = self.config.features, self.config.stories
        rule = part.model_dump(include={"n_drawn", "min_per_second", "activity"}) | {"seed": self.config.seed}
        yield Task("selection", stages.DRAW, settings=rule, inputs={"codes": self._all("codes", stories)})
        grid = part.model_dump(include={"frame_time", "upsampling"}) | {"rate": self.config.eeg.rate}
        for name in stories:
            inputs = {"codes": f"codes[{name}]", "selection": "selection"}
            yield Task(f"features[{name}]", stages.FEATURES, settings=grid, inputs=inputs)

    def _listeners(self) -> Iterator[Task]:
        part, stories, trf = self.config.listeners, self.config.stories, self.config.trf
        for subject in self.config.subjects:
            electrodes = list(self._electrodes(subject))
            yield from electrodes
            settings = {
                "subject": subject,
                "stories": stories,
                "tmin": trf.tmin,
                "tmax": trf.tmax,
                "electrode": self.config.eeg.electrode[0],
                "onset": part.onset if isinstance(part, RunListeners) else None,
            }
            inputs = {
                "electrodes": tuple(task.name for task in electrodes),
                "features": self._all("features", stories),
            }
            yield Task(f"design[{subject}]", stages.BESIDE, settings=settings, inputs=inputs)

    def _electrodes(self, subject: str) -> Iterator[Task]:
        """Yield the preparation of one listener's recordings: one of all stories, or one of each."""
        part, eeg = self.config.listeners, self.config.eeg
        if not isinstance(part, RunListeners):
            inputs = {"recording": f"recording[{subject}]"}
            yield Task(f"electrode[{subject}]", stages.ELECTRODE, settings={"eeg": eeg}, inputs=inputs)
            return
        for story in self.config.stories:
            file = self._run_file(part, subject, story)
            reading, files = reading_of(ListenerFile(file=file, subject=subject, montage=part.montage), self.base)
            settings = {"eeg": eeg, "reading": reading}
            yield Task(f"electrode[{subject}-{story}]", stages.ELECTRODE, settings=settings, files=files)

    def _run_file(self, part: RunListeners, subject: str, story: str) -> Path:
        path = Path(part.file.replace("{subject}", subject).replace("{run}", part.runs[story])).expanduser()
        if not (self.base / path).exists():
            raise MissingFile(
                "the configuration names a file that does not exist",
                got=self.base / path,
                fix="correct listeners.file or listeners.runs, or leave this listener out of listeners.subjects",
            )
        return path

    def _paper(self) -> Iterator[Task]:
        trf, ttest, designs = self.config.trf, self.config.ttest, self._all("design", self.config.subjects)
        fitting: dict[str, Any] = {"split": self.config.split, "regularization": trf.regularization, "kind": trf.kind}
        for part, apart in (("development", False), ("test", ttest.unit == "story")):
            settings = fitting | {"part": part, "apart": apart}
            yield Task(f"responses[{part}]", stages.RESPOND, settings=settings, inputs={"designs": designs})
        inputs = {"development": "responses[development]", "test": "responses[test]"}
        settings = {"lags_from": ttest.lags_from, "family": ttest.family}
        yield Task("lag-tests", stages.LAG_TESTS, settings=settings, inputs=inputs)

    def _comparison(self) -> Task:
        levels = {"paper_level": self.config.ttest.level, "own_level": self.config.own.level}
        return Task("comparison", COMPARE, settings=levels, inputs={"lag_tests": "lag-tests", "test": "test"})
