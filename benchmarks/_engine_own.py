"""What does the package do in each task? The calls that are measured, through its public functions."""

from __future__ import annotations

import cProfile
import pstats
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._engine_data import Data
from benchmarks._engine_job import Outcome
from brainalign.core.design import Design
from brainalign.encoding.massunivariate import LagModel, feature_maps, rotated_scores
from brainalign.encoding.memory import Compute
from brainalign.encoding.multivariate import fit_encoding, fit_fixed
from brainalign.encoding.penalty import Regulariser, to_mne, to_mtrf
from brainalign.mapping import Surrogates, null_summary
from brainalign.stats.sequential import sequential_p

KEPT_ROTATIONS = 3
STAGES = {
    "rotations": {
        "ring_columns": "features made dense",
        "ring_nest": "eigendecompositions",
        "ring_products": "transforms",
        "_gather": "windows gathered",
        "run": "scores",
        "pick": "penalties picked",
    },
    "maps": {
        "make_bench": "responses prepared",
        "block_moments": "moments",
        "build_nest": "eigendecompositions",
        "run": "scores",
        "final_weights": "weights",
    },
    "joint": {
        "fold_moments": "moments",
        "total": "folds added up",
        "solve_penalised": "solutions",
        "fit_of": "held-out scores",
    },
}


def _with_shifts(data: Data) -> tuple[Design, Data]:
    return data.design(), data


prepare = dict.fromkeys(("rotations", "whole", "stages"), _with_shifts) | {"maps_of_dense": lambda data: data}


def joint(design: Design, *, penalties: list[float], convention: str, nested: bool) -> Outcome:
    """Fit one model of all features, cross-validated over all penalties."""
    rule = Regulariser("ridge", convention)
    found = fit_encoding(design, penalties=penalties, n_folds=len(design.trials), nested=nested, regulariser=rule)
    weights = {"mtrf": lambda: to_mtrf(found)[0], "mne": lambda: to_mne(found)}.get(convention, lambda: found.coef)()
    return Outcome({"r": found.score, "alpha": found.coef_alpha[0], "weights": weights})


def joint_path(design: Design, *, penalties: list[float], convention: str) -> Outcome:
    """Return held-out r of every penalty and fold, and weights at the first penalty, to compare with single fits.

    The weights are those of all trials; under MNE's convention, of all but the first.
    """
    rule, n_folds = Regulariser("ridge", convention), len(design.trials)
    fits = [
        fit_encoding(design, penalties=[penalty], n_folds=n_folds, nested=False, regulariser=rule)
        for penalty in penalties
    ]
    weights = fits[0].coef
    if convention == "mne":
        trained = Design(design.trials[1:], design.lags, design.channels, design.positions)
        weights = to_mne(fit_fixed(trained, penalties[0], regulariser=rule))
    return Outcome({"r": np.array([fit.scores for fit in fits]), "weights": weights})


def maps(
    design: Design, *, penalties: list[float], double: bool = False, n_jobs: int = 1, basis: str | None = None
) -> Outcome:
    """Fit every feature alone, nested cross-validation over all penalties."""
    dtype = np.float64 if double else np.float32
    found = feature_maps(
        design, penalties=penalties, n_folds=_folds(design), dtype=dtype, model=LagModel(basis=basis),
        compute=Compute(n_jobs=n_jobs),
    )  # fmt: skip
    return Outcome({"r": found.scores, "weights": found.coef})


def maps_of_dense(data: Data, *, penalties: list[float]) -> Outcome:
    """Fit every feature alone from the same values, stored dense."""
    x = tuple(np.asarray(item.toarray()) for item in data.x)
    return maps(Data(x, data.y, data.lags).design(), penalties=penalties)


def _folds(design: Design) -> int:
    return min(5, len(design.trials))


def rotations(
    given: tuple[Design, Data],
    *,
    penalties: list[float],
    n_rotations: int,
    double: bool = False,
    basis: str | None = None,
    stop: int | None = None,
    n_jobs: int = 1,
) -> Outcome:
    """Score every feature alone under all rotations, the penalty chosen anew in each."""
    design, data = given
    shifts, dtype = data.shifts(n_rotations), np.float64 if double else np.float32
    scores = rotated_scores(
        design, shifts, penalties=penalties, n_folds=_folds(design), dtype=dtype, model=LagModel(basis=basis),
        compute=Compute(n_jobs=n_jobs), stop_hopeless=stop,
    )  # fmt: skip
    kept, scored, means = [], [], []
    for one in scores:
        kept.append(one[:KEPT_ROTATIONS].copy())
        scored.append(np.isfinite(one).mean())
        means.append(np.nanmean(one, axis=0))
    return Outcome({"r": np.array(kept), "mean": np.array(means)}, facts={"scored": float(np.mean(scored))})


def whole(
    given: tuple[Design, Data],
    *,
    penalties: list[float],
    n_rotations: int,
    basis: str | None = None,
    stop: int | None = None,
    n_jobs: int = 1,
) -> Outcome:
    """Test all features of a layer: scores, p-values and (without early stopping) maxima, the null never held."""
    design, data = given
    shifts, compute, model = data.shifts(n_rotations), Compute(n_jobs=n_jobs), LagModel(basis=basis)
    settings: dict[str, Any] = {
        "penalties": penalties, "n_folds": _folds(design), "model": model, "compute": compute,
    }  # fmt: skip
    if stop is None:
        summary = null_summary([design], [Surrogates("circular-shift", shifts, "drawn for the benchmark")], **settings)
        return Outcome({"r": summary.observed, "p": summary.p})
    observed, p = [], []
    for one in rotated_scores(design, shifts, **settings, stop_hopeless=stop):
        observed.append(one[0].copy())
        p.append(sequential_p(one, stop_hopeless=stop))
    return Outcome({"r": np.array(observed), "p": np.array(p)})


def stages(given: tuple[Design, Data], *, what: str, options: dict[str, Any]) -> Outcome:
    """Say in which functions the time of a task is spent, as shares."""
    functions, names = {"rotations": rotations, "maps": maps, "joint": joint}, STAGES[what]
    with cProfile.Profile() as profile:
        functions[what](given if what == "rotations" else given[0], **options)
    table = pstats.Stats(profile)
    spent = dict.fromkeys(names.values(), 0.0)
    for (file, _, function), (_, _, _, cumulative, _) in table.stats.items():  # type: ignore[attr-defined]
        if function in names and Path(file).parent.name == "encoding":
            spent[names[function]] += cumulative
    shares = {name: value / table.total_tt for name, value in spent.items()}  # type: ignore[attr-defined]
    return Outcome(facts={"stages": shares | {"elsewhere": 1 - sum(shares.values())}})


def speed(_: None, *, n: int, rows: int, columns: int) -> Outcome:
    """Measure this core's matrix products, in GFLOP/s: large ones in both precisions, and small ones of our shape.

    Parameters
    ----------
    _
        No data.
    n
        Rows and columns of large matrices.
    rows, columns
        Shape of the small products: two of ``(rows, rows + 1) @ (rows + 1, columns)`` at a time.
    """
    facts = {}
    for name, dtype in (("sgemm", np.float32), ("dgemm", np.float64)):
        facts[name] = _rate((n, n), (n, n), dtype)
    facts["small"] = _rate((2, rows, rows + 1), (2, rows + 1, columns), np.float32)
    return Outcome(facts=facts)


def _rate(left: tuple[int, ...], right: tuple[int, ...], dtype: type) -> float:
    one: np.ndarray = np.full(left, 0.5, dtype=dtype)
    other: np.ndarray = np.full(right, 0.25, dtype=dtype)
    out = one @ other
    flops = 2 * out.size * left[-1]
    times = max(1, int(2e9 / flops))
    best = float("inf")
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(times):
            np.matmul(one, other, out=out)
        best = min(best, (time.perf_counter() - start) / times)
    return flops / best / 1e9
