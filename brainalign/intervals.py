"""Where models meet resampling: intervals of held-out scores, of peaks' latencies and of their amplitudes.

Encoding knows how a model follows from moments, statistics how blocks of time are drawn; what both
need to know of each other stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem
from brainalign.core.joint import JointResult
from brainalign.encoding.multivariate import fit_fixed
from brainalign.encoding.peaks import Polarity, find_peaks
from brainalign.encoding.penalty import Regulariser
from brainalign.encoding.refits import held_out_predictions, influence, make_refits
from brainalign.stats.blocks import Cuts
from brainalign.stats.bootstrap import Interval, Resampling, bootstrap
from brainalign.stats.intervals import r_interval, suitable_cuts

# What single precision may leave between a score from moments and one from predictions.
_ROUNDING = 1e-3
_PEAKS, _SCORES = Resampling(method="bca", n_draws=1000), Resampling(method="student")


@dataclass(frozen=True, eq=False)
class PeakIntervals:
    """Peaks of response functions with their 95 % intervals, each ``(n_features, n_channels)``.

    Attributes
    ----------
    latency
        Seconds.
    amplitude
        In the response's unit per unit of the feature.
    missing
        Share of resamples without a peak in the window; they count with the lag at which the response is largest.
    """

    latency: Interval
    amplitude: Interval
    missing: np.ndarray


def peak_intervals(
    design: Design,
    penalty: float | Sequence[float] | np.ndarray,
    *,
    window: tuple[float, float] | None = None,
    polarity: Polarity = "either",
    regulariser: str | Regulariser = "ridge",
    resampling: Resampling = _PEAKS,
) -> PeakIntervals:
    """Refit the joint model on resampled blocks of time, and return intervals of each response function's peak.

    Parameters
    ----------
    design
        One listener's; ``design.select([k])`` for the model of one feature alone.
    penalty
        One number or one per channel (e.g. ``result.coef_alpha[0]``), the same in every resample.
    window
        First and last lag in seconds at which the peak may stand.
    polarity
        Peaks upward, downward, or of the absolute response.
    regulariser
        As in `fit_encoding`.
    resampling
        Method, blocks, number and seed.

    Notes
    -----
    Intervals are of the peak of the *penalised* response function, which is smaller and smoother than the
    brain's. They speak of this listener: for a population, see `brainalign.stats.jackknife`. In simulations 95 %
    intervals held the true latency in 95 to 96 % of 800 channels, the amplitude in 93 to 96 % (percentile, bca).
    """
    cuts = _peak_cuts(design, penalty, regulariser, resampling)
    refits = make_refits(design, penalty, spans=cuts.spans, regulariser=regulariser)

    def measure(counts: np.ndarray) -> np.ndarray:
        peaks = [find_peaks(part, design.lags, window=window, polarity=polarity) for part in refits.responses(counts)]
        return np.concatenate([np.stack([p.latency, p.amplitude, p.found], axis=1) for p in peaks])

    strata: np.ndarray = np.zeros(len(cuts.spans), dtype=int)
    frames = sum(trial.axis.n for trial in design.trials) / len(strata)
    both = bootstrap([measure], strata, resampling=resampling, block_frames=frames)
    return PeakIntervals(_part(both, 0), _part(both, 1), 1 - both.draws[:, 2].mean(axis=0))


def _peak_cuts(
    design: Design,
    penalty: float | Sequence[float] | np.ndarray,
    regulariser: str | Regulariser,
    resampling: Resampling,
) -> Cuts:
    """Cut trials into blocks that suit the weight at each feature's largest lag."""
    lengths, whole = [trial.axis.n for trial in design.trials], np.zeros(len(design.trials), dtype=int)
    if resampling.block != "auto":
        return suitable_cuts(lengths, [], whole, resampling)
    size = np.abs(fit_fixed(design, penalty, regulariser=regulariser).coef).max(axis=2)
    waves = influence(design, penalty, at=size.argmax(axis=1).tolist(), regulariser=regulariser)
    return suitable_cuts(lengths, waves, whole, resampling)


def _part(both: Interval, number: int) -> Interval:
    return replace(
        both,
        estimate=both.estimate[number],
        low=both.low[number],
        high=both.high[number],
        draws=both.draws[:, number],
    )


def score_interval(
    result: JointResult,
    design: Design,
    *,
    regulariser: str | Regulariser = "ridge",
    resampling: Resampling = _SCORES,
) -> Interval:
    """Return the interval of a joint model's held-out r per channel; its estimate is ``result.score``.

    Parameters
    ----------
    result
        From `fit_encoding` with silence around trials.
    design
        The design it was fitted to.
    regulariser
        As it was fitted with.
    resampling
        Method, blocks, number and seed.
    """
    predictions, folds = held_out_predictions(result, design, regulariser=regulariser)
    trials = design.trials
    found = r_interval(
        predictions, [t.y for t in trials], masks=[t.mask for t in trials], folds=folds, resampling=resampling
    )
    apart = float(np.abs(found.estimate - result.score).max())
    if apart > _ROUNDING:
        raise ValueProblem(
            "the model's scores are not those of its predictions on this design",
            got=f"up to {apart:.3g} apart",
            fix="give the design and the regulariser it was fitted with, without pca, edges='zero'",
        )
    return found
