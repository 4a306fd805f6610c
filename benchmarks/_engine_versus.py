"""How fast are others at the same task, and do they find the same? Joint models, single features, and their nulls."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from benchmarks._engine_data import RATE, Size
from benchmarks._engine_job import Measured
from benchmarks._engine_own import KEPT_ROTATIONS
from benchmarks._engine_rows import Bench, Row, differences

OWN = "_engine_own"
PEERS = "_engine_peers"
STOP = 20
BASIS = "spline-12"
_FEW, _FEW_CHANNELS = 4, 8
# Single precision loses digits where eigenvalues and penalty are both small: about 2e-9 divided by the penalty.
_SINGLE = 1e-4


@dataclass(frozen=True)
class Peer:
    """How a toolbox is run, and what of ours it is compared with.

    Attributes
    ----------
    who, package, call
        Its name, what must be installed, and the function that runs it.
    options
        For that function.
    note
        What to know about the row.
    mathematics
        Convention under which ours is the same, or "" where it is not.
    tolerance
        How far the two may be apart.
    path
        If it is given a slice of penalties and folds: how many penalties (it is then compared one by one).
    n_frames
        Frames of each trial that it is given; 0 for all.
    """

    who: str
    package: str
    call: str
    options: dict[str, Any]
    note: str
    mathematics: str = ""
    tolerance: float = 1e-8
    path: int = 0
    n_frames: int = 0


@dataclass(frozen=True)
class Refit:
    """How a toolbox refits a feature to a shifted stimulus: name, package, function, penalties, and what it does."""

    who: str
    package: str
    call: str
    convention: str
    note: str


_REFITS = (
    Refit("mtrf refits, nested", "mtrf", "mtrf_nested", "mtrf", "same mathematics, silent edges"),
    Refit("mtrf refits, not nested", "mtrf", "mtrf", "mtrf", "scored by what chose the penalty: a fifth of the scores"),
    Refit("fftrf refits", "fftrf", "fftrf", "absolute", "other mathematics"),
)


def penalties_for(size: Size, convention: str) -> list[float]:
    """Return the candidates in a convention's unit: the same ridge in all but the package's own, as strong in that."""
    if convention == "relative":
        return size.relative.tolist()
    scale = RATE * (size.n_trials - 1) if convention == "mtrf" else 1
    return (size.penalties / scale).tolist()


def peers(size: Size) -> tuple[Peer, ...]:
    """Return the toolboxes at a size."""
    absolute, other = {"penalties": penalties_for(size, "absolute")}, "other mathematics: "
    few, folds, fits = size.sklearn_penalties, size.mne_folds, size.n_trials * size.n_penalties + 1
    needed = size.frames**2 * (size.n_trials - 1) * 8 * size.n_penalties / 2**30
    channels = f"{size.boosting_channels} of {size.n_channels} channels"
    return (
        Peer(
            "mtrf", "mtrf", "mtrf", {"penalties": penalties_for(size, "mtrf")}, "same mathematics",
            mathematics="mtrf", tolerance=1e-8,
        ),
        Peer(
            "scikit-learn Ridge, lag matrices", "sklearn", "sklearn", absolute | {"n_measured": few},
            f"same mathematics; extrapolated from {few} of {size.n_penalties} penalties",
            mathematics="absolute", tolerance=1e-9, path=few,
        ),
        Peer(
            "MNE ReceptiveField, TimeDelayingRidge", "mne", "mne",
            absolute | {"n_folds": size.n_trials, "n_measured": folds},
            f"same mathematics under its convention; extrapolated from {folds} of {fits} fits",
            mathematics="mne", tolerance=1e-6, path=1,
        ),
        Peer(
            "himalaya ridge CV, lag matrices", "himalaya", "himalaya", absolute | {"frames": size.frames},
            f"same mathematics; extrapolated from {_minutes(size, size.himalaya_frames)}, linearly: a lower bound "
            f"(test by training frames, for all penalties, are {needed:,.3g} GiB at full length)",
            mathematics="absolute", tolerance=1e-4, n_frames=size.himalaya_frames,
        ),
        Peer("fftrf", "fftrf", "fftrf", absolute, other + "a ridge per frequency, one penalty for all channels"),
        Peer(
            "Eelbrain boosting", "eelbrain", "eelbrain",
            {"n_channels": size.n_channels, "n_measured": size.boosting_channels, "frames": size.frames},
            f"{other}coordinate descent; extrapolated from {channels} and {_minutes(size, size.boosting_frames)}",
            n_frames=size.boosting_frames,
        ),
    )  # fmt: skip


def _minutes(size: Size, frames: int) -> str:
    return f"{frames * size.n_trials / RATE / 60:.1f} of {size.seconds / 60:g} min"


def _own_for(bench: Bench, peer: Peer, data: str, take: dict[str, int], done: dict[str, Measured]) -> Measured:
    """Return our numbers to compare a peer's with (of the same slice)."""
    penalties = penalties_for(bench.size, peer.mathematics or "absolute")
    if peer.path:
        options = {"penalties": penalties[: peer.path], "convention": peer.mathematics}
        return bench.measure(f"{OWN}:joint_path", data, take=take, options=options)
    if "n_frames" in take:
        penalties = penalties_for(bench.size, peer.mathematics or "relative")
        options = {"penalties": penalties, "convention": peer.mathematics or "relative", "nested": not peer.mathematics}
        return bench.measure(f"{OWN}:joint", data, take=take, options=options)
    return done[peer.mathematics or "absolute"]


def _joint_runs(bench: Bench, data: str, n_features: int) -> dict[str, Measured]:
    size, found = bench.size, {}
    for convention in ("mtrf", "absolute", "mne", "nested"):
        own = "relative" if convention == "nested" else convention
        options = {
            "penalties": penalties_for(size, own), "convention": own, "nested": convention == "nested",
        }  # fmt: skip
        found[convention] = bench.measure(
            f"{OWN}:joint", data, take={"n_features": n_features}, options=options, repeats=size.repeats
        )
    return found


def _peer_rows(bench: Bench, task: str, data: str, n_features: int, own: dict[str, Measured]) -> dict[str, Row]:
    """Run every peer, compare it with ours, and claim the agreement where the mathematics are the same."""
    rows = {}
    for peer in peers(bench.size):
        take = {"n_features": n_features} | ({"n_frames": peer.n_frames} if peer.n_frames else {})
        found = bench.measure(f"{PEERS}:{peer.call}", data, needs=peer.package, take=take, options=peer.options)
        apart = {} if found.problem else differences(_own_for(bench, peer, data, take, own), found)
        if not peer.mathematics:
            apart.pop("weights_difference", None)
        row = bench.add(task, peer.who, found, note=peer.note, **apart)
        if peer.mathematics:
            bench.agree(f"{task}: {peer.who} finds the same", row, peer.tolerance)
        rows[peer.package] = row
    return rows


def joint(bench: Bench) -> None:
    """Measure (a): one model of all features, cross-validated."""
    size, task = bench.size, "joint"
    data = bench.data(size.n_joint)
    own = _joint_runs(bench, data, size.n_joint)
    remarks = {
        "mtrf": "to compare with mtrf", "absolute": "to compare with scikit-learn, himalaya, fftrf",
        "mne": "to compare with MNE",
        "nested": "penalties chosen inside training trials, as none of the peers but Eelbrain",
    }  # fmt: skip
    named = {"nested": "nested"} | {name: f"{name} convention" for name in ("mtrf", "absolute", "mne")}
    ours = {
        name: bench.add(task, f"brainalign, {named[name]}", found, note=remarks[name]) for name, found in own.items()
    }
    rows = _peer_rows(bench, task, data, size.n_joint, own)
    reference = {"mtrf": "mtrf", "mne": "mne", "eelbrain": "nested"}
    for package, row in rows.items():
        row["ratio"] = _over(row, ours[reference.get(package, "absolute")])
    bench.ratio("joint: mtrf takes", rows["mtrf"], ours["mtrf"], at_least=15)
    bench.ratio("joint: MNE takes", rows["mne"], ours["mne"], at_least=200)
    most = max((row.get("above_mb", math.nan) for row in ours.values()), default=math.nan)
    bench.claim("joint: memory above the data", most, unit="MB", target="at most 150", ok=most <= 150)


def _over(row: Row, own: Row) -> float:
    return row.get("core_s", math.nan) / own.get("core_s", math.nan)


def single(bench: Bench) -> None:
    """Measure (b): every feature alone."""
    size, task = bench.size, "single"
    data, relative = bench.data(size.n_single), penalties_for(size, "relative")
    for what, double, tolerance in (("double", True, 1e-8), ("single", False, 1e-5)):
        _maps_agree(bench, data, relative[len(relative) // 2], double=double, tolerance=tolerance, what=what)
    ours = {}
    for precision, double in (("float32", False), ("float64", True)):
        options = {"penalties": relative, "double": double}
        found = bench.measure(f"{OWN}:maps", data, options=options, repeats=size.repeats)
        ours[precision] = _per_feature(bench.add(task, f"brainalign, {precision}, nested", found), size.n_single)
    rows = _peer_rows(bench, task, data, 1, _joint_runs(bench, data, 1))
    for row in rows.values():
        row["ratio"] = _over(row, ours["float32"])
        row["note"] += "; compared with our joint model of this one feature"
    bench.ratio("single: mtrf takes, per feature", rows["mtrf"], ours["float32"], at_least=300)


def _per_feature(row: Row, n_features: int) -> Row:
    for name in ("core_s", "wall_s"):
        if name in row:
            row[name] /= n_features
    row["note"] = "; ".join(part for part in (row.get("note", ""), f"per feature, of {n_features} really run") if part)
    return row


def _maps_agree(bench: Bench, data: str, relative: float, *, double: bool, tolerance: float, what: str) -> None:
    """Compare maps at one penalty with mtrf, which is given the same ridge in every training set."""
    few = {"n_features": min(_FEW, bench.size.n_single)}
    own = bench.measure(f"{OWN}:maps", data, take=few, options={"penalties": [relative], "double": double})
    peer = bench.measure(f"{PEERS}:mtrf_fixed", data, needs="mtrf", take=few, options={"relative": relative})
    apart = differences(own, peer) if not (own.problem or peer.problem) else {}
    row = bench.add("single", f"agreement: {what} precision, mtrf at one penalty", **apart)
    if own.problem or peer.problem:
        row["problem"] = peer.problem or own.problem
    row["note"] = f"{few['n_features']} features, every fold, and weights of all trials"
    bench.agree(f"single: maps are mtrf's, {what} precision", row, tolerance)


def rotated(bench: Bench) -> None:
    """Measure (c): every feature alone under rotations of the stimulus, the penalty chosen anew in each."""
    size, task = bench.size, "rotations"
    data, penalties = bench.data(size.n_single), penalties_for(size, "relative")
    for what, basis in (("every lag", None), (BASIS, BASIS)):
        _rotations_agree(bench, data, penalties, basis=basis, what=what)
    ours, exact = {}, None
    variants: dict[str, dict[str, Any]] = {"exact": {}, BASIS: {"basis": BASIS}, "early stopping": {"stop": STOP}}
    for name, extra in variants.items():
        found = _rotate(bench, data, penalties, **extra)
        exact = exact or found
        apart = differences(exact, found) if name == "early stopping" and not found.problem else {}
        row = bench.add(task, f"brainalign, {name}", found, **apart)
        ours[name] = _per_feature(row, size.n_rotated)
        if name == "early stopping" and not found.problem:
            row["note"] += f"; {100 * found.facts['scored']:.0f} % of the scores were needed"
            bench.agree("rotations: early stopping scores the same", row, 1e-5)
    uneven = bench.data(size.n_rotated, uneven=True)
    row = bench.add(task, "brainalign, 12 uneven trials", _rotate(bench, uneven, penalties))
    _per_feature(row, size.n_rotated)
    _nested_agrees(bench, data)
    rows = {refit.call: _refits(bench, data, refit) for refit in _REFITS}
    for row in rows.values():
        row["ratio"] = _over(row, ours["exact"])
    bench.ratio("rotations: mtrf refits take, nested as ours", rows["mtrf_nested"], ours["exact"], at_least=10_000)
    for name, call in ((BASIS, "mtrf_nested"), ("exact", "mtrf"), (BASIS, "mtrf")):
        apart = "nested as ours" if call == "mtrf_nested" else "not nested, a fifth of the scores"
        more = f", ours {name}" if name != "exact" else ""
        bench.claim(
            f"rotations: mtrf refits take, {apart}{more}", _over(rows[call], ours[name]), unit="x our core-seconds",
            target="reported", ok=None,
        )  # fmt: skip


def _rotate(bench: Bench, data: str, penalties: list[float], **extra: Any) -> Measured:
    options = {"penalties": penalties, "n_rotations": bench.size.n_rotations} | extra
    return bench.measure(f"{OWN}:rotations", data, take={"n_features": bench.size.n_rotated}, options=options)


def _nested_agrees(bench: Bench, data: str) -> None:
    """Compare nested scores of one feature with mtrf's, under its convention (silence around trials, no ring)."""
    options = {"penalties": penalties_for(bench.size, "mtrf")}
    take = {"n_features": 1}
    own = bench.measure(f"{OWN}:joint", data, take=take, options=options | {"convention": "mtrf", "nested": True})
    peer = bench.measure(f"{PEERS}:mtrf_nested", data, needs="mtrf", take=take, options=options)
    problem = own.problem or peer.problem
    apart = {} if problem else differences(own, peer)
    row = bench.add("rotations", "agreement: nested scores, mtrf", note="the data, silent edges", **apart)
    if problem:
        row["problem"] = problem
    bench.agree("rotations: nested scores are mtrf's", row, 1e-8)


def _refits(bench: Bench, data: str, refit: Refit) -> Row:
    """Fit one really shifted stimulus, and count it for the data and every rotation."""
    size, times = bench.size, bench.size.n_rotations + 1
    options = {"penalties": penalties_for(size, refit.convention), "shift": size.frames // 3}
    found = bench.measure(f"{PEERS}:{refit.call}", data, needs=refit.package, take={"n_features": 1}, options=options)
    note = f"extrapolated from 1 fit to a shifted stimulus, x {times:,}; {refit.note}"
    row = bench.add("rotations", refit.who, found, note=note)
    for second in ("core_s", "wall_s"):
        if second in row:
            row[second] *= times
    return row


def _rotations_agree(bench: Bench, data: str, penalties: list[float], *, basis: str | None, what: str) -> None:
    """Compare a few rotations with lag matrices of really shifted stimuli, nested by hand, in both precisions."""
    take = {"n_features": 1, "n_channels": min(_FEW_CHANNELS, bench.size.n_channels)}
    options: dict[str, Any] = {"penalties": penalties, "n_rotations": KEPT_ROTATIONS - 1, "basis": basis}
    by_hand = bench.measure(f"{PEERS}:rotated_by_hand", data, needs="sklearn", take=take, options=options)
    for precision, double, tolerance in (("float64", True, 1e-8), ("float32", False, _SINGLE)):
        own = bench.measure(f"{OWN}:rotations", data, take=take, options=options | {"double": double})
        problem = own.problem or by_hand.problem
        apart = {} if problem else differences(own, by_hand)
        row = bench.add("rotations", f"agreement: {what}, {precision}, scikit-learn on shifted stimuli", **apart)
        row["note"] = f"the data and {KEPT_ROTATIONS - 1} rotations, nested by hand"
        if problem:
            row["problem"] = problem
        bench.agree(f"rotations: {what} as refitted by hand, {precision}", row, tolerance)
