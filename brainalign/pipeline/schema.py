"""Which choices does a study have? Every option: a name, a type, a default and a sentence.

A study is written in YAML and read into these frozen models. Unknown keys are refused.
Each stage receives its own part only, so that changing an option makes anew exactly what
depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from brainalign.core.errors import BrainalignError, ConfigProblem

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""What can be part of a file's name everywhere: letters, digits, ``-`` and ``_``."""


class Part(BaseModel):
    """A part of the configuration: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _twice(names: Iterable[str]) -> str | None:
    """Return the first name that is given twice, if any."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


class SyntheticStimuli(Part):
    """Speech-like sounds made on the spot."""

    kind: Literal["synthetic"] = "synthetic"
    n_trials: int = Field(12, ge=3, description="Number of trials.")
    seconds: float = Field(60.0, ge=10, description="Length of each trial, in seconds.")


class FileStimuli(Part):
    """Sound files; each is known by its file name without the ending."""

    kind: Literal["files"]
    files: tuple[Path, ...] = Field(min_length=3, description="Sound files, relative to the configuration file.")

    @model_validator(mode="after")
    def _names_differ(self) -> FileStimuli:
        if twice := _twice(path.stem for path in self.files):
            raise ValueError(f"rename a file: {twice!r} names two sounds, and onsets could not be told apart")
        return self


SiteName = Literal["residual", "mlp", "attention", "heads", "front", "final"]


class EncoderPart(Part):
    """The audio model whose layer is looked at."""

    source: str = Field(
        "untrained-hubert",
        description="A hub id, a local folder, or 'untrained-hubert' (small, seeded random weights).",
    )
    layer: int = Field(2, ge=0, description="Hidden state: 0 is the front end's output, k the output of block k.")
    site: SiteName = Field("residual", description="Where in the block: see docs/encoders.md.")
    past_seconds: float | None = Field(
        None, gt=0, description="Let every frame hear only so much of its past; null: the sound on both sides."
    )
    revision: str | None = Field(None, description="Hub revision (a commit) to pin.")


VariantName = Literal["batchtopk", "topk", "relu-l1", "jumprelu", "gated", "matryoshka", "temporal", "frozen-decoder"]


class TrainedSae(Part):
    """A sparse autoencoder trained on this study's own activations."""

    kind: Literal["train"] = "train"
    variant: VariantName = Field("batchtopk", description="Way of training: see docs/sae.md.")
    options: dict[str, float] = Field({}, description="The variant's own settings, by name.")
    expansion: int = Field(8, ge=1, description="Features per model dimension.")
    k: int = Field(12, ge=1, description="Mean number of active features per frame.")
    n_steps: int = Field(2000, ge=1, description="Training steps.")
    n_batch: int = Field(1024, ge=1, description="Frames per step.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate after warm-up.")


class LoadedSae(Part):
    """A sparse autoencoder from disk (SAELens or dictionary_learning layout)."""

    kind: Literal["load"]
    path: Path = Field(description="The checkpoint's file or folder, relative to the configuration file.")
    layer: int | None = Field(None, description="Which layer's folder to take where the checkpoint has several.")


class Planting(Part):
    """The truth behind simulated listeners: which features drive the brain, and how strongly."""

    n_features: int = Field(5, ge=1, le=8, description="Number of planted features.")
    microvolts: float = Field(
        0.7, gt=0, description="Rms of a response at its best sensor over a trial, in microvolts."
    )
    density: tuple[float, float] = Field(
        (0.02, 0.2), description="Share of frames in which a planted feature is active."
    )
    latencies: tuple[float, float] = Field((0.08, 0.26), description="Earliest and latest peak, in seconds.")


class SimulatedListeners(Part):
    """Listeners whose brains answer to planted features."""

    kind: Literal["simulated"] = "simulated"
    n_listeners: int = Field(6, ge=2, description="Number of listeners.")
    planting: Planting = Planting()
    decoys: bool = Field(True, description="Mix in as many features again, computed from audio that nobody heard.")


UnitName = Literal["V", "mV", "uV", "nV"]


class ListenerFile(Part):
    """One recording."""

    file: Path = Field(description="The recording, relative to the configuration file (any format that MNE reads).")
    subject: Name = Field(description="Whose recording it is.")
    run: Name | None = Field(None, description="Which of the listener's recordings, where there are several.")
    montage: str | None = Field(
        None, description="MNE's standard montage or a file of positions, where the recording holds none."
    )
    units: UnitName = Field("V", description="What its numbers are, where the format does not say and MNE takes volts.")
    starts_with: Name | None = Field(None, description="The sound that it starts with, where no annotation says.")

    @property
    def label(self) -> str:
        """A name that no other recording of the study has."""
        return f"{self.subject}-{self.run}" if self.run else self.subject


class _RecordedListeners(Part):
    """Listeners who were really there."""

    sound_channel: str | None = Field(
        None, description="A channel that recorded the sound as it was played: onsets and clocks are held against it."
    )


class FileListeners(_RecordedListeners):
    """Recordings on disk; an annotation named after a stimulus marks its onset."""

    kind: Literal["files"]
    recordings: tuple[ListenerFile, ...] = Field(min_length=1, description="One entry per recording.")

    @model_validator(mode="after")
    def _recordings_differ(self) -> FileListeners:
        if twice := _twice(entry.label for entry in self.recordings):
            raise ValueError(f"name the runs of a listener who has several recordings: {twice!r} is there twice")
        return self

    @property
    def subjects(self) -> tuple[str, ...]:
        """The listeners, in order."""
        return tuple(dict.fromkeys(entry.subject for entry in self.recordings))


class _FolderListeners(_RecordedListeners):
    """Recordings that a folder's layout tells apart; whole sounds that a listener did not hear are told."""

    folder: Path = Field(description="The dataset's folder, relative to the configuration file.")
    subjects: tuple[str, ...] = Field(
        (), description="Which listeners: names, numbers or ranges ('1-3'). None: all that are there."
    )
    runs: tuple[str, ...] = Field((), description="Which runs, likewise. None: all that are there.")
    events: dict[str, Name] = Field({}, description="Event's name -> sound's name, where they differ.")


class DatasetListeners(_FolderListeners):
    """A dataset that `brainalign datasets` lists, as `brainalign fetch` laid it out."""

    kind: Literal["dataset"]
    name: str = Field(description="The dataset's name in the list.")


class BidsListeners(_FolderListeners):
    """Any dataset in BIDS; events named after the sounds, or their ``stim_file``, mark the onsets."""

    kind: Literal["bids"]
    task: str = Field("", description="Only recordings of this task. Empty: all.")
    sessions: tuple[str, ...] = Field((), description="Which sessions. None: all that are there.")
    montage: str | None = Field(None, description="MNE's standard montage, where there is no electrodes.tsv.")
    starts_with: str = Field(
        "", description="The sound that every run starts with, where there are no events, e.g. 'audio{run}'."
    )


# A study's pages are in microvolts; the preset "audiosae" ends in pure numbers, and has a recipe of its own.
PresetName = Literal["trf-default", "minimal", "broderick2018"]


class CleaningPart(Part):
    """How the EEG is cleaned."""

    preset: PresetName | None = Field(
        None, description="Named steps in the place of all settings below (docs/recordings.md)."
    )
    line: tuple[float, ...] = Field((50.0,), description="Mains frequencies to notch out, in Hz (none: empty list).")
    low: float = Field(1.0, gt=0, description="Lower edge of the pass band, in Hz.")
    high: float = Field(15.0, gt=0, description="Upper edge of the pass band, in Hz.")
    bad_channels: bool = Field(True, description="Look for bad channels and interpolate them.")
    ocular: bool | None = Field(None, description="Regress the EOG channels out; left out: if there are any.")
    rate: float | None = Field(
        None, gt=0, description="Resample to this rate in the end, in Hz: smaller files. Left out: the recording's own."
    )

    @model_validator(mode="after")
    def _preset_stands_alone(self) -> CleaningPart:
        beside = sorted(self.model_fields_set - {"preset"})
        if self.preset is not None and any(getattr(self, name) != _default(type(self), name) for name in beside):
            raise ValueError(f"give either a preset or settings of your own, and not both ({', '.join(beside)})")
        return self

    @model_validator(mode="after")
    def _band_is_not_empty(self) -> CleaningPart:
        if self.low >= self.high:
            raise ValueError("low must be below high")
        if self.rate is not None and self.rate < 3 * self.high:
            raise ValueError(
                f"a rate of {self.rate:g} Hz would cut into the pass band; give at least {3 * self.high:g}"
            )
        return self


def _default(model: type[BaseModel], name: str) -> object:
    return model.model_fields[name].default


class ModelPart(Part):
    """The lagged ridge models."""

    lags: tuple[float, float] = Field(
        (-0.1, 0.4), description="First and last lag in seconds; positive: stimulus first."
    )
    penalties: tuple[float, ...] = Field(
        (0.01, 0.1, 1.0, 10.0, 100.0), min_length=1, description="Candidates, relative to a feature's variance."
    )
    n_folds: int = Field(4, ge=3, description="Folds over stimuli.")
    trim: float = Field(2.0, ge=0, description="Seconds cut from both ends of a trial (onset responses).")
    min_per_second: float = Field(1.0, ge=0, description="Features active less often are left out.")

    @model_validator(mode="after")
    def _window_is_not_empty(self) -> ModelPart:
        if self.lags[0] > self.lags[1]:
            raise ValueError("lags must end after they begin")
        return self


SchemeName = Literal["auto", "pairing", "circular-shift", "phase", "blocks"]
ControlName = Literal["acoustic", "untrained", "random-sae", "neurons", "matched"]


class TestPart(Part):
    """The permutation test."""

    __test__ = False

    scheme: SchemeName = Field(
        "auto",
        description="What the data is tested against; auto: whole stories paired anew where there are at least "
        "eight, circular shifts within trials otherwise.",
    )
    n_permutations: int = Field(300, ge=19, description="Surrogates besides the data itself.")
    level: float = Field(0.05, gt=0, lt=1, description="Family-wise error level.")
    n_candidates: int = Field(40, ge=1, description="Largest number of found features in the joint model.")
    controls: tuple[ControlName, ...] = Field(
        ("acoustic", "untrained", "random-sae", "neurons", "matched"),
        description="What the best feature is compared with; needs six stories and two listeners.",
    )

    @model_validator(mode="after")
    def _controls_differ(self) -> TestPart:
        if twice := _twice(self.controls):
            raise ValueError(f"name each control once: {twice!r} is named twice")
        return self

    @model_validator(mode="after")
    def _level_can_be_reached(self) -> TestPart:
        least = 1 / (1 + self.n_permutations)
        if self.level < least:
            raise ValueError(
                f"{self.n_permutations} permutations give no p-value below {least:.4f}: none reaches level"
            )
        return self


class StudyConfig(Part):
    """A whole study."""

    name: Name = Field(description="Its name.")
    seed: int = Field(0, ge=0, description="All randomness follows from it.")
    out: Path | None = Field(None, description="Where results go; default runs/NAME.")
    store: Path | None = Field(None, description="Where intermediate results are kept; default OUT/store.")
    stimuli: SyntheticStimuli | FileStimuli = Field(SyntheticStimuli(), discriminator="kind")
    encoder: EncoderPart = EncoderPart()
    baselines: tuple[str, ...] = Field(("envelope", "onsets", "mel"), description="Acoustic features.")
    sae: TrainedSae | LoadedSae = Field(TrainedSae(), discriminator="kind")
    listeners: SimulatedListeners | FileListeners | DatasetListeners | BidsListeners = Field(
        SimulatedListeners(), discriminator="kind"
    )
    cleaning: CleaningPart = CleaningPart()
    model: ModelPart = ModelPart()
    test: TestPart = TestPart()

    @field_validator("baselines")
    @classmethod
    def _baselines_are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from brainalign.audio.baselines import read_name

        for name in names:
            try:
                read_name(name)
            except BrainalignError as problem:
                raise ConfigProblem(problem.what, got=problem.got, fix=problem.fix) from problem
        return names

    @model_validator(mode="after")
    def _every_fold_has_a_stimulus(self) -> StudyConfig:
        n_stimuli = self.stimuli.n_trials if isinstance(self.stimuli, SyntheticStimuli) else len(self.stimuli.files)
        if self.model.n_folds > n_stimuli:
            got = f"model.n_folds is {self.model.n_folds} with {n_stimuli} stimuli"
            raise ValueError(f"{got}; whole stimuli are held out, so give at most {n_stimuli}")
        return self
