"""How does MNE centre? Its receptive fields from our moments, number for number.

MNE takes the training means off the features, then puts silence around them, so that its
silence is our mean. A constant feature that is 1 inside the trial and 0 outside makes this a
linear matter: with ``1_l(t) = 1`` where ``t - l`` lies inside, MNE's column is
``x(t - l) - m 1_l(t)``, and its moments follow from those of the features and the constant.
Scores look at frames ``lags.last <= t < n + lags.first`` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from brainalign.core.design import Design, Trial
from brainalign.core.trajectory import Trajectory, beside
from brainalign.encoding.blocks import BlockMoments, Centred, fold_moments
from brainalign.encoding.crossval import MomentProblem, Path


@dataclass(frozen=True, eq=False, kw_only=True)
class MneProblem(MomentProblem):
    """Models trained as MNE trains them.

    Parameters
    ----------
    augmented
        Moments of the features and, last, the constant.
    totals
        Sum of each unlagged feature over usable frames, ``(n_folds, n_features)``.
    """

    augmented: BlockMoments
    totals: np.ndarray

    def train(self, out: Sequence[int]) -> Centred:
        """Return moments centred as MNE centres them: before silence, and not again."""
        kept = [fold for fold in range(self.n_folds) if fold not in out]
        whole, n_lags = self.augmented, self.augmented.n_lags
        n, width = whole.n[kept].sum(), whole.sx.shape[1] - n_lags
        mean = np.repeat(self.totals[kept].sum(axis=0) / n, n_lags)
        y_mean = whole.sy[kept].sum(axis=0) / n
        sxx = whole.sxx[kept].sum(axis=0)
        sxy = whole.sxy[kept].sum(axis=0) - np.outer(whole.sx[kept].sum(axis=0), y_mean)
        # Column f, l of the centred design is column f, l minus mean_f times column l of the constant.
        inside = np.tile(np.arange(width, width + n_lags), width // n_lags)
        own = np.arange(width)
        left = sxx[own] - mean[:, None] * sxx[inside]
        return Centred(
            n=float(n),
            n_trials=int(whole.n_trials[kept].sum()),
            x_mean=mean,
            y_mean=y_mean,
            sxx=left[:, own] - left[:, inside] * mean,
            sxy=sxy[own] - mean[:, None] * sxy[inside],
            syy=whole.syy[kept].sum(axis=0) - n * y_mean**2,
        )


def mne_problem(design: Design, folds: np.ndarray, path: Path, *, dtype: type) -> MneProblem:
    """Compute the moments that MNE's training and scoring need.

    Parameters
    ----------
    design
        Trials apart.
    folds
        Fold of each trial.
    path
        Gives a training set's weights, candidate by candidate.
    dtype
        Precision of the bulk products.
    """
    scored = replace(design, trials=tuple(_inner_frames(trial, design) for trial in design.trials))
    augmented = replace(design, trials=tuple(_with_constant(trial) for trial in design.trials))
    sums = np.array([_total(trial) for trial in design.trials])
    whole = fold_moments(augmented, folds, dtype=dtype)
    return MneProblem(
        moments=_same_constants(fold_moments(scored, folds, dtype=dtype), whole),
        path=path,
        augmented=whole,
        totals=np.array([sums[folds == fold].sum(axis=0) for fold in range(int(folds.max()) + 1)]),
    )


def _total(trial: Trial) -> np.ndarray:
    return np.asarray(trial.mask.astype(np.float64) @ trial.x.values, dtype=np.float64)


def _inner_frames(trial: Trial, design: Design) -> Trial:
    mask = trial.mask.copy()
    mask[: max(0, design.lags.last)] = False
    mask[trial.axis.n + min(0, design.lags.first) :] = False
    return replace(trial, mask=mask)


def _with_constant(trial: Trial) -> Trial:
    ones = np.ones((trial.axis.n, 1), dtype=np.float32)
    values = sparse.csr_array(ones) if trial.x.is_sparse else ones
    return replace(trial, x=beside(trial.x, Trajectory(values, trial.axis, ("inside the trial",))))


def _same_constants(moments: BlockMoments, other: BlockMoments) -> BlockMoments:
    """Express moments whose responses were standardised by other constants in those of ``other``."""
    gain, gap = moments.scale / other.scale, (moments.mean - other.mean) / other.scale
    n = moments.n[:, None]
    return replace(
        moments,
        sy=moments.sy * gain + n * gap,
        sxy=moments.sxy * gain + moments.sx[:, :, None] * gap,
        syy=moments.syy * gain**2 + 2 * moments.sy * gain * gap + n * gap**2,
        mean=other.mean,
        scale=other.scale,
    )
