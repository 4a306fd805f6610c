"""What does power look like? The share of studies that find a planted effect, from weak to strong."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks._power_methods import (
    CENTRED,
    CIRCULAR,
    CLUSTERS,
    MAX_T,
    METHODS,
    PAIRED_CLUSTERS,
    PAIRING,
    T_HOLM,
)
from brainalign.plots.style import CYCLE, DOUBLE, FAINT, FOUND, GOOD, INK, MUTED, canvas, drawn, save_png

_COLOURS = {
    PAIRING: FOUND,
    CIRCULAR: GOOD,
    PAIRED_CLUSTERS: CYCLE[5],
    CENTRED: INK,
    T_HOLM: CYCLE[4],
    CLUSTERS: CYCLE[3],
    MAX_T: MUTED,
}
_MARKS = dict(zip(METHODS, "os*^DvP", strict=True))


def draw(report: dict[str, Any], *, dpi: float = 200) -> bytes:
    """Return the figure of a report as PNG."""
    return save_png(_figure([row for row in report["rows"] if row["task"] == "power"]), dpi=dpi)


@drawn
def _figure(rows: list[dict[str, Any]]) -> Figure:
    scenarios = list(dict.fromkeys(row["scenario"] for row in rows))
    figure = canvas(DOUBLE, 84.0)
    panels = np.atleast_1d(figure.subplots(1, len(scenarios), sharey=True))
    for ax, scenario in zip(panels, scenarios, strict=True):
        _curves(ax, [row for row in rows if row["scenario"] == scenario])
        ax.set_title(scenario)
    panels[0].set_ylabel("studies that find the planted feature, %")
    handles = [Line2D([], [], color=_COLOURS[m], marker=_MARKS[m], ms=3.2, lw=1.2, label=m) for m in METHODS]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, columnspacing=2.0)
    return figure


def _curves(ax: Axes, rows: list[dict[str, Any]]) -> None:
    """Draw every method's power at equal error, with 95 % intervals, slightly apart."""
    gains = sorted({row["gain"] for row in rows})
    apart = 0.01 * (gains[-1] - gains[0])
    for place, method in enumerate(METHODS):
        own = [row for row in rows if row["method"] == method]
        x = np.array([row["gain"] for row in own]) + apart * (place - (len(METHODS) - 1) / 2)
        share, low, high = (100 * np.array([row["equal"][name] for row in own]) for name in ("share", "low", "high"))
        ax.vlines(x, low, high, color=_COLOURS[method], lw=0.7, alpha=0.6)
        ax.plot(x, share, color=_COLOURS[method], marker=_MARKS[method], ms=3.0, lw=1.2)
    ax.axhline(5, color=FAINT, lw=0.8, zorder=0)
    ax.set(ylim=(-2, 102), xlabel="planted effect, standard deviations of the noise")
