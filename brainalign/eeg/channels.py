"""Which channels can be trusted, and against what are they measured? Rebuild, re-reference, regress."""

from __future__ import annotations

from dataclasses import dataclass

import mne
import numpy as np

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.eeg.guards import pick_names, require_eeg

# The first pair that a recording has; P9 and P10 are what BioSemi's 64-channel cap has nearest to them.
MASTOIDS = (("M1", "M2"), ("LM", "RM"), ("A1", "A2"), ("TP9", "TP10"), ("P9", "P10"))
# BioSemi's caps of 128 and more count from A1, which is the vertex: there, A1 and A2 are no earlobes.
EARLOBES, COUNTED = ("A1", "A2"), "A3"


@dataclass(frozen=True)
class Interpolate:
    """Rebuild bad EEG channels from the good ones with spherical splines; none is bad afterwards.

    Parameters
    ----------
    max_share
        Largest share of bad channels that can be rebuilt with a good conscience.
    """

    max_share: float = 0.25

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy whose bad EEG channels are interpolated."""
        names = require_eeg(raw)
        bads = [name for name in raw.info["bads"] if name in names]
        if not bads:
            return raw.copy()
        if len(bads) > self.max_share * len(names):
            raise ValueProblem(
                "too many channels are bad to rebuild them from the others",
                got=f"{len(bads)} of {len(names)}: {', '.join(bads[:12])}",
                fix="leave this recording out, look at it, or raise max_share",
            )
        places = np.array([raw.info["chs"][raw.ch_names.index(name)]["loc"][:3] for name in names])
        lost = [
            name for name, place in zip(names, places, strict=True) if not np.isfinite(place).all() or not place.any()
        ]
        if lost:
            raise ValueProblem(
                "interpolation needs sensor positions",
                got=f"{len(lost)} channels without one: {', '.join(lost[:8])}",
                fix="give the recording a montage with raw.set_montage before reading it here",
            )
        kept = [name for name in raw.info["bads"] if name not in bads]
        rebuilt = raw.copy()
        rebuilt.info["bads"] = bads
        rebuilt.interpolate_bads(reset_bads=True, verbose="error")
        rebuilt.info["bads"] = kept
        return rebuilt


@dataclass(frozen=True)
class OcularRegression:
    """Subtract from each EEG channel what the EOG channels predict of it (least squares).

    Filter first and reference first: the regression holds for the band and the reference it was
    fitted in. Brain activity that the EOG channels pick up is subtracted with the blinks.
    """

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy without the eyes' part."""
        require_eeg(raw)
        if not pick_names(raw, ("eog",)):
            raise ValueProblem(
                "ocular regression needs an EOG channel",
                got=f"kinds {sorted(set(raw.get_channel_types()))}",
                fix="set the type of one with raw.set_channel_types({'VEOG': 'eog'}), or use TRF_WITHOUT_EOG",
            )
        with mne.use_log_level("error"):
            model = mne.preprocessing.EOGRegression(picks="eeg", picks_artifact="eog").fit(raw)
            return model.apply(raw.copy(), copy=False)


@dataclass(frozen=True)
class Reference:
    """Refer the EEG channels to the average of the good ones, or to named channels.

    Parameters
    ----------
    to
        ``"average"`` (after `Interpolate`: a bad channel must neither count nor be missing),
        ``"mastoids"`` (the mean of the pair that the cap has behind the ears, see `MASTOIDS`), or
        channel names, e.g. ``("P9", "P10")``.
    """

    to: str | tuple[str, ...] = "average"

    def __post_init__(self) -> None:
        object.__setattr__(self, "to", self.to if isinstance(self.to, str) else tuple(self.to))

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a re-referenced copy."""
        names = require_eeg(raw)
        if self.to == "mastoids":
            return raw.copy().set_eeg_reference(list(_mastoids(names)), projection=False, verbose="error")
        chosen = [self.to] if isinstance(self.to, str) and self.to != "average" else self.to
        missing = [] if chosen == "average" else sorted(set(chosen) - set(names))
        if missing:
            raise UnknownName(
                "a reference channel is not an EEG channel", got=missing, fix=f"use 'average' or {names[:6]}..."
            )
        reference = "average" if chosen == "average" else list(chosen)
        return raw.copy().set_eeg_reference(reference, projection=False, verbose="error")


def _mastoids(names: list[str]) -> tuple[str, str]:
    for pair in MASTOIDS:
        if set(pair) <= set(names) and not (pair == EARLOBES and COUNTED in names):
            return pair
    raise UnknownName(
        "the recording has no pair of mastoid channels",
        got=f"{', '.join(names[:6])}, ...",
        fix=f"name the reference channels, or use 'average'; known pairs: {', '.join('/'.join(p) for p in MASTOIDS)}",
    )
