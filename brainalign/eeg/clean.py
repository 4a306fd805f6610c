"""How does a raw recording become one that a model can be fitted to? Small steps in a stated order.

Each step is a frozen dataclass whose fields are its parameters, and calling it takes an
MNE Raw to a new one. Any function of a Raw may stand in the list beside ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from typing import Any, Protocol

import mne
import numpy as np

from brainalign.core.errors import unknown_name
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis, exact
from brainalign.eeg.bad_channels import BadChannels, MarkBad
from brainalign.eeg.channels import Interpolate, OcularRegression, Reference
from brainalign.eeg.filters import BandPass, Butterworth, LineNoise, SpectralLine
from brainalign.eeg.guards import pick_names, require_eeg, take_notes
from brainalign.eeg.muscle import MuscleIca, MuscleSegments
from brainalign.eeg.ocular import OcularIca, OcularProjection
from brainalign.eeg.ransac import Ransac
from brainalign.eeg.reference import Laplacian, RestReference
from brainalign.eeg.rescale import Detrend, Resample, RobustScale
from brainalign.eeg.segments import BadSegments

__all__ = [
    "PRESETS",
    "STEPS",
    "TRF_DEFAULT",
    "TRF_WITHOUT_EOG",
    "BadChannels",
    "BadSegments",
    "BandPass",
    "Butterworth",
    "CleaningStep",
    "Detrend",
    "Interpolate",
    "Laplacian",
    "LineNoise",
    "MarkBad",
    "MuscleIca",
    "MuscleSegments",
    "OcularIca",
    "OcularProjection",
    "OcularRegression",
    "Ransac",
    "Reference",
    "Resample",
    "RestReference",
    "RobustScale",
    "SpectralLine",
    "clean",
    "preset",
]


class CleaningStep(Protocol):
    """Something that takes a Raw to a new Raw and leaves the first as it was."""

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a cleaned copy."""
        ...


STEPS: Mapping[str, Callable[..., CleaningStep]] = {
    "line_noise": LineNoise,
    "bad_channels": BadChannels,
    "band_pass": BandPass,
    "butterworth": Butterworth,
    "interpolate": Interpolate,
    "reference": Reference,
    "ocular_regression": OcularRegression,
    "robust_scale": RobustScale,
    "resample": Resample,
    "spectral_line": SpectralLine,
    "mark_bad": MarkBad,
    "ransac": Ransac,
    "rest_reference": RestReference,
    "laplacian": Laplacian,
    "ocular_ica": OcularIca,
    "ocular_projection": OcularProjection,
    "muscle_ica": MuscleIca,
    "muscle_segments": MuscleSegments,
    "bad_segments": BadSegments,
    "detrend": Detrend,
}

# Hum off first, so that it does not decide which channels look alike; bad channels are sought
# before anything mixes channels, and rebuilt before the average is taken. Regression on the
# eyes commutes with the reference and comes last because MNE fits it on referenced data only.
TRF_WITHOUT_EOG: tuple[CleaningStep, ...] = (LineNoise(), BadChannels(), BandPass(), Interpolate(), Reference())
TRF_DEFAULT: tuple[CleaningStep, ...] = (*TRF_WITHOUT_EOG, OcularRegression())

PRESETS: Mapping[str, tuple[CleaningStep, ...]] = {
    "trf-default": TRF_DEFAULT,
    "minimal": (BandPass(low=0.5, high=None), Reference()),
    # 1 to 8 Hz, then zero median and unit inter-quartile range: what is published of AudioSAE's recordings.
    "audiosae": (BadChannels(), BandPass(low=1.0, high=8.0), Interpolate(), Reference(), RobustScale()),
    # The deposit holds 128 Hz and two mastoids; 1 to 8 Hz, channels judged by their deviation and rebuilt by splines
    # are as that group describes its pipeline. FIR, the threshold and the order of the steps are ours.
    "broderick2018": (
        BadChannels(methods=("deviation",), threshold=3.0),
        BandPass(low=1.0, high=8.0),
        Interpolate(),
        Reference("mastoids"),
        Resample(128.0),
    ),
}


def preset(name: str) -> tuple[CleaningStep, ...]:
    """Return the steps of a preset, to be run or to be changed with `dataclasses.replace`.

    Parameters
    ----------
    name
        ``"trf-default"``; ``"minimal"`` (drifts off and average reference); ``"audiosae"`` and ``"broderick2018"``
        (after the papers; docs/recordings.md says what is theirs and what is ours).

    Examples
    --------
    >>> [type(step).__name__ for step in preset("minimal")]
    ['BandPass', 'Reference']
    """
    if name not in PRESETS:
        raise unknown_name(name, among=PRESETS, kind="cleaning preset")
    return PRESETS[name]


def clean(recording: Recording, steps: Sequence[CleaningStep] | str = TRF_DEFAULT) -> Recording:
    """Run cleaning steps over a recording, in order.

    Parameters
    ----------
    recording
        The recording; it stays as it was.
    steps
        What to do. Any callable from Raw to Raw will do; or the name of a preset.

    Returns
    -------
    Recording
        The EEG channels, float32 volts (current source densities in volts per square metre, where a step
        makes them), with onsets and identity kept and bad spans marked. Its provenance
        names each step, its parameters and the channels it marked or rebuilt.
    """
    raw = recording.to_mne()
    provenance = recording.provenance
    for step in preset(steps) if isinstance(steps, str) else steps:
        before = list(raw.info["bads"])
        raw = step(raw)
        found = take_notes(raw)
        provenance = _noted(provenance, step, before=before, after=list(raw.info["bads"]), found=found)
    kept = pick_names(raw, ("csd",)) or require_eeg(raw)
    return _as_recording(raw.pick(kept), recording, provenance)


def _noted(
    provenance: Provenance, step: object, *, before: list[str], after: list[str], found: Mapping[str, Any]
) -> Provenance:
    name = getattr(step, "__name__", type(step).__name__)
    parameters: dict[str, Any] = {}
    if is_dataclass(step) and not isinstance(step, type):
        parameters = {field.name: getattr(step, field.name) for field in fields(step)}
    marked = [channel for channel in after if channel not in before]
    rebuilt = [channel for channel in before if channel not in after]
    told = dict(found) | ({"marked_bad": marked} if marked else {})
    return provenance.then(name, **parameters, **told, **({"no_longer_bad": rebuilt} if rebuilt else {}))


def _as_recording(raw: mne.io.BaseRaw, before: Recording, provenance: Provenance) -> Recording:
    """Return a cleaned Raw on the clock and with the onsets it had before it became one (MNE rounds both)."""
    read = Recording.from_mne(
        raw, subject=before.subject, session=before.session, run=before.run, provenance=provenance
    )
    same_clock = raw.info["sfreq"] == float(before.axis.rate)
    rate = before.axis.rate if same_clock else exact(float(raw.info["sfreq"]))
    axis = TimeAxis(rate, raw.n_times, before.axis.t0 + Fraction(int(raw.first_samp)) / rate)
    return replace(
        read,
        values=read.values.astype(np.float32),
        axis=axis,
        onsets=before.onsets,
        bad_spans=tuple((axis.t0 + start, axis.t0 + stop) for start, stop in read.bad_spans),
    )
