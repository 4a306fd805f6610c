"""From a sound and a recording to maps, in a handful of functions.

Each of them is a door to one room; what a room can do beyond its door is imported from
the room itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainalign import mapping
from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import Number, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.maps import Maps

if TYPE_CHECKING:
    from brainalign.encoders.hugging import HuggingEncoder
    from brainalign.sae.coder import SparseCoder

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


def read_eeg(
    path: str | Path, *, subject: str = "", run: str = "", montage: str | Path | None = None, units: str = "V"
) -> Recording:
    """Read a recording in any format that MNE reads.

    Parameters
    ----------
    path
        The file.
    subject, run
        Whose recording it is, and which.
    montage
        One of MNE's standard montages or a file of positions, where the file holds no sensor positions
        (BDF and EDF never do).
    units
        What its numbers are when MNE takes them for volts and they are not: ``"uV"``, ``"mV"``, ``"nV"``.
    """
    from brainalign.eeg.read import read_eeg as read

    return read(path, subject=subject, run=run, montage=montage, units=units)


def clean(
    recording: Recording,
    *,
    low: float = 1.0,
    high: float = 15.0,
    line: Sequence[float] = (50.0,),
    bad_channels: bool = True,
    ocular: bool | None = None,
    rate: float | None = None,
    preset: str | None = None,
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
    rate
        Samples per second to resample to in the end, for smaller files; left out, the recording's own are kept.
    preset
        Named steps (`brainalign.eeg.clean.PRESETS`) in the place of all of the above but `ocular`.
    """
    from brainalign.eeg.clean import (
        BadChannels,
        BandPass,
        Interpolate,
        LineNoise,
        OcularRegression,
        Reference,
        Resample,
    )
    from brainalign.eeg.clean import clean as run
    from brainalign.eeg.clean import preset as steps_of

    with_eyes = "eog" in recording.kinds if ocular is None else ocular
    if preset is not None:
        own = {"low": low, "high": high, "line": tuple(line), "bad_channels": bad_channels, "rate": rate}
        _require_usual(own, preset=preset)
        return run(
            recording, [step for step in steps_of(preset) if with_eyes or not isinstance(step, OcularRegression)]
        )
    steps = [
        LineNoise(frequencies=tuple(line)) if line else None,
        BadChannels() if bad_channels else None,
        BandPass(low=low, high=high),
        Interpolate(),
        Reference("average"),
        OcularRegression() if with_eyes else None,
        Resample(rate) if rate is not None else None,
    ]
    return run(recording, [step for step in steps if step is not None])


def _require_usual(given: Mapping[str, Any], *, preset: str) -> None:
    """Refuse settings that a preset would pass over."""
    usual = {"low": 1.0, "high": 15.0, "line": (50.0,), "bad_channels": True, "rate": None}
    told = [f"{name}={value!r}" for name, value in given.items() if value != usual[name]]
    if told:
        raise ValueProblem(
            "a preset stands in the place of settings of your own",
            got=f"preset={preset!r} and {', '.join(told)}",
            fix="give one or the other, or change the preset's steps with brainalign.eeg.clean.preset",
        )


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
