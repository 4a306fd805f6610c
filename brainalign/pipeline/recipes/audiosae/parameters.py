"""Which of the choices behind a result are the paper's, and which had to be made here?

One line per choice of section 4.8 (and appendix J) of AudioSAE: what the paper says of it, and
how it was here. A choice that the paper states and the configuration changes is marked as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from brainalign.pipeline.recipes.audiosae.schema import AudioSaeConfig
from brainalign.pipeline.schema import LoadedSae

STATED = "stated in the paper"
OPEN = "left open by the paper, chosen here"
CHANGED = "stated in the paper, changed here"
PAPERS_MODELS = ("facebook/hubert-base-ls960", "openai/whisper-small")
TOLERANCE_MINUTES = 0.6


@dataclass(frozen=True)
class Facts:
    """What of a finished study its configuration does not say.

    Attributes
    ----------
    n_drawn, n_active, n_features
        Features drawn, active often enough, and in all.
    development, test
        Minutes of sound.
    electrodes
        Names under which the electrode was found.
    """

    n_drawn: int
    n_active: int
    n_features: int
    development: float
    test: float
    electrodes: tuple[str, ...]


Value = Callable[[AudioSaeConfig, Facts], Any]


@dataclass(frozen=True)
class Choice:
    """One choice.

    Attributes
    ----------
    step
        Which of the paper's steps it belongs to.
    name
        The option, or in words what is always so.
    words
        What the paper says of it, if anything.
    value
        What it was here.
    stated
        Whether that is what the paper states; None where the paper leaves it open.
    """

    step: str
    name: str
    words: str
    value: Value
    stated: Value | None = None

    def mark(self, config: AudioSaeConfig, facts: Facts) -> str:
        """Return whose choice it is.

        Parameters
        ----------
        config, facts
            The study.
        """
        if self.stated is None:
            return OPEN
        return STATED if self.stated(config, facts) else CHANGED


def _option(step: str, name: str, words: str, *, paper: Any = None) -> Choice:
    value = attrgetter(name)
    stated = None if paper is None else lambda config, facts: value(config) == paper
    return Choice(step, name, words, lambda config, facts: value(config), stated)


def _always(step: str, name: str, words: str, *, stated: bool) -> Choice:
    return Choice(step, name, words, lambda c, f: "so done", (lambda c, f: True) if stated else None)


def _near(minutes: float, paper: float) -> bool:
    return abs(minutes - paper) <= TOLERANCE_MINUTES


def _share(value: float | None, by: str) -> str:
    return f"all other {by}" if value is None else f"{value:g} {by}"


CHOICES: tuple[Choice, ...] = (
    Choice(
        "data",
        "listeners",
        "19 listeners of Broderick et al. 2018",
        lambda c, f: f"{len(c.subjects)} {'simulated' if c.listeners.kind == 'simulated' else 'recorded'}",
        lambda c, f: len(c.subjects) == 19 and c.listeners.kind != "simulated",
    ),
    Choice(
        "data",
        "stimuli",
        "five excerpts of three minutes; which of the twenty is not said",
        lambda c, f: ", ".join(c.stories),
    ),
    Choice(
        "EEG",
        "eeg.electrode",
        "Pz (in a cap of 128 BioSemi sensors: A19)",
        lambda c, f: ", ".join(f.electrodes),
        lambda c, f: set(f.electrodes) <= {"Pz", "A19"},
    ),
    _option("EEG", "eeg.low", "band-pass from 1 Hz", paper=1.0),
    _option("EEG", "eeg.high", "band-pass to 8 Hz", paper=8.0),
    _option("EEG", "eeg.filter", ""),
    Choice("EEG", "eeg.order", "", lambda c, f: "not used" if c.eeg.filter == "fir" else c.eeg.order),
    _option("EEG", "eeg.line", ""),
    _option("EEG", "eeg.bad_channels", ""),
    _option("EEG", "eeg.reference", ""),
    _always("EEG", "zero median and unit inter-quartile range", "as named", stated=True),
    _always("EEG", "median and quartiles over each recording, whole", "", stated=False),
    _option("EEG", "eeg.rate", "EEG and features resampled to 128 Hz", paper=128),
    _option("EEG", "eeg.resampler", ""),
    Choice(
        "features",
        "encoder.source",
        "HuBERT-base and Whisper-small (in one place called Whisper-base)",
        lambda c, f: c.encoder.source,
        lambda c, f: c.encoder.source in PAPERS_MODELS,
    ),
    _option("features", "encoder.revision", ""),
    _option("features", "encoder.layer", 'the 12th layer, "before normalization"', paper=12),
    _option("features", "encoder.site", '"before normalization": the residual stream', paper="residual"),
    _option("features", "encoder.past_seconds", ""),
    Choice(
        "features",
        "sae",
        "the paper's own autoencoders: 8 features per dimension, k = 50, trained on 2,800 hours",
        lambda c, f: (
            f"loaded from {c.sae.path.name}" if isinstance(c.sae, LoadedSae) else f"trained here, k = {c.sae.k}"
        ),
        lambda c, f: isinstance(c.sae, LoadedSae),
    ),
    _option("features", "features.min_per_second", "active at least once per second on average", paper=1.0),
    _option("features", "features.activity", ""),
    Choice(
        "features",
        "features.n_drawn",
        "1000 of each model, drawn at random",
        lambda c, f: f"{f.n_drawn} of {f.n_active} active ones of {f.n_features}",
        lambda c, f: f.n_drawn == 1000,
    ),
    _option("features", "seed", ""),
    _always("features", "each feature divided by its maximum", "as named", stated=True),
    _always("features", "maximum over all stories, development and test", "", stated=False),
    _option("features", "features.frame_time", ""),
    _option("features", "features.upsampling", ""),
    _always("response functions", "one model per feature, in mTRF's convention", "fitted with mTRFpy", stated=True),
    _option("response functions", "trf.regularization", ""),
    _option("response functions", "trf.tmin", "not said; a figure shows 0 to 500 ms"),
    _option("response functions", "trf.tmax", "not said; a figure shows 0 to 500 ms"),
    _option("response functions", "trf.kind", ""),
    Choice(
        "test",
        "split.development",
        "6 minutes of development data",
        lambda c, f: f"{_share(c.split.development, c.split.by)}, {f.development:.1f} min",
        lambda c, f: _near(f.development, 6),
    ),
    Choice(
        "test",
        "split.test",
        "9 minutes of test data",
        lambda c, f: f"{_share(c.split.test, c.split.by)}, {f.test:.1f} min",
        lambda c, f: _near(f.test, 9),
    ),
    _option("test", "split.by", "which minutes is not said"),
    _always("test", "lags of the smallest and largest weight on development data", "as named", stated=True),
    _option("test", "ttest.lags_from", ""),
    _always(
        "test", "one-sided t-tests on test data: below 0 at the first, above 0 at the second", "as named", stated=True
    ),
    _option("test", "ttest.unit", ""),
    _option("test", "ttest.level", "Holm-Bonferroni at 0.05", paper=0.05),
    _option("test", "ttest.family", ""),
)


def parameters(config: AudioSaeConfig, facts: Facts) -> Iterator[dict[str, str]]:
    """Yield every choice with its value, its mark and the paper's words.

    Parameters
    ----------
    config, facts
        The study.
    """
    for choice in CHOICES:
        yield {
            "step": choice.step,
            "parameter": choice.name,
            "value": _text(choice.value(config, facts)),
            "mark": choice.mark(config, facts),
            "paper": choice.words,
        }


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not given" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
