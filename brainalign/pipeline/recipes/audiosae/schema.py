"""Which choices does the AudioSAE recipe have? What the paper states is the default; what it leaves open has a name.

Every option that the paper's section 4.8 speaks of, or should have, stands in the result with
a mark (`brainalign.pipeline.recipes.audiosae.parameters`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from brainalign.pipeline.schema import (
    EncoderPart,
    FileListeners,
    FileStimuli,
    LoadedSae,
    ModelPart,
    Name,
    Part,
    Planting,
    SchemeName,
    SyntheticStimuli,
    TrainedSae,
)

RECIPE = "audiosae-eeg"
FilterName = Literal["fir", "butterworth", "butterworth-forward"]


class PlantedListeners(Part):
    """Simulated listeners, whose brains answer to a few of the features drawn."""

    kind: Literal["simulated"] = "simulated"
    n_listeners: int = Field(6, ge=3, description="Number of listeners.")
    planting: Planting = Planting()


class RunListeners(Part):
    """Recordings on disk, one file per listener and story, as BIDS has them (ds004408 among them)."""

    kind: Literal["runs"]
    subjects: tuple[Name, ...] = Field(min_length=3, description="The listeners' names.")
    file: str = Field(description="A file's path, with {subject} and {run} in it, relative to the configuration file.")
    runs: dict[Name, str] = Field(description="Each story's run: what stands for {run} in its files.")
    onset: float = Field(0.0, ge=0, description="When the sound begins in every file, in seconds.")
    montage: str | None = Field(None, description="MNE's standard montage, where files hold no sensor positions.")

    @model_validator(mode="after")
    def _file_is_a_pattern(self) -> RunListeners:
        missing = [place for place in ("{subject}", "{run}") if place not in self.file]
        if missing:
            raise ValueError(f"file must contain {' and '.join(missing)}, or all listeners have one recording")
        if len(set(self.subjects)) < len(self.subjects):
            raise ValueError("name each listener once")
        return self


class EegPart(Part):
    """How the EEG is prepared."""

    electrode: tuple[str, ...] = Field(
        ("Pz", "A19"), min_length=1, description="The electrode: the first of these names that a recording has."
    )
    line: tuple[float, ...] = Field((50.0,), description="Mains frequencies to notch out, in Hz (none: empty list).")
    bad_channels: bool = Field(True, description="Look for bad channels; bad ones are interpolated in any case.")
    low: float = Field(1.0, gt=0, description="Lower edge of the pass band, in Hz.")
    high: float = Field(8.0, gt=0, description="Upper edge of the pass band, in Hz.")
    filter: FilterName = Field(
        "fir", description="Zero-phase FIR, zero-phase Butterworth, or causal Butterworth (run forward only)."
    )
    order: int = Field(3, ge=1, le=10, description="Order of the Butterworth filter; of no account for the FIR.")
    reference: Literal["average", "none"] | tuple[str, ...] = Field(
        "average", description="The average, 'none' (as recorded), or a list of channels."
    )
    rate: int = Field(128, gt=16, description="Rate to which EEG and features are brought, in Hz.")
    resampler: Literal["sinc", "fft", "polyphase"] = Field(
        "sinc", description="Band-limited interpolation at the exact times, or MNE's resampling of the whole first."
    )

    @model_validator(mode="after")
    def _band_is_not_empty(self) -> EegPart:
        if not self.low < self.high < self.rate / 2:
            raise ValueError("low must be below high, and high below half the rate")
        return self


class FeaturesPart(Part):
    """Which features are tested, and how they come to the EEG's rate."""

    n_drawn: int = Field(1000, ge=1, description="Number of features drawn at random among the active ones.")
    min_per_second: float = Field(1.0, ge=0, description="Features active less often are not drawn.")
    activity: Literal["frames", "onsets"] = Field(
        "frames", description="What counts as being active: every active frame, or the beginning of a run of them."
    )
    frame_time: Literal["centre", "start"] = Field(
        "centre", description="A frame's time: the centre of what the model sees there, or number / rate."
    )
    upsampling: Literal["hold", "sinc", "polyphase"] = Field(
        "hold", description="What a code is worth between its frames: the nearest frame's value, or interpolated."
    )


class TrfPart(Part):
    """The response functions, in mTRF's convention."""

    tmin: float = Field(0.0, description="First lag in seconds; positive: the sound came first.")
    tmax: float = Field(0.5, description="Last lag in seconds.")
    regularization: float = Field(1.0, gt=0, description="mTRF's lambda.")
    kind: Literal["multi", "single"] = Field("multi", description="One model of all lags, or one model per lag.")

    @model_validator(mode="after")
    def _window_is_not_empty(self) -> TrfPart:
        if self.tmin > self.tmax:
            raise ValueError("tmin must not be above tmax")
        return self


class SplitPart(Part):
    """Which data choose the lags, and which are tested."""

    by: Literal["stories", "minutes"] = Field("stories", description="What is counted: whole stories, or minutes.")
    development: float = Field(2, gt=0, description="How many, from the beginning, choose the lags.")
    test: float | None = Field(
        None, gt=0, description="How many of the following are tested; left out: all that follow."
    )

    @model_validator(mode="after")
    def _stories_are_whole(self) -> SplitPart:
        given = [value for value in (self.development, self.test) if value is not None]
        if self.by == "stories" and any(value != int(value) for value in given):
            raise ValueError("stories are counted whole: give whole numbers, or by: minutes")
        return self


class TTestPart(Part):
    """The paper's test."""

    lags_from: Literal["group", "subject"] = Field(
        "group", description="Whose development data choose a feature's lags: the listeners' mean, or each one's own."
    )
    unit: Literal["subject", "story"] = Field(
        "subject", description="One observation: a listener, or a listener and test story."
    )
    family: Literal["all tests", "each direction"] = Field(
        "all tests", description="What Holm's procedure corrects for: both tests of every feature, or one of them."
    )
    level: float = Field(0.05, gt=0, lt=1, description="Family-wise error level.")


class OwnPart(Part):
    """The package's own test of the same features, electrode, lags and data."""

    penalties: tuple[float, ...] = Field(
        (0.01, 0.1, 1.0, 10.0, 100.0), min_length=1, description="Candidates, relative to a feature's variance."
    )
    n_folds: int = Field(5, ge=3, description="Folds over stories.")
    scheme: SchemeName = Field("auto", description="What the data is tested against, as a study's test.scheme.")
    n_permutations: int = Field(1000, ge=19, description="Surrogates besides the data itself.")
    level: float = Field(0.05, gt=0, lt=1, description="Family-wise error level.")


class AudioSaeConfig(Part):
    """The whole recipe."""

    recipe: Literal["audiosae-eeg"] = Field(description="Names the recipe.")
    name: Name = Field(description="The study's name.")
    seed: int = Field(0, ge=0, description="All randomness follows from it, the draw of the features included.")
    out: Path | None = Field(None, description="Where results go; default runs/NAME.")
    store: Path | None = Field(None, description="Where intermediate results are kept; default OUT/store.")
    stimuli: SyntheticStimuli | FileStimuli = Field(SyntheticStimuli(n_trials=5), discriminator="kind")
    encoder: EncoderPart = EncoderPart()
    sae: TrainedSae | LoadedSae = Field(TrainedSae(), discriminator="kind")
    listeners: PlantedListeners | FileListeners | RunListeners = Field(PlantedListeners(), discriminator="kind")
    eeg: EegPart = EegPart()
    features: FeaturesPart = FeaturesPart()
    trf: TrfPart = TrfPart()
    split: SplitPart = SplitPart()
    ttest: TTestPart = TTestPart()
    own: OwnPart = OwnPart()

    @property
    def model(self) -> ModelPart:
        """The lagged models of the package's own test, as the usual study's configuration has them."""
        lags = (self.trf.tmin, self.trf.tmax)
        return ModelPart(lags=lags, penalties=self.own.penalties, n_folds=self.own.n_folds, trim=0.0)

    @property
    def stories(self) -> tuple[str, ...]:
        """Names of the stories, in order."""
        part = self.stimuli
        if isinstance(part, SyntheticStimuli):
            return tuple(f"story-{i + 1:02d}" for i in range(part.n_trials))
        return tuple(path.stem for path in part.files)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names of the listeners, in order."""
        part = self.listeners
        if isinstance(part, PlantedListeners):
            return tuple(f"{i + 1:02d}" for i in range(part.n_listeners))
        return part.subjects if isinstance(part, RunListeners) else tuple(one.subject for one in part.recordings)

    @model_validator(mode="after")
    def _data_suffice(self) -> AudioSaeConfig:
        n, split = len(self.stories), self.split
        if self.own.n_folds > n:
            raise ValueError(f"own.n_folds is {self.own.n_folds} with {n} stories; give at most {n}")
        if split.by == "stories" and split.development + (split.test or 1) > n:
            raise ValueError(f"split needs more than the {n} stories there are")
        if len(self.subjects) < 3:
            raise ValueError("a t-test over listeners needs at least three of them")
        if isinstance(self.listeners, RunListeners) and (without := set(self.stories) - set(self.listeners.runs)):
            raise ValueError(f"listeners.runs has no run for {', '.join(sorted(without))}")
        return self
