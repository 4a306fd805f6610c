"""What does the name of an acoustic baseline stand for? A spectrum, and what is made of it.

Names are read by rule, ``bank-bands[-compression][-onsets or -edges]``: ``"gammatone-8"``,
``"mel-32-log"``, ``"gammatone-16-onsets"``, ``"gammatone-envelope-edges"``. A few have a name of
their own. Baselines that share a spectrum share its computation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from brainalign.audio.edges import EDGE_DELAY, EDGE_RATE, edge_detector
from brainalign.audio.fine import compress, rises
from brainalign.audio.gammatone import bank_for, in_bands
from brainalign.audio.hilbert import HilbertBand
from brainalign.audio.mel import MelBank
from brainalign.audio.pitch import PitchTracker
from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis

Signal = tuple[np.ndarray, TimeAxis]

ENVELOPE_BANDS = 24
MEL_BANDS = 8

_NAME = re.compile(
    r"(?P<bank>hilbert|gammatone|mel)-(?P<bands>envelope|[1-9]\d{0,3})"
    r"(?:-(?P<compression>log|linear))?(?:-(?P<change>onsets|edges))?"
)


@dataclass(frozen=True)
class Baseline:
    """One or more acoustic features of a sound.

    Parameters
    ----------
    spectrum
        What is computed first; equal spectra are computed once. Called with a sound, it
        returns values ``(n, k)`` and their clock.
    finish
        What is made of it: called with values and clock, it returns values and clock.
    features
        The features' names, one per column of what ``finish`` returns.
    """

    spectrum: Callable[[Stimulus], Signal]
    finish: Callable[[np.ndarray, TimeAxis], Signal]
    features: tuple[str, ...]

    def __call__(self, stimulus: Stimulus) -> Signal:
        """Return the features of a sound on a clock of their own, shape ``(n, n_features)``."""
        return self.finish(*self.spectrum(stimulus))


def read_name(name: str) -> Baseline:
    """Return the baseline of a name: one of `BASELINES`, or one that follows the rule of this module."""
    return BASELINES[name] if name in BASELINES else _by_rule(name)


def _by_rule(name: str) -> Baseline:
    parts = _NAME.fullmatch(name)
    if not parts:
        raise unknown_name(name, among=BASELINES, kind="acoustic baseline")
    _refuse_odd(name, **parts.groupdict())
    bank, bands, compression, change = parts["bank"], parts["bands"], parts["compression"], parts["change"]
    n_bands = 1 if bands == "envelope" else int(bands)
    features = (name,) if bands == "envelope" else tuple(f"{name}-{i + 1}" for i in range(n_bands))
    if change == "edges":
        return Baseline(replace(bank_for(n_bands), rate=EDGE_RATE), _Edges(n_bands), features)
    finish = _Bands(n_bands, compression=compression or "power", power=bank == "mel", onsets=change == "onsets")
    if bank == "hilbert":
        return Baseline(HilbertBand(), finish, features)
    return Baseline(MelBank(n_bands) if bank == "mel" else bank_for(n_bands), finish, features)


def _refuse_odd(name: str, *, bank: str, bands: str, compression: str | None, change: str | None) -> None:
    """Refuse names that follow the rule and mean nothing."""
    fix = None
    if bank == "mel" and bands == "envelope":
        fix = "the envelope of mel bands is simply called 'envelope'"
    elif bank == "hilbert" and (bands != "envelope" or change == "edges"):
        fix = "ask for 'hilbert-envelope', or for 'gammatone-8' and its like"
    elif change == "edges" and (bank != "gammatone" or compression):
        fix = "edges are those of a gammatone bank's logarithm: 'gammatone-8-edges'"
    if fix:
        raise ValueProblem("there is no such acoustic baseline", got=repr(name), fix=fix)


@dataclass(frozen=True)
class _Bands:
    """Compress every filter, average filters into bands, and keep the rises if wanted."""

    n_bands: int
    compression: str = "power"
    power: bool = False
    onsets: bool = False

    def __call__(self, values: np.ndarray, axis: TimeAxis) -> Signal:
        bands = in_bands(compress(values, self.compression, power=self.power), self.n_bands)
        return (rises(bands, axis) if self.onsets else bands), axis


@dataclass(frozen=True)
class _Edges:
    """Detect every filter's edges, average filters into bands, and take back the detector's delay."""

    n_bands: int

    def __call__(self, values: np.ndarray, axis: TimeAxis) -> Signal:
        # As many more hops of the last value as the delay takes away, so that the end stays covered.
        more = ceil(EDGE_DELAY * axis.rate)
        longer = TimeAxis(axis.rate, axis.n + more, axis.t0)
        logarithms = compress(np.pad(values, ((0, more), (0, 0)), mode="edge"), "log")
        return in_bands(edge_detector(logarithms, longer), self.n_bands), longer.moved(-EDGE_DELAY)


@dataclass(frozen=True)
class _Column:
    """Keep one column."""

    index: int

    def __call__(self, values: np.ndarray, axis: TimeAxis) -> Signal:
        return values[:, self.index : self.index + 1], axis


BASELINES: dict[str, Baseline] = {
    "envelope": Baseline(MelBank(ENVELOPE_BANDS), _Bands(1, power=True), ("envelope",)),
    "onsets": Baseline(MelBank(ENVELOPE_BANDS), _Bands(1, power=True, onsets=True), ("onset",)),
    "mel": Baseline(MelBank(MEL_BANDS), _Bands(MEL_BANDS, power=True), tuple(f"mel-{i + 1}" for i in range(MEL_BANDS))),
    "pitch": Baseline(PitchTracker(), _Column(0), ("pitch",)),
    "voicing": Baseline(PitchTracker(), _Column(1), ("voicing",)),
    **{
        name: _by_rule(name)
        for name in (
            "hilbert-envelope",
            "gammatone-envelope",
            "gammatone-envelope-edges",
            "gammatone-8",
            "gammatone-8-onsets",
            "gammatone-8-edges",
            "gammatone-16",
            "gammatone-32",
            "mel-32",
        )
    },
}
"""The baselines with names of their own, and the commonest of those that follow the rule."""
