"""What does it cost, and what does the cost grow with? A layer, doublings, workers, density, and the machine's peak."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks._engine_data import RATE
from benchmarks._engine_flops import Counts, joint_counts, map_counts, rotation_counts, scored_together
from benchmarks._engine_job import Measured
from benchmarks._engine_rows import Bench, Row, differences
from benchmarks._engine_versus import BASIS, OWN, STOP, penalties_for

DENSITIES = (0.5, 0.1, 0.01)
LAYER_DENSITY = 0.01
_MINUTES, _BYTES = 25, 4e9


def layer(bench: Bench) -> None:
    """Measure (d): a whole layer: every feature, every channel, every rotation."""
    size = bench.size
    n = size.n_whole if bench.whole else size.n_slice
    data = bench.data(n, density=LAYER_DENSITY)
    variants: dict[str, dict[str, Any]] = {"exact": {}, BASIS: {"basis": BASIS}, "early stopping": {"stop": STOP}}
    for name, extra in variants.items():
        options = {"penalties": penalties_for(size, "relative"), "n_rotations": size.n_rotations} | extra
        found = bench.measure(f"{OWN}:whole", data, options=options | {"n_jobs": bench.n_jobs})
        row = bench.add("layer", f"brainalign, {name}", found)
        minutes, factor = math.nan, size.n_whole / n
        if "problem" not in row:
            minutes = row["wall_s"] * factor / 60
            row |= {"core_s": row["core_s"] * factor, "wall_s": row["wall_s"] * factor}
            row["shown"] = {"minutes": f"{minutes:.2f}", "p at the floor": f"{_at_floor(found, size.n_rotations):.4f}"}
        told = f"{size.n_whole:,} features x {size.n_channels} channels x {size.n_rotations:,} rotations"
        row["note"] = f"{told}, {LAYER_DENSITY:.0%} dense, {bench.n_jobs} workers; " + (
            "really run" if bench.whole else f"times extrapolated from {n} features, memory as it was"
        )
        _layer_claims(bench, name, row, minutes)


def _at_floor(found: Measured, n_rotations: int) -> float:
    """Return the share of pairs with the smallest p-value possible."""
    return float((found.arrays["p"] <= 1.001 / (1 + n_rotations)).mean())


def _layer_claims(bench: Bench, name: str, row: Row, minutes: float) -> None:
    ok, suffix = (minutes < _MINUTES, "") if bench.whole else (None, ", extrapolated")
    bench.claim(f"layer, {name}{suffix}", minutes, unit="min", target=f"under {_MINUTES}", ok=ok)
    if bench.whole:
        peak = row.get("peak_mb", math.nan)
        bench.claim(f"layer, {name}: memory in all", peak, unit="MB", target="under 4,000", ok=peak < _BYTES / 1e6)


def growth(bench: Bench) -> None:
    """Measure (e): does the cost grow in proportion?"""
    features, channels, rotations, seconds = bench.size.growth
    base = {"features": features, "channels": channels, "rotations": rotations, "seconds": seconds}
    _grow(bench, "rotations", base, ("features", "channels", "rotations", "seconds"))
    size = bench.size
    largest = {"features": size.n_single, "channels": size.n_channels, "seconds": size.seconds}
    _grow(bench, "maps", largest, ("features", "channels", "seconds"), downwards=True)


def _grow(bench: Bench, call: str, base: dict[str, int], axes: tuple[str, ...], *, downwards: bool = False) -> None:
    known: dict[tuple[int, ...], float] = {}
    for axis in axes:
        start = base[axis] // 4 if downwards else base[axis]
        steps = [start, 2 * start, 4 * start]
        costs = []
        for step in steps:
            at = base | {axis: step}
            place = tuple(at.values())
            if place not in known:
                known[place] = _cost(bench, call, at)
            costs.append(known[place])
        exponent = slope(steps, costs)
        shown = {f"x {2**i}": f"{cost:.3g} s" for i, cost in enumerate(costs)} | {"slope": f"{exponent:.2f}"}
        fixed = ", ".join(f"{value} {name}" for name, value in base.items() if name != axis)
        bench.add("growth", f"{call}: {axis} from {start}", shown=shown, note=f"core-seconds, with {fixed}")
        bench.claim(
            f"growth: {call} with {axis}", exponent, unit="slope of log cost on log size", target="at most 1.2",
            ok=exponent <= 1.2,
        )  # fmt: skip


def _cost(bench: Bench, call: str, at: dict[str, int]) -> float:
    size = bench.size
    frames = at["seconds"] * RATE // size.n_trials
    options: dict[str, Any] = {"penalties": penalties_for(size, "relative")}
    if call == "rotations":
        options["n_rotations"] = at["rotations"]
    take = {"n_features": at["features"], "n_channels": at["channels"], "n_frames": frames}
    data = bench.data(size.n_single)
    found = bench.measure(f"{OWN}:{call}", data, take=take, options=options, repeats=size.repeats)
    return found.core_s


def slope(steps: list[int], costs: list[float]) -> float:
    """Return the exponent of cost against size, by least squares on logarithms.

    >>> round(slope([1, 2, 4], [3, 6, 12]), 6)
    1.0
    """
    if not all(cost > 0 for cost in costs):
        return math.nan
    return float(np.polyfit(np.log(steps), np.log(costs), 1)[0])


def workers(bench: Bench) -> None:
    """Measure (f): one worker against two."""
    relative = penalties_for(bench.size, "relative")
    rotations = {"n_rotations": max(20, bench.size.n_rotations // 4)}
    data = bench.data(bench.size.n_scaled[0], density=LAYER_DENSITY)
    for (call, extra), n_features in zip((("maps", {}), ("rotations", rotations)), bench.size.n_scaled, strict=True):
        found = []
        for n_jobs in (1, 2):
            options = {"penalties": relative, "n_jobs": n_jobs} | extra
            found.append(bench.measure(f"{OWN}:{call}", data, take={"n_features": n_features}, options=options))
        one, two = found
        for n_jobs, measured in enumerate(found, start=1):
            row = bench.add("workers", f"{call}, n_jobs={n_jobs}", measured, note=f"{n_features:,} sparse features")
            row["shown"] = {"times as fast": f"{one.wall_s / measured.wall_s:.2f}"}
        same = bool(one.arrays) and all(
            np.array_equal(value, two.arrays.get(name), equal_nan=True) for name, value in one.arrays.items()
        )
        bench.claim(f"workers: {call}, the same bytes", same, unit="", target="True", ok=same, timed=False)


def density(bench: Bench) -> None:
    """Measure (g): maps of sparse features, and of the same values stored dense."""
    size, options = bench.size, {"penalties": penalties_for(bench.size, "relative")}
    for share in DENSITIES:
        data = bench.data(size.n_slice, density=share)
        sparse = bench.measure(f"{OWN}:maps", data, options=options, repeats=size.repeats)
        dense = bench.measure(f"{OWN}:maps_of_dense", data, options=options)
        apart = {} if sparse.problem or dense.problem else differences(dense, sparse)
        row = bench.add("density", f"density {share:g}, CSR", sparse, **apart)
        for name in ("core_s", "wall_s"):
            if name in row:
                row[name] /= size.n_slice
        row["shown"] = {"x dense storage": f"{sparse.core_s / dense.core_s:.2f}"}
        row["note"] = f"maps, per feature, of {size.n_slice} really run"
        # The penalty may be chosen otherwise where two are equal to single precision: r is compared, weights are not.
        row.pop("weights_difference", None)
        bench.agree(f"density: {share:g}, sparse as dense", row, 1e-4)


def peak(bench: Bench) -> None:
    """Measure (h): what share of the machine's peak is reached, and where the time goes."""
    size = bench.size
    shape = {"rows": math.ceil(size.n_lags / 2), "columns": scored_together(size)}
    speed = bench.measure(f"{OWN}:speed", options=shape | {"n": 1536 if size.judged else 256})
    relative = {"penalties": penalties_for(size, "relative")}
    tasks: dict[str, tuple[int, Counts, dict[str, Any], str]] = {
        "rotations": (size.n_rotated, rotation_counts(size), {"n_rotations": size.n_rotations}, "sgemm"),
        "maps": (size.n_single, map_counts(size), {}, "sgemm"),
        "joint": (size.n_joint, joint_counts(size), {"convention": "relative", "nested": True}, "dgemm"),
    }
    for what, (n_features, counts, extra, fastest) in tasks.items():
        _share(bench, what, n_features, counts, relative | extra, (fastest, speed.facts.get(fastest, math.nan)))
    small = f"small products, 2 x ({shape['rows']}, {shape['rows'] + 1}) @ (.., {shape['columns']})"
    for name, value in speed.facts.items():
        bench.add("peak", small if name == "small" else name, shown={"GFLOP/s": f"{value:.1f}"}, note="one core")
    if speed.problem:
        bench.add("peak", "speed of products", speed)


def _share(
    bench: Bench, what: str, n_features: int, counts: Counts, options: dict[str, Any], fastest: tuple[str, float]
) -> None:
    """Tell one task's stages: operations by formula, shares of the time by a profile, rates from both."""
    data, take = bench.data(bench.size.n_single), {"n_features": n_features}
    if what == "joint":
        data = bench.data(n_features)
    found = bench.measure(f"{OWN}:{what}", data, take=take, options=options, repeats=bench.size.repeats)
    staged = bench.measure(f"{OWN}:stages", data, take=take, options={"what": what, "options": options})
    each = 1 if what == "joint" else n_features
    note = "nested, in all" if what == "joint" else "per feature"
    for stage, share in staged.facts.get("stages", {}).items():
        flops, seconds = counts.stages.get(stage, 0.0), found.core_s / each * share
        shown = {"Mflop": f"{flops / 1e6:,.1f}" if flops else "", "share of time": f"{100 * share:.0f} %"}
        if flops and seconds > 0:
            shown["GFLOP/s"] = f"{flops / seconds / 1e9:.1f}"
        if stage in counts.moved:
            shown["MB moved"] = f"{counts.moved[stage] / 1e6:,.0f}"
        bench.add("peak", f"{what}: {stage}", shown=shown, note=note)
    total = sum(counts.stages.values())
    rate = total / (found.core_s / each) / 1e9
    reached = 100 * rate / fastest[1]
    row = bench.add("peak", f"{what}: in all", shown={"Mflop": f"{total / 1e6:,.1f}", "GFLOP/s": f"{rate:.1f}"})
    row["note"] = f"{note}; {reached:.0f} % of {fastest[0]}'s rate in this run"
    row["problem"] = "; ".join(item.problem for item in (found, staged) if item.problem)
    told = f"% of {fastest[0]}'s rate"
    bench.claim(f"peak: share reached by {what}", reached, unit=told, target="reported", ok=None)
