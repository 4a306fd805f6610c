"""Where do jaw, neck and forehead speak over the brain? Components taken out, or stretches masked.

Muscles are loudest above 20 Hz, at the cap's rim, and in bursts. Both steps ask MNE; both
must see the high frequencies, so they stand before any low-pass and any resampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import mne
import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.eeg.components import learn_components, without_components
from brainalign.eeg.guards import good_samples, note, require_eeg


@dataclass(frozen=True)
class MuscleIca:
    """Take out the independent components that look like muscle, by MNE's ``ICA.find_bads_muscle``.

    A component's score is the product of three: a spectrum that does not fall from 7 to 45 Hz, power far from the
    vertex, and a map that is one rough spot (Dharmaprani et al., 2016). Components are learnt on a high-passed
    copy, outside bad stretches. Bad channels are neither used nor changed: interpolate them afterwards.

    Parameters
    ----------
    n_components
        How many components, or the share of the variance that they must hold.
    threshold
        Smallest score, as MNE counts it: a product of three must exceed its cube.
    most
        Most components that are taken out, the likest first.
    low
        Lower edge of the copy's high-pass in Hz.
    band
        Hz in which the spectrum's slope is measured.
    seed
        Of the components' start.
    """

    n_components: int | float = 0.99
    threshold: float = 0.5
    most: int = 10
    low: float = 1.0
    band: tuple[float, float] = (7.0, 45.0)
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "band", _band(self.band))

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy without these components."""
        good = [name for name in require_eeg(raw) if name not in raw.info["bads"]]
        _require_band(raw, self.band, step="MuscleIca")
        _require_places(raw, good)
        copy = raw.copy().load_data(verbose="error")
        copy.filter(self.low, None, picks=good, verbose="error")
        ica = learn_components(copy, good, n_components=self.n_components, seed=self.seed)
        found, scores = ica.find_bads_muscle(
            copy, threshold=self.threshold, l_freq=self.band[0], h_freq=self.band[1], verbose="error"
        )
        taken = sorted((int(i) for i in found), key=lambda i: -scores[i])[: self.most]
        return without_components(raw, ica, taken, scores=np.asarray(scores)[taken])


@dataclass(frozen=True)
class MuscleSegments:
    """Mark stretches with bursts of muscle, by MNE's ``annotate_muscle_zscore``; nothing is cut.

    The envelope of a high band, as z-scores over time, is added up over the good channels and smoothed.
    The marks, named ``"BAD_muscle"``, become masked frames of every trial that they touch.

    Parameters
    ----------
    threshold
        Of the summed z-score. Loud bursts raise the standard deviation that they are measured in: a recording
        that is full of muscle needs a lower one.
    band
        Hz. The default asks for 280 samples per second and more.
    shortest_good
        Good stretches between two marks that are shorter, in seconds, are marked as well.
    """

    threshold: float = 4.0
    band: tuple[float, float] = (110.0, 140.0)
    shortest_good: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "band", _band(self.band))

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy with the stretches annotated; not a sample is changed."""
        good = [name for name in require_eeg(raw) if name not in raw.info["bads"]]
        _require_band(raw, self.band, step="MuscleSegments")
        loud, _ = mne.preprocessing.annotate_muscle_zscore(
            raw.copy().pick(good).load_data(verbose="error"),
            threshold=self.threshold,
            ch_type="eeg",
            min_length_good=self.shortest_good,
            filter_freq=self.band,
            verbose="error",
        )
        marked = raw.copy()
        marked.set_annotations(raw.annotations + loud)
        note(marked, n_muscle_segments=len(loud), kept_share=round(float(np.mean(good_samples(marked))), 6))
        return marked


def _band(edges: tuple[float, float]) -> tuple[float, float]:
    low, high = (float(edge) for edge in edges)
    if not 0 < low < high:
        raise ValueProblem(
            "a band has two rising frequencies", got=f"{low:g} to {high:g} Hz", fix="give (low, high) in Hz"
        )
    return low, high


def _require_band(raw: mne.io.BaseRaw, band: tuple[float, float], *, step: str) -> None:
    """Refuse a recording that no longer holds the band in which muscles are told from brains."""
    kept = min(raw.info["sfreq"] / 2, raw.info["lowpass"] or np.inf)
    if kept <= band[1]:
        raise ValueProblem(
            f"{step} looks for muscles where this recording holds nothing",
            got=f"{band[0]:g} to {band[1]:g} Hz; {raw.info['sfreq']:g} samples per second, low-passed at {kept:g} Hz",
            fix=f"put {step} before the band-pass and before resampling, or give a lower band=",
        )


def _require_places(raw: mne.io.BaseRaw, names: list[str]) -> None:
    """Refuse sensors without a position: MNE would leave two of its three criteria out."""
    places = np.array([raw.info["chs"][raw.ch_names.index(name)]["loc"][:3] for name in names])
    lost = [name for name, place in zip(names, places, strict=True) if not np.isfinite(place).all() or not place.any()]
    if lost:
        raise ValueProblem(
            "MuscleIca needs sensor positions",
            got=f"{len(lost)} channels without one: {', '.join(lost[:8])}",
            fix="give the recording a montage, e.g. read_eeg(..., montage='biosemi64'), or use MuscleSegments",
        )
