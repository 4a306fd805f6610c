"""How does a configuration become a plan? Every station of a study, wired in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from brainalign.core.errors import UnreadableFile
from brainalign.pipeline.beside import ControlLayout
from brainalign.pipeline.listeners import ListenerLayout, existing
from brainalign.pipeline.outputs import write_outputs
from brainalign.pipeline.plan import Plan
from brainalign.pipeline.reading import read_config, read_value
from brainalign.pipeline.recipes.base import RecipeStudy
from brainalign.pipeline.schema import (
    FileStimuli,
    LoadedSae,
    SimulatedListeners,
    StudyConfig,
    SyntheticStimuli,
)
from brainalign.pipeline.stage import Task
from brainalign.pipeline.stages import listening, modelling, people, sound, verdict

__all__ = ["AnyStudy", "Study", "demo_config", "lay_out", "load_study", "write_outputs"]

DEMO = "demo"
N_BLOCKS = 12


@dataclass(frozen=True)
class Study:
    """A configuration with its plan and its folders."""

    config: StudyConfig
    plan: Plan
    out_folder: Path
    store_folder: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return self.config.name


AnyStudy = Study | RecipeStudy


def demo_config(quick: bool) -> Path:
    """Return the built-in demonstration's configuration file."""
    return Path(__file__).with_name("demos") / ("quick.yaml" if quick else "demo.yaml")


def load_study(path: Path, overrides: Mapping[str, object] | None = None) -> AnyStudy:
    """Read a configuration file and lay out its work (nothing is computed or written).

    ``demo`` stands for the demonstration's own configuration where no file of that name exists.
    A configuration that names a recipe gives that recipe's study.
    """
    if str(path) == DEMO and not Path(path).exists():
        path = demo_config(quick=False)
    if (recipe := read_value(path, "recipe")) is not None:
        from brainalign.pipeline.recipes.registry import load_recipe

        return load_recipe(recipe, Path(path), overrides or {})
    config = read_config(path, StudyConfig, overrides=overrides or {})
    out = config.out or Path("runs") / config.name
    plan = Plan(config.name, list(_Layout(config, Path(path).parent).tasks()))
    return Study(config, plan, out, config.store or out / "store")


def lay_out(config: StudyConfig, base: Path) -> Iterator[Task]:
    """Yield a study's tasks; paths are relative to a folder.

    Parameters
    ----------
    config, base
        The configuration, and the folder of its file.
    """
    return _Layout(config, base).tasks()


@dataclass(frozen=True)
class _Layout:
    """The tasks of a study; paths are relative to its configuration file."""

    config: StudyConfig
    base: Path

    @property
    def stimuli(self) -> tuple[str, ...]:
        """Names of the stories, in order."""
        part = self.config.stimuli
        if isinstance(part, SyntheticStimuli):
            return tuple(f"story-{i + 1:02d}" for i in range(part.n_trials))
        return tuple(path.stem for path in part.files)

    @cached_property
    def listeners(self) -> ListenerLayout:
        """The listeners' own tasks."""
        return ListenerLayout(self.config, self.base, self.stimuli)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names of the listeners, in order."""
        return self.listeners.subjects

    @property
    def truth(self) -> bool:
        return isinstance(self.config.listeners, SimulatedListeners)

    @property
    def decoys(self) -> bool:
        part = self.config.listeners
        return isinstance(part, SimulatedListeners) and part.decoys

    def tasks(self) -> Iterator[Task]:
        """Yield every piece of work."""
        for name in self.stimuli:
            yield self._stimulus(name)
            yield from self._coded("", name)
            yield self._task(
                "acoustics", name, sound.ACOUSTICS, {"baselines": self.config.baselines}, self._heard(name)
            )
        yield from self._coder()
        if self.decoys:
            yield from self._unheard()
        yield from self._candidates()
        yield from self.listeners.tasks()
        yield from self._models()
        yield from ControlLayout(self.config, self.stimuli, self.listeners, *self._encoding()).tasks()
        if self.truth:
            yield from self._verdict()

    def _task(self, kind: str, of: str, stage: Any, settings: Any, inputs: Mapping[str, Any], **more: Any) -> Task:
        return Task(f"{kind}[{of}]", stage, settings=settings, inputs=inputs, **more)

    def _heard(self, name: str) -> dict[str, str]:
        return {"stimulus": f"stimulus[{name}]", "frames": f"frames[{name}]"}

    def _all(self, kind: str, of: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{kind}[{name}]" for name in of)

    def _stimulus(self, name: str) -> Task:
        part = self.config.stimuli
        if isinstance(part, FileStimuli):
            file = self._file(next(path for path in part.files if path.stem == name))
            return self._task("stimulus", name, sound.READ_SOUND, {"name": name}, {}, files=(file,))
        settings = {"name": name, "seconds": part.seconds, "seed": self.config.seed}
        return self._task("stimulus", name, sound.SYNTHESISE, settings, {})

    def _file(self, path: Path) -> Path:
        return existing(self.base, path)

    def _encoding(self) -> tuple[dict[str, Any], tuple[Path, ...]]:
        """Return the encoder's settings and its local folder, if it has one."""
        part = self.config.encoder
        local = (self.base / part.source,) if (self.base / part.source).is_dir() else ()
        settings = {
            "source": Path(part.source).name if local else part.source,
            "twin": False,
            "seed": self.config.seed,
            **part.model_dump(include={"layer", "site", "revision", "past_seconds"}),
        }
        return settings, local

    def _coded(self, prefix: str, name: str) -> Iterator[Task]:
        settings, local = self._encoding()
        heard = {"stimulus": f"{prefix}stimulus[{name}]"}
        yield self._task(f"{prefix}frames", name, sound.ENCODE, settings, heard, files=local)
        inputs = {"coder": "coder", "frames": f"{prefix}frames[{name}]"}
        yield self._task(f"{prefix}codes", name, sound.CODE, {}, inputs)

    def _coder(self) -> Iterator[Task]:
        part, frames = self.config.sae, {"frames": self._all("frames", self.stimuli)}
        if isinstance(part, LoadedSae):
            files = (self._file(part.path),)
            yield Task("coder", sound.LOAD_SAE, settings={"layer": part.layer}, inputs=frames, files=files)
        else:
            yield Task("coder", sound.TRAIN_SAE, settings={"sae": part, "seed": self.config.seed}, inputs=frames)
        held_out = "unheard-frames" if self.decoys else "frames"
        inputs = {"coder": "coder", "frames": self._all(held_out, self.stimuli)}
        yield Task("coder-quality", sound.MEASURE_SAE, inputs=inputs)

    def _unheard(self) -> Iterator[Task]:
        for name in self.stimuli:
            settings = {"name": f"unheard-{name}", "seconds": self._unheard_seconds, "seed": self.config.seed}
            yield self._task("unheard-stimulus", name, sound.SYNTHESISE, settings, {})
            yield from self._coded("unheard-", name)

    @property
    def _unheard_seconds(self) -> float:
        part = self.config.stimuli
        if isinstance(part, SyntheticStimuli):
            return part.seconds
        return max(_seconds(self._file(path)) for path in part.files) + 1

    def _candidates(self) -> Iterator[Task]:
        rule = {"min_per_second": self.config.model.min_per_second, "stimuli": self.stimuli}
        yield Task("selection", modelling.SELECT, settings=rule, inputs={"codes": self._all("codes", self.stimuli)})
        for name in self.stimuli:
            settings = {"seed": self.config.seed}
            yield self._task("candidates", name, modelling.OFFER, settings, self._candidate_inputs(name))

    def _candidate_inputs(self, name: str) -> dict[str, str]:
        inputs = {"codes": f"codes[{name}]", "selection": "selection"}
        return {**inputs, "unheard": f"unheard-codes[{name}]"} if self.decoys else inputs

    def _models(self) -> Iterator[Task]:
        model, test, seed = self.config.model, self.config.test, self.config.seed
        fitting: dict[str, Any] = {"penalties": model.penalties, "n_folds": model.n_folds}
        drawing = {"seed": seed, "n_permutations": test.n_permutations, "n_listeners": len(self.subjects)}
        designs, drawn = self._all("design", self.subjects), self._all("surrogates", self.subjects)
        yield Task("null-choice", modelling.CHOOSE, settings={"scheme": test.scheme}, inputs={"designs": designs})
        for subject in self.subjects:
            design = {"design": f"design[{subject}]"}
            yield self._task("map", subject, modelling.MAP, fitting, design)
            choice = {**design, "choice": "null-choice"}
            yield self._task("surrogates", subject, modelling.DRAW, drawing, choice)
        blocks = tuple(f"{i + 1:02d}" for i in range(N_BLOCKS))
        for i, name in enumerate(blocks):
            block = {**fitting, "block": i, "n_blocks": N_BLOCKS}
            yield self._task("null", name, modelling.SCORE, block, {"designs": designs, "surrogates": drawn})
        nulls = {"design": designs[0], "blocks": self._all("null", blocks), "surrogates": drawn}
        yield Task("test", modelling.TEST, settings={"seed": seed}, inputs={**nulls, "choice": "null-choice"})
        found = {"test": "test", "maps": self._all("map", self.subjects)}
        yield Task("findings", modelling.FIND, settings={"level": test.level}, inputs=found)
        if len(self.subjects) >= people.FEWEST:
            yield Task("population", people.GENERALISE, settings={"seed": seed}, inputs={"maps": found["maps"]})
            yield Task("ceiling", people.CEILING, settings={"seed": seed}, inputs={"designs": designs})
        for subject in self.subjects:
            joint = {"stimuli": self.stimuli, "n_candidates": test.n_candidates, "n_folds": model.n_folds}
            features = {"findings": "findings", "acoustics": self._all("acoustics", self.stimuli)}
            inputs = {"design": f"design[{subject}]", **features}
            yield self._task("unique", subject, modelling.CONTRIBUTE, joint, inputs)

    def _verdict(self) -> Iterator[Task]:
        part, seed = self.config.listeners, self.config.seed
        codes = {"codes": self._all("codes", self.stimuli), "selection": "selection"}
        settings = {"planting": part.planting, "seed": seed}  # type: ignore[union-attr]
        yield Task("planting", listening.PLANT, settings=settings, inputs=codes)
        inputs = {
            "test": "test",
            "findings": "findings",
            "planting": "planting",
            "maps": self._all("map", self.subjects),
            "unique": self._all("unique", self.subjects),
        }
        if self.decoys:
            key = self._candidate_inputs(self.stimuli[0])
            yield Task("answer-key", modelling.ANSWER_KEY, settings={"seed": seed}, inputs=key)
            inputs["answer_key"] = "answer-key"
        yield Task("verdict", verdict.JUDGE, inputs=inputs)


def _seconds(path: Path) -> float:
    """Tell how long a sound file is from its header."""
    import soundfile

    try:
        return float(soundfile.info(path).duration)
    except (soundfile.SoundFileError, OSError) as error:
        raise UnreadableFile(
            "a sound file cannot be read", got=f"{path.name}: {error}", fix="export it again as WAV or FLAC"
        ) from error
