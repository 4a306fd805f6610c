"""In which layers is there anything, in which of their features, and where on the head? False discoveries on a tree.

A reader who is shown a layer asks how many shown layers are empty; one who is shown a layer's
features asks how many of these are. A false-discovery rate over all pairs of feature and channel answers
neither: a layer with a thousand true pairs makes room for fifty false ones, and those may be all there is
in another layer. Here each level answers for itself, given what was found above it.

TreeBH (Bogomolov, Peterson, Benjamini & Sabatti 2021) was chosen over the tree of Yekutieli (2008), whose
rate over the whole tree is bounded only by 2 x 1.44 times the level, because it bounds every level's own
rate by the level: the bar for a family sinks with the share that was selected above it. With one layer it is
the procedure of Benjamini & Bogomolov (2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brainalign.core.arrays import require_shape
from brainalign.core.errors import ShapeMismatch, ValueProblem

_ROUNDING = 1 + 1e-9  # counted p-values often lie exactly on a bar, where two orders of multiplying would disagree


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """What was found on each level of the tree.

    Attributes
    ----------
    layers
        Names, in the order in which they came first.
    layer_p, layer_found
        p-values of "nothing in this layer", and which were found, ``(n_layers,)``.
    feature_p, feature_found
        The same for features, ``(n_features,)``; found ones are in found layers.
    found
        Pairs of feature and channel, bool, ``(n_features, n_channels)``; in found features.
    level
        At which all this was done.
    note
        What is guaranteed, for reports.
    """

    layers: tuple[str, ...]
    layer_p: np.ndarray
    layer_found: np.ndarray
    feature_p: np.ndarray
    feature_found: np.ndarray
    found: np.ndarray
    level: float
    note: str


def simes(p: np.ndarray) -> np.ndarray:
    """Return one p-value of "no effect in any of these" along the last axis: ``min_i m p_(i) / i`` (Simes 1986).

    Exact for independent tests, and at most conservative for positively dependent ones
    (Sarkar 1998), as those of neighbouring sensors are.

    Parameters
    ----------
    p
        ``(..., m)``.

    Examples
    --------
    >>> simes(np.array([0.01, 0.04, 0.03]))
    array(0.03)
    """
    p = np.asarray(p, dtype=float)
    _require_p(p)
    if not p.shape[-1:] or not p.shape[-1]:
        raise ShapeMismatch("Simes' p-value needs p-values to combine", got=p.shape, fix="give one at least")
    m = p.shape[-1]
    return np.asarray((np.sort(p, axis=-1) * (m / np.arange(1, m + 1))).min(axis=-1))


def hierarchical_fdr(
    p: np.ndarray, *, layers: Sequence[str], level: float = 0.05, feature_p: np.ndarray | None = None
) -> Hierarchy:
    """Find layers, then features in found layers, then channels of found features, each at one level.

    1. A feature's p-value is Simes' over its channels, a layer's is Simes' over its features.
    2. Layers are found by Benjamini and Hochberg's procedure at ``level``.
    3. A found layer's features are found by the same at ``level * share of layers found``.
    4. A found feature's channels are found by it at ``level * share of layers * share of that layer's features``.

    Controlled is the selective false-discovery rate of each level: the expected share of
    empty layers among those found; the expected share of empty features among a found layer's,
    averaged over found layers; the expected share of empty channels among a found feature's,
    averaged over the found features of a layer and then over found layers. It is not the rate over
    all pairs taken together, which a layer with many discoveries would dominate.

    It is proved for independent p-values. Channels and features of one recording are not: where they
    correlate at 0.4 to 0.95, rates at level 0.1 were 0.03 to 0.09 (tests/calibration/test_hierarchy.py).
    Smaller p-values never find less.

    p-values that are counted, ``(1 + k) / (1 + B)``, need ``B`` beyond the number of features
    over the number found; `brainalign.core.result.NullTest.p_tail` reaches further.

    Parameters
    ----------
    p
        Uncorrected p-values, ``(n_features, n_channels)``.
    layers
        Each feature's layer.
    level
        The bound on each level's rate.
    feature_p
        Each feature's p-value of "on no channel", ``(n_features,)``, instead of Simes'. With strongly
        dependent channels the max-statistic finds more: `brainalign.stats.permutation.permutation_p` of a
        `brainalign.stats.permutation.NullSummary`'s ``maxima``. A feature may then be found on no channel.

    Examples
    --------
    >>> p = np.array([[0.001, 0.9], [0.8, 0.5], [0.4, 0.7]])
    >>> tree = hierarchical_fdr(p, layers=("6", "6", "12"))
    >>> tree.layer_found, tree.feature_found, tree.found[0]
    (array([ True, False]), array([ True, False, False]), array([ True, False]))
    """
    p = np.asarray(p, dtype=float)
    _require_table(p, layers=layers, level=level)
    of_features = simes(p) if feature_p is None else np.array(feature_p, dtype=float)
    require_shape(of_features.shape, (len(p),), name="feature_p", axes="features")
    _require_p(of_features)
    names = tuple(dict.fromkeys(layers))
    place = {name: k for k, name in enumerate(names)}
    layer_of = np.array([place[name] for name in layers])
    members = [np.flatnonzero(layer_of == k) for k in range(len(names))]
    layer_p = np.array([simes(of_features[own]) for own in members])
    layer_found = _step_up(layer_p, bars=np.asarray(level))

    feature_found, bars = np.zeros(len(p), dtype=bool), np.zeros(len(p))
    for k in np.flatnonzero(layer_found):
        own, bar = members[k], level * layer_found.mean()
        feature_found[own] = _step_up(of_features[own], bars=np.asarray(bar))
        bars[own] = bar * feature_found[own].mean()
    found = np.zeros(p.shape, dtype=bool)
    found[feature_found] = _step_up(p[feature_found], bars=bars[feature_found])
    return Hierarchy(names, layer_p, layer_found, of_features, feature_found, found, float(level), _note(level))


def _step_up(p: np.ndarray, *, bars: np.ndarray) -> np.ndarray:
    """Return what Benjamini and Hochberg's procedure finds along the last axis, each family at its bar."""
    m = p.shape[-1]
    steps = bars[..., None] * (_ROUNDING * np.arange(1, m + 1) / m)
    reached = np.sort(p, axis=-1) <= steps
    n_found = np.where(reached.any(axis=-1), m - reached[..., ::-1].argmax(axis=-1), 0)
    return p <= bars[..., None] * (_ROUNDING * n_found[..., None] / m)


def _note(level: float) -> str:
    return (
        f"TreeBH at {level:g}: the expected share of empty layers among those found, of empty features among a found "
        f"layer's, and of empty channels among a found feature's stays at or below {level:g} each, if tests are "
        "independent (positive dependence: by simulation)."
    )


def _require_table(p: np.ndarray, *, layers: Sequence[str], level: float) -> None:
    if p.ndim != 2 or not p.size:
        raise ShapeMismatch("p-values on a tree must be features by channels", got=p.shape, fix="give a table")
    if len(layers) != len(p):
        raise ShapeMismatch(
            "every feature must have its layer", got=f"{len(layers)} layers of {len(p)} features", fix="name each one's"
        )
    if not 0 < level < 1:
        raise ValueProblem("the level must lie between 0 and 1", got=level, fix="choose e.g. level=0.05")
    _require_p(p)


def _require_p(p: np.ndarray) -> None:
    fine = (p >= 0) & (p <= 1)
    if not fine.all():
        raise ValueProblem(
            "p-values must lie between 0 and 1",
            got=f"{p[~fine].flat[0]}, and {int((~fine).sum()) - 1} more like it",
            fix="leave out what was not tested, and correct the rest",
        )
