"""What would the sound's own acoustics explain? Envelopes, onsets, bands and pitch on a model's clock.

Every baseline is computed on a fine clock of exact hops (about 400 Hz, windows centred on
their time stamps), and then band-limited and sampled at the exact times that are asked for.
A feature that beats these does so on the same grid, with the same bandwidth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from brainalign.audio.baselines import BASELINES, Baseline, read_name
from brainalign.audio.fine import fine_axis
from brainalign.core.errors import GridMismatch, ValueProblem
from brainalign.core.resample import resample
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory


def acoustic(stimulus: Stimulus, names: Sequence[str], *, axis: TimeAxis) -> Trajectory:
    """Compute acoustic baselines at a model's frame times.

    Parameters
    ----------
    stimulus
        The sound.
    names
        Which baselines: ``"envelope"``, ``"onsets"``, ``"mel"``, ``"gammatone-8"``, ``"gammatone-8-edges"``,
        ``"pitch"`` and whatever else is in `BASELINES` or follows its rule.
    axis
        The clock to sample at, e.g. ``trajectory.axis`` (frame centres); it must lie within
        the sound.

    Returns
    -------
    Trajectory
        Dense, with features such as ``"envelope"``, ``"onset"``, ``"mel-1"`` to ``"mel-8"`` (lowest
        band first), in the order of ``names``. Values are low-passed for ``axis``, so they
        may dip a little below zero beside a steep edge.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names:
        raise ValueProblem("no baseline was named", got="()", fix=f"name some of: {', '.join(sorted(BASELINES))}")
    baselines = [read_name(name) for name in names]
    features = tuple(feature for baseline in baselines for feature in baseline.features)
    twice, count = Counter(features).most_common(1)[0]
    if count > 1:
        raise ValueProblem("feature names must differ", got=f"{twice!r} twice", fix="name every baseline once")
    fine = fine_axis(stimulus)
    if axis.rate > fine.rate:
        raise GridMismatch(
            "the wanted axis is finer than the baselines are computed",
            got=f"{float(axis.rate):g} Hz",
            fix=f"ask for {float(fine.rate):g} Hz or less",
        )
    values = _resampled(_signals(stimulus, baselines), axis)
    return Trajectory(values.astype(np.float32), axis, features, stimulus.provenance.then("acoustic", names=names))


def _signals(stimulus: Stimulus, baselines: Sequence[Baseline]) -> list[tuple[np.ndarray, TimeAxis]]:
    """Return every baseline on a clock of its own; a spectrum that several share is computed once."""
    spectra = {spectrum: spectrum(stimulus) for spectrum in dict.fromkeys(baseline.spectrum for baseline in baselines)}
    return [baseline.finish(*spectra[baseline.spectrum]) for baseline in baselines]


def _resampled(signals: Sequence[tuple[np.ndarray, TimeAxis]], axis: TimeAxis) -> np.ndarray:
    """Bring all signals onto one clock, those on the same one together; shape ``(axis.n, n_features)``."""
    resampled = {}
    for source in dict.fromkeys(own for _, own in signals):
        columns = np.hstack([values for values, own in signals if own == source])
        resampled[source] = iter(resample(columns, source, axis).T)
    return np.column_stack([next(resampled[own]) for values, own in signals for _ in range(values.shape[1])])
