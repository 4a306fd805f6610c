"""Which features matter, and for how many listeners? Ranked contributions with every listener shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from brainalign.core.arrays import require_finite, require_shape
from brainalign.plots.style import DOUBLE, FAINT, FOUND, INK, OTHER, SINGLE, TRUTH, canvas, dot, drawn, key

ROW = 4.3
"""Height of one feature's row in millimetres."""


@drawn
def contribution_ranking(
    scores: np.ndarray,
    *,
    names: Sequence[str],
    highlighted: Collection[str] = (),
    significant: Collection[str] | None = None,
    top: int = 20,
    unit: str = "unique contribution (held-out r)",
    width: float = DOUBLE,
) -> Figure:
    """Draw features in order of their mean, with one point per listener and the standard error.

    Parameters
    ----------
    scores
        Shape ``(n_features, n_listeners)``, in `unit`.
    names
        One per feature.
    highlighted
        Names of planted features (vermilion).
    significant
        Names of significant features (filled dots; the others are hollow). None fills all.
    top
        How many features to draw, from the largest mean down.
    unit
        Of the horizontal axis.
    width
        Of the figure, in millimetres: 85 or 174.
    """
    scores = np.asarray(scores, dtype=float)
    require_shape(scores.shape, (len(names), scores.shape[-1]), name="scores", axes="features (names), listeners")
    require_finite(scores, name="scores", fix="leave out listeners without a score")
    mean, error = scores.mean(axis=1), standard_error(scores)
    order = np.argsort(-mean, kind="stable")[:top]
    figure = canvas(width, 20.0 + ROW * len(order))
    ax = figure.subplots()
    ax.axvline(0, color=INK, lw=0.6, zorder=1)
    for row, i in enumerate(order):
        colour = TRUTH if names[i] in highlighted else FOUND
        face = colour if significant is None or names[i] in significant else "white"
        ax.axhline(row, color=FAINT, lw=0.4, zorder=0)
        ax.plot(scores[i], np.full(scores.shape[1], row), "|", ms=5.0, mew=0.7, color=OTHER, zorder=2, gid="listeners")
        ax.plot(mean[i] + error[i] * np.array([-1, 1]), [row, row], color=colour, lw=1.8, zorder=3, gid="error")
        ax.plot([mean[i]], [row], "o", ms=4.8, mfc=face, mec=colour, mew=1.1, zorder=4, gid=f"mean:{names[i]}")
    ax.set_yticks(range(len(order)), [names[i] for i in order])
    for label, i in zip(ax.get_yticklabels(), order, strict=True):
        label.set_color(TRUTH if names[i] in highlighted else INK)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.set_xlabel(unit)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    _key(figure, has_highlight=bool(highlighted), has_hollow=significant is not None, narrow=width <= SINGLE)
    return figure


def standard_error(scores: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean over listeners (0 for a single one), shape ``(n_features,)``."""
    n = scores.shape[1]
    return scores.std(axis=1, ddof=1) / np.sqrt(n) if n > 1 else np.zeros(len(scores))


def _key(figure: Figure, *, has_highlight: bool, has_hollow: bool, narrow: bool) -> None:
    handles = [Line2D([], [], color=FOUND, lw=1.8, marker="o", ms=4.8, label="mean \u00b1 s.e.m.")]
    if has_highlight:
        handles.append(dot("planted", colour=TRUTH))
    handles.append(Line2D([], [], color=OTHER, ls="", marker="|", ms=5.0, label="one listener"))
    if has_hollow:
        handles.append(dot("not significant", colour=FOUND, filled=False))
    key(figure, handles, columns=2 if narrow else 0)
