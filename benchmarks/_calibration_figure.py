"""What does calibration look like? Realised against nominal rates, and every correction's family-wise error."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from scipy import stats

from benchmarks._calibration_report import NAIVE, T_TEST
from brainalign.plots.style import CYCLE, DOUBLE, FAINT, INK, MUTED, TRUTH, canvas, drawn, save_png

_NULLS = ("circular-shift", "pairing", "phase", "blocks", "freedman-lane", "sign-flip")
_COLOURS = dict(zip(_NULLS, (CYCLE[0], CYCLE[2], CYCLE[3], CYCLE[4], CYCLE[5], INK), strict=True))
_MARKS = dict(zip(_NULLS, "osD^vP", strict=True))
_LABELS = {"holm": "Holm", "benjamini-hochberg": "Benjamini-Hochberg", "benjamini-yekutieli": "Benjamini-Yekutieli"}


def draw(report: dict[str, Any], *, dpi: float = 200) -> bytes:
    """Return the figure of a report as PNG."""
    return save_png(_figure(report["rows"]), dpi=dpi)


@drawn
def _figure(rows: list[dict[str, Any]]) -> Figure:
    figure = canvas(DOUBLE, 84.0)
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.15))
    _curves(left, [row for row in rows if row["task"] == "curve"])
    _families(right, [row for row in rows if row["task"] == "family" and row["level"] == 0.05])
    return figure


def _curves(ax: Axes, rows: list[dict[str, Any]]) -> None:
    """Draw realised shares over nominal levels, both logarithmic, above the band of the fewest tests."""
    levels = np.array(rows[0]["levels"])
    fewest = min(row["tests"] for row in rows)
    low, high = (stats.binom.ppf(edge, fewest, levels) / fewest for edge in (0.005, 0.995))
    ax.fill_between(levels, np.maximum(low, 1e-5), high, color=FAINT, alpha=0.45, lw=0)
    ax.plot(levels, levels, color=MUTED, lw=0.7)
    for row in rows:
        shares = np.array(row["shares"])
        shown = shares > 0
        if row["null"] == NAIVE:
            ax.plot(levels[shown], shares[shown], color=TRUTH, lw=1.6)
            ax.annotate("frames taken for samples", (levels[0] * 1.1, 0.62), color=TRUTH, fontsize=7)
        elif row["null"] != T_TEST:
            ax.plot(levels[shown], shares[shown], color=_COLOURS[row["null"]], lw=1.0, label=row["null"])
    ax.set(xscale="log", yscale="log", xlim=(levels[0], levels[-1]), ylim=(3e-4, 1.0))
    ax.set(xlabel="nominal level", ylabel="realised share of false positives", title="single tests, no effect")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator([0.001, 0.01, 0.05, 0.5]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.legend(loc="lower right", title=f"grey: 99 % of {fewest:,} tests", title_fontsize=7)


def _families(ax: Axes, rows: list[dict[str, Any]]) -> None:
    """Draw every correction's share of families with any finding, one row per correction."""
    names = list(dict.fromkeys(row["correction"] for row in rows))
    for row in rows:
        line = names.index(row["correction"]) + 0.11 * (_NULLS.index(row["null"]) - 2.5)
        colour = _COLOURS[row["null"]]
        ax.plot([100 * row["low"], 100 * row["high"]], [line, line], color=colour, lw=0.9)
        ax.plot([100 * row["share"]], [line], _MARKS[row["null"]], color=colour, ms=2.8)
    ax.axvline(5, color=INK, lw=0.9, ls=(0, (3, 2)))
    ax.set_yticks(range(len(names)), [_LABELS.get(name, name) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, None)
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="families with any finding at 0.05, % (99 %)", title="corrected, no effect")
