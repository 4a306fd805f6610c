"""Is it more than chance? The null of the largest statistic, and p-values that should be uniform."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.plots.style import DOUBLE, FAINT, FOUND, INK, MUTED, SINGLE, TRUTH, canvas, dot, drawn, key


@drawn
def null_histogram(
    maxima: np.ndarray,
    *,
    threshold: float,
    observed: Mapping[str, float],
    highlighted: Collection[str] = (),
    alpha: float = 0.05,
    statistic: str = "largest studentised statistic",
) -> Figure:
    """Draw the null of the maximum, and below it where each feature stands.

    Parameters
    ----------
    maxima
        Shape ``(1 + B,)``: each permutation's largest statistic; entry 0 is the data's own and is not
        drawn in the histogram.
    threshold
        The value a feature must pass.
    observed
        Feature name -> its statistic, drawn one row each, largest first.
    highlighted
        Names of planted features.
    alpha
        Error rate that `threshold` stands for.
    statistic
        What the horizontal axis measures.
    """
    maxima = _line(maxima, name="maxima")
    if len(maxima) < 2:
        raise ValueProblem("a null needs at least one permutation", got="0", fix="raise n_permutations")
    names = sorted(observed, key=lambda name: -observed[name])
    rows = max(1, len(names))
    figure = canvas(DOUBLE, 44.0 + 3.9 * rows)
    ax, strip = figure.subplots(2, 1, sharex=True, height_ratios=(32.0, 3.9 * rows + 3.0))
    edges = _edges(maxima[1:])
    ax.hist(maxima[1:], bins=edges, color=FAINT, edgecolor="white", lw=0.4, gid="null")
    ax.set_ylabel("permutations")
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.axvline(threshold, color=INK, lw=0.9, ls=(0, (3, 2)), gid="threshold")
    text = f"{100 * alpha:g} % of permutations exceed {threshold:.3g}"
    ax.annotate(
        text, (threshold, 0.98), (4, 0), xycoords=ax.get_xaxis_transform(), textcoords="offset points", va="top"
    )
    ax.tick_params(labelbottom=False)
    _strip(strip, [observed[name] for name in names], names=names, highlighted=highlighted, threshold=threshold)
    strip.set_xlabel(statistic)
    everything = [*maxima[1:], threshold, *observed.values()]
    low, high = min(everything), max(everything)
    span = high - low or 1.0
    strip.set_xlim(low - 0.04 * span, high + 0.06 * span)
    return figure


def _strip(ax: Axes, values: list[float], *, names: list[str], highlighted: Collection[str], threshold: float) -> None:
    """Draw one dot per feature on a row of its own; planted ones vermilion, hollow where below the threshold."""
    ax.axvline(threshold, color=INK, lw=0.9, ls=(0, (3, 2)))
    for row, (name, value) in enumerate(zip(names, values, strict=True)):
        colour = TRUTH if name in highlighted else FOUND
        ax.axhline(row, color=FAINT, lw=0.4, zorder=0)
        face = colour if value > threshold else "white"
        ax.plot([value], [row], "o", ms=4.2, mfc=face, mec=colour, mew=1.0, gid=f"observed:{name}")
    ax.set_yticks(range(len(names)), names)
    for label, name in zip(ax.get_yticklabels(), names, strict=True):
        label.set_color(TRUTH if name in highlighted else INK)
    ax.set_ylim(max(1, len(names)) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    if highlighted:
        key(ax.figure.figure, [dot("planted", colour=TRUTH), dot("other", colour=FOUND)], loc="outside lower right")


@drawn
def p_uniformity(p: np.ndarray, *, label: str = "decoy features", coverage: float = 0.95) -> Figure:
    """Draw sorted p-values against those expected if no feature had an effect.

    Parameters
    ----------
    p
        Shape ``(n,)``: one p-value per feature without an effect. The band assumes that they
        are independent, so give one value per feature, not one per sensor.
    label
        Whose p-values they are.
    coverage
        Probability that a sorted p-value lies in the band.
    """
    p = np.sort(_line(p, name="p"))
    if not len(p) or p[0] <= 0 or p[-1] > 1:
        raise ValueProblem(
            "p-values lie above 0 and up to 1",
            got=f"{len(p)} values" + (f" from {p[0]:g} to {p[-1]:g}" if len(p) else ""),
            fix="count the identity among the permutations",
        )
    n, order = len(p), np.arange(1, len(p) + 1)
    expected = order / (n + 1)
    low, high = stats.beta.ppf([[(1 - coverage) / 2], [(1 + coverage) / 2]], order, n + 1 - order)
    figure = canvas(SINGLE, 78.0)
    ax = figure.subplots()
    ax.fill_between(
        expected, low, high, color=FAINT, alpha=0.45, lw=0, gid="band", label=f"{100 * coverage:g} % under no effect"
    )
    ax.plot([0, 1], [0, 1], color=MUTED, lw=0.7, label="uniform")
    ax.plot(expected, p, "o", ms=2.6, mfc=FOUND, mec="none", gid="p", label=label)
    share = float(np.mean(p <= 0.05))
    ax.text(0.97, 0.05, f"{100 * share:.1f} % at p \u2264 0.05", ha="right", transform=ax.transAxes)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="expected p", ylabel="observed p", aspect="equal")
    ax.legend(loc="upper left")
    return figure


def _line(values: np.ndarray, *, name: str) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise ShapeMismatch(f"{name} must have one axis", got=values.shape, fix="pass a flat array")
    require_finite(values, name=name, fix="leave out what could not be tested")
    return values


def _edges(values: np.ndarray) -> np.ndarray:
    """Cut the range into bins of Freedman and Diaconis' width, between 8 and 60 of them."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.linspace(low - 0.5, low + 0.5, 9)
    quarter, three = np.percentile(values, [25, 75])
    width = 2 * (three - quarter) / len(values) ** (1 / 3)
    n = int(np.clip((high - low) / width if width > 0 else 8, 8, 60))
    return np.linspace(low, high, n + 1)
