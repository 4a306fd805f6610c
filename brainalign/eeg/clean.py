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

from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis, exact
from brainalign.eeg.bad_channels import BadChannels
from brainalign.eeg.channels import Interpolate, OcularRegression, Reference
from brainalign.eeg.filters import BandPass, Butterworth, LineNoise
from brainalign.eeg.guards import require_eeg
from brainalign.eeg.rescale import Resample, RobustScale

__all__ = [
    "STEPS",
    "TRF_DEFAULT",
    "TRF_WITHOUT_EOG",
    "BadChannels",
    "BandPass",
    "Butterworth",
    "CleaningStep",
    "Interpolate",
    "LineNoise",
    "OcularRegression",
    "Reference",
    "Resample",
    "RobustScale",
    "clean",
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
}

# Hum off first, so that it does not decide which channels look alike; bad channels are sought
# before anything mixes channels, and rebuilt before the average is taken. Regression on the
# eyes commutes with the reference and comes last because MNE fits it on referenced data only.
TRF_WITHOUT_EOG: tuple[CleaningStep, ...] = (LineNoise(), BadChannels(), BandPass(), Interpolate(), Reference())
TRF_DEFAULT: tuple[CleaningStep, ...] = (*TRF_WITHOUT_EOG, OcularRegression())


def clean(recording: Recording, steps: Sequence[CleaningStep] = TRF_DEFAULT) -> Recording:
    """Run cleaning steps over a recording, in order.

    Parameters
    ----------
    recording
        The recording; it stays as it was.
    steps
        What to do. Any callable from Raw to Raw will do.

    Returns
    -------
    Recording
        The EEG channels, float32 volts, with onsets and identity kept. Its provenance
        names each step, its parameters and the channels it marked or rebuilt.
    """
    raw = recording.to_mne()
    provenance = recording.provenance
    for step in steps:
        before = list(raw.info["bads"])
        raw = step(raw)
        provenance = _noted(provenance, step, before=before, after=list(raw.info["bads"]))
    return _as_recording(raw.pick(require_eeg(raw)), recording, provenance)


def _noted(provenance: Provenance, step: object, *, before: list[str], after: list[str]) -> Provenance:
    name = getattr(step, "__name__", type(step).__name__)
    parameters: dict[str, Any] = {}
    if is_dataclass(step) and not isinstance(step, type):
        parameters = {field.name: getattr(step, field.name) for field in fields(step)}
    marked = [channel for channel in after if channel not in before]
    rebuilt = [channel for channel in before if channel not in after]
    found = {"marked_bad": marked} if marked else {}
    return provenance.then(name, **parameters, **found, **({"no_longer_bad": rebuilt} if rebuilt else {}))


def _as_recording(raw: mne.io.BaseRaw, before: Recording, provenance: Provenance) -> Recording:
    """Return a cleaned Raw on the clock and with the onsets it had before it became one (MNE rounds both)."""
    read = Recording.from_mne(
        raw, subject=before.subject, session=before.session, run=before.run, provenance=provenance
    )
    same_clock = raw.info["sfreq"] == float(before.axis.rate)
    rate = before.axis.rate if same_clock else exact(float(raw.info["sfreq"]))
    axis = TimeAxis(rate, raw.n_times, before.axis.t0 + Fraction(int(raw.first_samp)) / rate)
    return replace(read, values=read.values.astype(np.float32), axis=axis, onsets=before.onsets)
