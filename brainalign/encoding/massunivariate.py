"""How well does each feature, alone, predict each channel? Thousands of small ridge models.

`feature_maps` gives held-out scores and response functions. `rotated_scores` gives the
scores of the data and of every rotation of the stimulus at once: a rotation leaves the
circular Gram matrix as it is and moves the cross-covariance by a window, so one inverse
FFT per feature, channel and trial serves all permutations, and the penalty is chosen
anew in each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ShapeMismatch, ValueProblem, unknown_name
from brainalign.core.result import EncodingResult
from brainalign.encoding.backend import NUMPY
from brainalign.encoding.maps import Bench, final_weights, fit_block, make_bench, weights_at
from brainalign.encoding.memory import Compute, blocks, each, in_order
from brainalign.encoding.moments import Edges
from brainalign.encoding.nest import nest_bytes
from brainalign.encoding.rotations import Turn, make_ring, same_stimuli
from brainalign.encoding.scoring import PenaltyPer, pick

PENALTIES = (1e-2, 1e-1, 1e0, 1e1, 1e2)
_PER = ("channel", "feature", "all")


@dataclass(frozen=True)
class LagModel:
    """What is left to choose about the model of one feature.

    Parameters
    ----------
    penalty_per
        Who shares a penalty: ``"channel"``, none (one per feature and channel); ``"feature"``,
        the channels of a feature, by their mean inner r; ``"all"``, every feature and channel
        (`feature_maps` only).
    basis
        A basis of lag functions in place of one weight per lag (see `lag_basis`): a name
        such as ``"hamming-50ms"`` or ``"spline-12"``, a matrix, or None.
    """

    penalty_per: PenaltyPer = "channel"
    basis: str | np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.penalty_per not in _PER:
            raise unknown_name(self.penalty_per, among=_PER, kind="way to share penalties")


def feature_maps(
    design: Design,
    *,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    edges: Edges = "zero",
    dtype: type = np.float32,
    model: LagModel | None = None,
    compute: Compute | None = None,
) -> EncodingResult:
    """Fit one lagged ridge model per feature to every channel.

    Model: ``y_c(t) = b + sum_l w_fc(l) x_f(t - l) + e``, intercept unpenalised.

    Parameters
    ----------
    design
        Trials apart; sparse features stay sparse but for one block at a time.
    penalties
        Candidate penalties, as multiples of the feature's own variance times the number
        of frames (so 1 shrinks a white feature's weights by half). Chosen per feature and
        channel by the mean held-out r inside each fold's training trials.
    n_folds
        Folds over stimuli.
    edges
        What lies beyond a trial's ends: silence (``"zero"``) or its other end (``"circular"``).
    dtype
        Precision of the bulk products; the small algebra is always float64.
    model
        Who shares a penalty, and a lag basis.
    compute
        Memory budget, workers, device.

    Returns
    -------
    EncodingResult
    """
    model, compute = model or LagModel(), compute or Compute()
    grid = penalty_grid(penalties)
    require_long_trials(design)
    bench = make_bench(design, n_folds=n_folds, edges=edges, dtype=dtype, basis=model.basis, device=compute.device)
    spans, n_workers = _map_blocks(bench, len(grid), compute)
    shared = _shared_choices(bench, grid, spans, n_workers=n_workers) if model.penalty_per == "all" else None
    work = partial(_map_block, bench, grid, per=model.penalty_per, shared=shared)
    parts = list(zip(*in_order(work, spans, n_workers=n_workers), strict=True))
    scores, alpha, coef, coef_alpha = (np.concatenate(parts[i], axis=axis) for i, axis in enumerate((1, 1, 0, 0)))
    return EncodingResult(
        scores=scores,
        alpha=alpha,
        coef=coef,
        coef_alpha=coef_alpha,
        lags=design.lags,
        features=design.features,
        channels=design.channels,
        positions=design.positions,
        subject=design.subject,
        provenance=design.provenance.then("feature_maps", penalties=list(penalties), n_folds=n_folds, edges=edges),
    )


def penalty_grid(penalties: Sequence[float]) -> np.ndarray:
    """Return candidate penalties as an array, refused unless finite and not negative."""
    grid = np.asarray(penalties, dtype=float)
    if grid.ndim != 1 or not grid.size or not np.all(np.isfinite(grid) & (grid >= 0)):
        raise ValueProblem(
            "penalties must be finite and not negative", got=list(penalties), fix="give e.g. (0.1, 1, 10)"
        )
    return grid


def require_long_trials(design: Design) -> None:
    """Refuse a trial that is not longer than two lag windows."""
    shortest = min(design.trials, key=lambda trial: trial.axis.n)
    if shortest.axis.n <= 2 * design.lags.n:
        raise ValueProblem(
            "a trial is too short for the lag window",
            got=f"trial {shortest.name!r}: {shortest.axis.n} frames for {design.lags.n} lags",
            fix="drop the trial, or shorten the lag window",
        )


def _map_blocks(bench: Bench, n_penalties: int, compute: Compute) -> tuple[list[tuple[int, int]], int]:
    """Return blocks of features and how many to work on at once, within the budget."""
    n_lags, n_channels, size = bench.lags.n, len(bench.scale), np.dtype(bench.dtype).itemsize
    frames = max(trial.axis.n for trial in bench.design.trials)
    spectra = bench.n_folds * (bench.cut.n_fft // 2 + 1) * n_channels * 2 * size
    nest = nest_bytes(bench.halves, bench.n_folds, n_penalties)
    bulk = bench.n_folds * n_channels * (4 * n_lags + 4 * n_penalties) * size
    each = int(frames * 40 + 2 * spectra + nest + bulk)
    fixed = 2 * sum(trial.y.size for trial in bench.design.trials) * 2 * size
    per_block = compute.block_size(each, fixed=fixed)
    return blocks(bench.design.n_features, per_block), compute.workers(each * per_block, fixed=fixed)


def _map_block(
    bench: Bench, grid: np.ndarray, span: tuple[int, int], *, per: PenaltyPer, shared: np.ndarray | None
) -> tuple[np.ndarray, ...]:
    fitted = fit_block(bench, grid, span)
    if shared is None:
        r, choice = pick(fitted.scores, NUMPY, per=per, n_channels=len(bench.scale))
        coef, final = final_weights(bench, fitted, per=per)
    else:
        folds = np.arange(bench.n_folds)
        r = fitted.scores.outer[folds, :, shared[:-1]]
        choice, final = np.broadcast_to(shared[:-1, None, None], r.shape), np.full(r.shape[1:], shared[-1])
        coef = weights_at(bench, fitted, final)
    return r, grid[choice].astype(np.float32), coef.astype(bench.dtype), grid[final].astype(np.float32)


def _shared_choices(bench: Bench, grid: np.ndarray, spans: Sequence[tuple[int, int]], *, n_workers: int) -> np.ndarray:
    """Return the number of the penalty that serves all features best inside each fold, and (last) over folds."""
    parts = list(in_order(partial(_block_merit, bench, grid), spans, n_workers=n_workers))
    merit, outer = (np.sum(part, axis=0) for part in zip(*parts, strict=True))
    return np.append(merit.argmax(axis=1), outer.argmax())


def _block_merit(bench: Bench, grid: np.ndarray, span: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    scores = fit_block(bench, grid, span).scores
    return scores.merit.sum(axis=(1, 3), dtype=np.float64), scores.outer.sum(axis=(0, 1, 3), dtype=np.float64)


def rotated_scores(
    design: Design,
    shifts: np.ndarray,
    *,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    dtype: type = np.float32,
    model: LagModel | None = None,
    compute: Compute | None = None,
    stop_hopeless: int | None = None,
) -> Iterator[np.ndarray]:
    """Yield, feature by feature, the scores under every rotation of the stimuli.

    Parameters
    ----------
    design
        Trials apart.
    shifts
        Frames by which each trial's stimulus is moved later, circularly within the
        trial, shape ``(n_rotations, n_trials)``. A row of zeros is the data itself.
    penalties, n_folds, dtype, model, compute
        As in `feature_maps`; the penalty is chosen anew under every rotation.
    stop_hopeless
        After so many rotations scored as high as row 0, which must be the data, a channel
        gets no more of them: its remaining rows are NaN, and its p-value is the
        sequential one (Besag & Clifford 1991), ``stop_hopeless / rotations until then``
        (see `brainalign.stats.sequential`): exactly valid, and as sharp as the full
        test where it matters. Not for max-statistics, which need every row. None: never stop.

    Yields
    ------
    numpy.ndarray
        Held-out r averaged over folds, shape ``(n_rotations, n_channels)``.
    """
    groups = rotated_listeners(
        [design], [shifts], penalties=penalties, n_folds=n_folds, dtype=dtype, model=model, compute=compute,
        stop_hopeless=stop_hopeless,
    )  # fmt: skip
    for (scores,) in groups:
        yield scores


def rotated_listeners(
    designs: Sequence[Design],
    shifts: Sequence[np.ndarray],
    *,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    dtype: type = np.float32,
    model: LagModel | None = None,
    compute: Compute | None = None,
    stop_hopeless: int | None = None,
) -> Iterator[list[np.ndarray]]:
    """Yield, feature by feature, every listener's scores under that listener's rotations.

    Listeners who heard the same trials in the same order share all that depends on the
    stimulus alone. Parameters as in `rotated_scores`, with one design and one array of
    shifts per listener.
    """
    model, compute, grid = model or LagModel(), compute or Compute(), penalty_grid(penalties)
    _require_rotatable(designs, shifts, model=model, stop_hopeless=stop_hopeless)
    rings = [make_ring(d, n_folds=n_folds, dtype=dtype, basis=model.basis, device=compute.device) for d in designs]
    turn = Turn(
        stimuli=same_stimuli(designs),
        designs=tuple(designs),
        lookups=tuple(rings),
        draws=tuple(shifts),
        grid=grid,
        per=model.penalty_per,
        stop=stop_hopeless,
    )
    spans, n_workers = turn.plan(compute)
    yield from each(turn.block, spans, n_workers=n_workers, prefer=compute.prefer)


def _require_rotatable(
    designs: Sequence[Design], shifts: Sequence[np.ndarray], *, model: LagModel, stop_hopeless: int | None
) -> None:
    for design, rotations in zip(designs, shifts, strict=True):
        require_long_trials(design)
        if rotations.ndim != 2 or rotations.shape[1] != len(design.trials):
            raise ShapeMismatch(
                "shifts must be rotations by trials",
                got=rotations.shape,
                fix=f"give one shift for each of {len(design.trials)} trials",
            )
        if stop_hopeless is not None and (stop_hopeless < 1 or np.any(rotations[0] != 0)):
            raise ValueProblem(
                "early stopping needs the data as its first rotation, and at least one exceedance",
                got=f"stop_hopeless={stop_hopeless}, first shifts {rotations[0][:4]}",
                fix="put a row of zeros first, and choose e.g. stop_hopeless=20",
            )
    if model.penalty_per == "all":
        raise ValueProblem(
            "rotations are scored feature by feature", got="penalty_per='all'", fix="use 'feature' or 'channel'"
        )
