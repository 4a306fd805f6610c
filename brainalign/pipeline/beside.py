"""What does the study's best feature stand beside? The tasks of its controls, wired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainalign.pipeline.listeners import ListenerLayout
from brainalign.pipeline.schema import StudyConfig, TrainedSae
from brainalign.pipeline.stage import Task
from brainalign.pipeline.stages import beside, sound


@dataclass(frozen=True)
class ControlLayout:
    """The controls of one study.

    Attributes
    ----------
    config
        The study's.
    stimuli
        Names of the stories, in order.
    listeners
        Whose recordings they are.
    encoding, files
        Settings and local folder of the study's encoder.
    """

    config: StudyConfig
    stimuli: tuple[str, ...]
    listeners: ListenerLayout
    encoding: Mapping[str, Any]
    files: tuple[Path, ...]

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names of the listeners, in order."""
        return self.listeners.subjects

    @property
    def controls(self) -> tuple[str, ...]:
        """Names of the controls; none where stories or listeners are too few to choose and to judge."""
        enough = len(self.stimuli) >= beside.FEWEST_STORIES and len(self.subjects) >= beside.FEWEST_LISTENERS
        return self.config.test.controls if enough else ()

    @property
    def twin_is_coded(self) -> bool:
        """Whether the untrained twin gets a coder of its own: where the study trains one."""
        return isinstance(self.config.sae, TrainedSae)

    def tasks(self) -> Iterator[Task]:
        """Yield every piece of work; nothing where there are no controls."""
        if not self.controls:
            return
        yield from self._coders()
        yield from self._codes()
        for kind in (beside.CLAIM, *self.controls):
            yield from self._halves(kind)
        halves = {kind: self._of(kind, "halves", self.subjects) for kind in (beside.CLAIM, *self.controls)}
        settings = {"controls": self.controls, "seed": self.config.seed}
        yield Task("beside", beside.COMPARE, settings=settings, inputs=halves)

    def _all(self, made: str) -> tuple[str, ...]:
        return tuple(f"{made}[{name}]" for name in self.stimuli)

    def _of(self, kind: str, made: str, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{made}[{kind}-{name}]" for name in names)

    def _coders(self) -> Iterator[Task]:
        made, frames = {"seed": self.config.seed}, self._all("frames")
        if "random-sae" in self.controls:
            inputs: dict[str, Any] = {"coder": "coder", "frames": frames}
            yield Task("random-coder", beside.RANDOM_CODER, settings=made, inputs=inputs)
        if "matched" in self.controls:
            inputs = {"selection": "selection", "codes": self._all("codes"), "frames": frames}
            yield Task("matched-coder", beside.MATCHED_CODER, settings=made, inputs=inputs)
        if "untrained" in self.controls:
            yield from self._twin()

    def _twin(self) -> Iterator[Task]:
        """Yield the untrained twin's frames, and a coder trained on them as the study's own was."""
        settings = {**self.encoding, "twin": True}
        for name in self.stimuli:
            inputs = {"stimulus": f"stimulus[{name}]"}
            yield Task(f"twin-frames[{name}]", sound.ENCODE, settings=settings, inputs=inputs, files=self.files)
        if self.twin_is_coded:
            training = {"sae": self.config.sae, "seed": self.config.seed}
            yield Task("twin-coder", sound.TRAIN_SAE, settings=training, inputs={"frames": self._all("twin-frames")})

    @property
    def _coded(self) -> dict[str, tuple[str, str]]:
        """Which controls are sparse codes: the coder, and the frames that it codes."""
        coded = {"random-sae": ("random-coder", "frames"), "matched": ("matched-coder", "frames")}
        coded |= {"untrained": ("twin-coder", "twin-frames")} if self.twin_is_coded else {}
        return {kind: pair for kind, pair in coded.items() if kind in self.controls}

    def _codes(self) -> Iterator[Task]:
        for kind, (coder, frames) in self._coded.items():
            for name in self.stimuli:
                inputs = {"coder": coder, "frames": f"{frames}[{name}]"}
                settings = {"prefix": f"{kind}-"}
                yield Task(f"control-codes[{kind}-{name}]", sound.CODE, settings=settings, inputs=inputs)

    def _features(self, kind: str) -> tuple[str, ...]:
        """Return the tasks that make a set's features, one per story."""
        if kind in self._coded:
            return self._of(kind, "control-codes", self.stimuli)
        made = {beside.CLAIM: "codes", "acoustic": "acoustics", "neurons": "frames", "untrained": "twin-frames"}
        return self._all(made[kind])

    def _halves(self, kind: str) -> Iterator[Task]:
        model = self.config.model
        settings = {
            "kind": kind,
            "stimuli": self.stimuli,
            "seed": self.config.seed,
            "partial": self.listeners.partial,
            **model.model_dump(include={"penalties", "n_folds", "lags", "trim", "min_per_second"}),
        }
        for subject in self.subjects:
            recordings = self.listeners.cleaned[subject]
            inputs = {"recordings": recordings, "features": self._features(kind), "selection": "selection"}
            yield Task(f"halves[{kind}-{subject}]", beside.HALVES, settings=settings, inputs=inputs)
