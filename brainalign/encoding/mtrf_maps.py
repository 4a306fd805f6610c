"""What is each feature's response function at one given penalty, as the mTRF toolboxes count it?

`feature_maps` chooses penalties by cross-validation; here one penalty is given for all, in
mTRF's units, and nothing is held out: the weights of ``mtrf.TRF.train(..., regularization=number)``
for thousands of single-feature models at once, from their moments.

    w = rate * solve(Sxx / K + regularization * rate * I,  Sxy / K)

with the centred moments Sxx and Sxy of all K trials together (the intercept is not
penalised) and silence around every trial.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.encoding.backend import NUMPY
from brainalign.encoding.blocks import require_long_trials
from brainalign.encoding.memory import Compute, blocks, in_order
from brainalign.encoding.moments import standardised
from brainalign.encoding.segments import Cut, lag_products, padded_moments, response_segments, segment_products
from brainalign.encoding.sparse_moments import is_cheaper_sparse, sparse_block, sparse_moments

Kind = Literal["multi", "single"]
KINDS = ("multi", "single")
_Moments = tuple[np.ndarray, np.ndarray, np.ndarray]


def mtrf_maps(
    design: Design, regularization: float, *, kind: Kind = "multi", compute: Compute | None = None
) -> np.ndarray:
    """Fit one lagged model per feature to every channel with one given penalty, in mTRF's convention.

    Parameters
    ----------
    design
        Trials apart. Build its lags with ``rounding="outward"`` for mTRF's window.
    regularization
        mTRF's lambda, above 0 (a feature that is silent has no other weights than 0 then).
    kind
        ``"multi"``: one model of all lags. ``"single"``: one model per lag, as the mTRF-Toolbox's option
        of that name (mTRFpy 2.1 takes the option and fits a multi-lag model all the same).
    compute
        Memory budget and workers.

    Returns
    -------
    numpy.ndarray
        mTRF's ``weights``, shape ``(n_features, n_lags, n_channels)``, float64.
    """
    if kind not in KINDS:
        raise unknown_name(kind, among=KINDS, kind="kind of model")
    if not (np.isfinite(regularization) and regularization > 0):
        raise ValueProblem(
            "the penalty must be above 0", got=regularization, fix="give e.g. 1.0; 1e-6 is as good as none"
        )
    require_long_trials(design)
    compute = compute or Compute()
    y, scale = standardised(design.trials)
    frames, n_lags = max(len(item) for item in y), design.lags.n
    each = 8 * (12 * frames + 6 * n_lags**2 + 8 * n_lags * len(scale))
    fixed = 4 * sum(item.nbytes for item in y)
    per_block = compute.block_size(each, fixed=fixed)
    prepared = _prepare(design, y)
    work = partial(_block, design, prepared, regularization=regularization, kind=kind)
    spans = blocks(design.n_features, per_block)
    n_workers = compute.workers(each * per_block, fixed=fixed)
    return np.concatenate(list(in_order(work, spans, n_workers=n_workers))) * scale


@dataclass(frozen=True, eq=False)
class _Prepared:
    """The responses, standardised, and the spectra of their stretches where transforms are the cheaper way."""

    y: list[np.ndarray]
    cut: Cut
    segments: list[np.ndarray] | None


def _prepare(design: Design, y: list[np.ndarray]) -> _Prepared:
    lags, cut = design.lags, Cut.for_lags(design.lags.n)
    if is_cheaper_sparse(design, n_lags=lags.n):
        return _Prepared(y, cut, None)
    return _Prepared(y, cut, [response_segments(item, lags, cut=cut, edges="zero", backend=NUMPY) for item in y])


def _block(
    design: Design, prepared: _Prepared, span: tuple[int, int], *, regularization: float, kind: Kind
) -> np.ndarray:
    """Return a block's weights, for standardised responses."""
    sxx, sx, sxy = (
        _sparse_moments(design, prepared, span) if prepared.segments is None else _dense_moments(design, prepared, span)
    )
    n = sum(int(np.count_nonzero(trial.mask)) for trial in design.trials)
    sy = np.sum([item.sum(axis=0) for item in prepared.y], axis=0)
    rate, n_lags = float(design.lags.rate), design.lags.n
    gram = sxx - sx[:, :, None] * sx[:, None, :] / n
    cross = sxy - sx[:, :, None] * sy / n
    penalty = regularization * rate * len(design.trials)
    if kind == "single":
        return rate * cross / (np.diagonal(gram, axis1=1, axis2=2) + penalty)[:, :, None]
    return rate * np.linalg.solve(gram + penalty * np.eye(n_lags), cross)


def _sparse_moments(design: Design, prepared: _Prepared, span: tuple[int, int]) -> _Moments:
    """Return a block's Gram matrices, sums and products with the responses over all trials, float64."""
    parts = [
        sparse_moments(sparse_block(trial.x, *span), y, mask=trial.mask, lags=design.lags, edges="zero")
        for trial, y in zip(design.trials, prepared.y, strict=True)
    ]
    sxx, sx, sxy = (np.sum(part, axis=0) for part in zip(*parts, strict=True))
    return sxx, sx, sxy


def _dense_moments(design: Design, prepared: _Prepared, span: tuple[int, int]) -> _Moments:
    own, spectra = [], []
    for trial, segments in zip(design.trials, prepared.segments or (), strict=True):
        x = trial.x.block(*span).astype(np.float64)
        spectra.append(segment_products(x, segments, cut=prepared.cut, backend=NUMPY))
        own.append(padded_moments(x, trial.mask, design.lags))
    sxx, sx = (np.sum(part, axis=0) for part in zip(*own, strict=True))
    sxy = lag_products(np.sum(spectra, axis=0), cut=prepared.cut, n_lags=design.lags.n, backend=NUMPY)
    return sxx, sx, sxy
