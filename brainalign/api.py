"""From a sound and a recording to maps, in a handful of functions.

Each of them is a door to one room; what a room can do beyond its door is imported from
the room itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainalign import mapping
from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.result import EncodingResult, NullTest
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import Number, TimeAxis
from brainalign.core.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from brainalign.encoders.hugging import HuggingEncoder
    from brainalign.sae.coder import SparseCoder

MICROVOLT = 1e-6
N_FOLDS = 5


def read_audio(path: str | Path, *, name: str | None = None, rate: Number | None = None) -> Stimulus:
    """Read a sound file (mono, float32), optionally resampled to ``rate`` Hz."""
    from brainalign.audio.read import read_audio as read

    return read(path, name=name, rate=rate)


def load_encoder(
    source: str | Path, *, revision: str | None = None, device: str = "cpu", past_seconds: float | None = None
) -> HuggingEncoder:
    """Load an audio model once, to encode many sounds with it (see docs/encoders.md).

    Parameters
    ----------
    source
        A hub id such as ``"facebook/hubert-base-ls960"``, or a local folder.
    revision
        Branch, tag or commit of a hub model.
    device
        ``"cpu"``, ``"cuda"``, ...
    past_seconds
        Let every frame hear only so much of its past; left out, the sound on both sides.
    """
    from brainalign.encoders.causal import Causal
    from brainalign.encoders.hugging import load_encoder as load

    windowing = None if past_seconds is None else Causal(past_seconds)
    return load(source, revision=revision, device=device, windowing=windowing)


def encode(stimulus: Stimulus, source: Any, *, layer: int, site: str = "residual") -> Trajectory:
    """Run a sound through an audio model and keep one layer.

    Parameters
    ----------
    stimulus
        The sound; it is resampled to the model's rate.
    source
        A hub id such as ``"facebook/hubert-base-ls960"``, a local folder, or a loaded encoder (see `load_encoder`).
    layer
        Hidden state: 0 is the convolutional front end's output, k the output of block k.
    site
        Where in the block: ``"residual"``, ``"mlp"``, ``"attention"``, ``"heads"``, ``"front"``, ``"final"``.
    """
    from brainalign.audio.read import resample_audio

    encoder = load_encoder(source) if isinstance(source, (str, Path)) else source
    return encoder.encode(resample_audio(stimulus, encoder.sample_rate), [layer], site=site)[layer]


def acoustic(
    stimulus: Stimulus, names: Sequence[str] = ("gammatone-8",), *, axis: TimeAxis | None = None
) -> Trajectory:
    """Describe a sound by what the ear hears of it: envelopes, spectra, onsets, pitch (see docs/acoustics.md).

    Parameters
    ----------
    stimulus
        The sound.
    names
        Such as ``"envelope"``, ``"gammatone-8"``, ``"gammatone-8-edges"``, ``"mel-32"``, ``"pitch"``.
    axis
        The clock to be sampled on, a model's frames for example (``trajectory.axis``); 100 Hz from 0 on if left out.
    """
    from brainalign.audio.acoustic import acoustic as describe

    if axis is None:
        axis = TimeAxis(100, int(stimulus.axis.duration * 100), stimulus.axis.t0)
    return describe(stimulus, names, axis=axis)


def load_sae(path: str | Path, *, layer: int | None = None, revision: str | None = None) -> SparseCoder:
    """Read a sparse autoencoder from a folder or the hub (`brainalign.sae.checkpoint.load_sae`); use its ``apply``."""
    from brainalign.sae.checkpoint import load_sae as load

    return load(path, layer=layer, revision=revision)


def read_eeg(path: str | Path, *, subject: str = "", montage: str | None = None) -> Recording:
    """Read a recording in any format that MNE reads.

    Parameters
    ----------
    path
        The file.
    subject
        Whose recording it is.
    montage
        One of MNE's standard montages, where the file holds no sensor positions (BDF and EDF never do).
    """
    from brainalign.eeg.read import read_eeg as read

    return read(path, subject=subject, montage=montage)


def clean(
    recording: Recording,
    *,
    low: float = 1.0,
    high: float = 15.0,
    line: Sequence[float] = (50.0,),
    bad_channels: bool = True,
    ocular: bool | None = None,
) -> Recording:
    """Clean a recording with MNE, in the order that a response function needs.

    Mains hum is notched out, bad channels are found and interpolated, the band is kept
    (zero-phase FIR), the average reference taken and the EOG channels regressed out.

    Parameters
    ----------
    recording
        The raw recording; it stays as it was.
    low, high
        Pass band in Hz.
    line
        Mains frequencies in Hz; empty for none.
    bad_channels
        Whether to look for bad channels; those already marked are interpolated in any case.
    ocular
        Whether to regress EOG channels out; left out, it is done if there are any.
    """
    from brainalign.eeg.clean import BadChannels, BandPass, Interpolate, LineNoise, OcularRegression, Reference
    from brainalign.eeg.clean import clean as run

    with_eyes = "eog" in recording.kinds if ocular is None else ocular
    steps = [
        LineNoise(frequencies=tuple(line)) if line else None,
        BadChannels() if bad_channels else None,
        BandPass(low=low, high=high),
        Interpolate(),
        Reference("average"),
        OcularRegression() if with_eyes else None,
    ]
    return run(recording, [step for step in steps if step is not None])


def align(
    features: Trajectory | Mapping[str, Trajectory],
    recording: Recording,
    *,
    lags: tuple[Number, Number] = (-0.1, 0.5),
    onset: Number | Mapping[str, Number] | None = None,
    trim: Number = 0.0,
) -> Design:
    """Put features beside the response that followed them, on the features' exact clock.

    Parameters
    ----------
    features
        One stimulus' features, or stimulus name -> features.
    recording
        The clean recording; annotations named after the stimuli mark their onsets.
    lags
        First and last lag in seconds; positive means that the stimulus came first.
    onset
        Onset in seconds of the recording (or name -> onset) where no annotation tells it.
    trim
        Seconds to cut from both ends of each trial.
    """
    from brainalign.align.build import align as build

    return build(features, recording, lags=lags, onset=onset, trim=trim)


def align_many(
    features: Mapping[str, Trajectory],
    recordings: Sequence[Recording],
    *,
    lags: tuple[Number, Number] = (-0.1, 0.5),
    heard: Callable[[Recording], Mapping[str, Number]] | None = None,
    trim: Number = 0.0,
) -> list[Design]:
    """Put features beside the recordings of many listeners and runs: one design per listener.

    Parameters
    ----------
    features
        Stimulus name -> features, of all stimuli. (For several layers: a call for each.)
    recordings
        Clean recordings in any order, each with its subject and run.
    lags, trim
        As `align` takes them.
    heard
        Returns, for a recording, stimulus name -> onset in seconds, where annotations do not tell; for runs
        that begin with their sound, ``lambda recording: {f"audio{recording.run}": 0}``.
    """
    from brainalign.align.many import align_many as build

    return build(features, recordings, lags=lags, trim=trim, heard=heard)


def feature_maps(
    designs: Design | Sequence[Design],
    *,
    n_permutations: int = 0,
    seed: int = 0,
    scheme: str = mapping.AUTO,
    penalties: Sequence[float] | None = None,
    n_folds: int = N_FOLDS,
) -> Maps:
    """Fit one lagged ridge model per feature to every channel, and test it.

    Parameters
    ----------
    designs
        One listener's design, or one per listener.
    n_permutations
        Surrogates besides the data; 0 for no test.
    seed
        Of the surrogates.
    scheme
        What the data is tested against. ``"auto"``: whole stories paired anew where there are at
        least eight, circular shifts within trials otherwise. Or one by name: ``"pairing"``,
        ``"circular-shift"``, ``"phase"``, ``"blocks"``. Data that cannot bear it are refused; what
        casts doubt stands in the test's ``notes``.
    penalties
        Candidates, relative to a feature's own variance; chosen inside the training trials.
    n_folds
        Folds over stimuli.

    Returns
    -------
    Maps
        Scores, response functions and, if asked for, p-values per feature and channel.
    """
    from brainalign.encoding.massunivariate import PENALTIES
    from brainalign.encoding.massunivariate import feature_maps as fit

    listeners = (designs,) if isinstance(designs, Design) else tuple(designs)
    mapping.require_alike(listeners)
    grid = PENALTIES if penalties is None else tuple(penalties)
    results = tuple(fit(design, penalties=grid, n_folds=n_folds) for design in listeners)
    if not n_permutations:
        return Maps(results, None)
    key, reason = mapping.choose_null(listeners, scheme=scheme)
    surrogates = mapping.draw_group(listeners, scheme=key, n_permutations=n_permutations, seed=seed)
    summary = mapping.null_summary(listeners, surrogates, penalties=grid, n_folds=n_folds)
    return Maps(results, mapping.null_test(listeners[0], [summary], surrogates=surrogates, seed=seed, reason=reason))


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of features over channels, of one listener or a group.

    Attributes
    ----------
    listeners
        Each listener's scores and response functions.
    test
        The permutation test of the group, or None.
    """

    listeners: tuple[EncodingResult, ...]
    test: NullTest | None

    @property
    def features(self) -> tuple[str, ...]:
        """Feature names."""
        return self.listeners[0].features

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names."""
        return self.listeners[0].channels

    @property
    def r(self) -> np.ndarray:
        """Held-out Pearson r: folds' mean, listeners' Fisher mean, shape ``(n_features, n_channels)``."""
        return mapping.group_score(self.listeners)

    @property
    def trf(self) -> np.ndarray:
        """Response functions averaged over listeners, volts per unit, ``(n_features, n_lags, n_channels)``."""
        return np.mean([item.coef for item in self.listeners], axis=0)

    @property
    def p(self) -> np.ndarray:
        """Uncorrected p-values, shape ``(n_features, n_channels)``."""
        return self._tested.p

    @property
    def p_corrected(self) -> np.ndarray:
        """p-values corrected over all features and channels, shape ``(n_features, n_channels)``."""
        return self._tested.p_corrected

    @property
    def q(self) -> np.ndarray:
        """False-discovery rate at which each pair would be found, ``(n_features, n_channels)``; see `NullTest`."""
        return np.asarray(self._tested.q)

    @property
    def _tested(self) -> NullTest:
        if self.test is None:
            raise ValueProblem("these maps were not tested", got="n_permutations=0", fix="give n_permutations=1000")
        return self.test

    def strongest(self, top: int) -> list[int]:
        """Return the rows of the features with the largest score at any channel, strongest first."""
        order = np.argsort(-self.r.max(axis=1), kind="stable")
        return [int(row) for row in order[:top]]

    def plot_topomap(self, *, top: int = 8) -> Figure:
        """Draw the strongest features' scores over the scalp; white dots are significant at 0.05, corrected."""
        from brainalign.plots.topomap import score_topomaps

        rows = self.strongest(top)
        return score_topomaps(
            self.r[rows],
            titles=[self.features[row] for row in rows],
            channels=self.channels,
            positions=self.listeners[0].positions,
            significant=None if self.test is None else self.test.p_corrected[rows] <= 0.05,
        )

    def plot_trf(self, *, top: int = 8) -> Figure:
        """Draw the strongest features' response functions, the best channel thick."""
        from brainalign.plots.trf import trf_grid

        rows = self.strongest(top)
        return trf_grid(
            self.trf[rows] / MICROVOLT,
            self.listeners[0].lags.seconds,
            titles=[self.features[row] for row in rows],
            highlights=[int(self.r[row].argmax()) for row in rows],
            unit="µV per unit of the feature",
        )

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one row per feature: its best channel, r there, and the p-values if tested."""
        rows = []
        for f, name in enumerate(self.features):
            best = int(self.r[f].argmax())
            row = {"feature": name, "channel": self.channels[best], "r": float(self.r[f, best])}
            if self.test is not None:
                row |= {"p": float(self.test.p[f].min()), "p_corrected": float(self.test.p_corrected[f].min())}
                row |= {"q": float(self.q[f].min())}
            rows.append(row)
        return rows

    def to_html(self, path: str | Path, *, top: int = 8) -> Path:
        """Write a self-contained report page."""
        from brainalign.report.page import Column, Page, Picture, Section, Table, Text, write_page

        ranked = self.to_rows()
        rows = tuple(ranked[row] for row in self.strongest(4 * top))
        columns = [
            Column("feature", "Feature"),
            Column("channel", "Best channel"),
            Column("r", "Held-out r", kind="number"),
        ]
        notes = "Not tested."
        if self.test is not None:
            n = self.test.n_permutations
            columns.append(Column("p_corrected", "Smallest corrected p", kind="p", n_permutations=n))
            columns.append(Column("q", "Smallest q", kind="p"))
            notes = f"Null: {self.test.scheme}, {n} permutations. {self.test.assumption} {' '.join(self.test.notes)}"
            notes += f"\n\n{self.test.correction}"
            notes += f"\n\nq: Benjamini-Hochberg false-discovery rate over all pairs. {self.test.tail_note}"
        sections = (
            Section("Where", (Picture(self.plot_topomap(top=top), "Scalp maps of held-out correlation."),)),
            Section("When", (Picture(self.plot_trf(top=top), "Temporal response functions."),)),
            Section("Which", (Text(notes), Table(rows, tuple(columns)))),
        )
        subtitle = f"{len(self.listeners)} listeners, {len(self.features)} features, {len(self.channels)} channels."
        return write_page(Page("Feature maps", subtitle, sections), Path(path))
