"""Were the listeners' response functions on test data as development data said? One panel per feature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from brainalign.core.arrays import require_shape
from brainalign.core.errors import ShapeMismatch
from brainalign.plots.style import (
    DOUBLE,
    FAINT,
    FOUND,
    INK,
    OTHER,
    SINGLE,
    canvas,
    dot,
    drawn,
    key,
    label_of,
    symmetric_limit,
    wrapped,
)

DASHED = (0, (4, 2))


@drawn
def lag_test_grid(
    development: np.ndarray,
    test: np.ndarray,
    lags: np.ndarray,
    *,
    titles: Sequence[str],
    extremes: np.ndarray,
    significant: np.ndarray,
    unit: str,
) -> Figure:
    """Draw each feature's response functions, and the two lags at which it was tested.

    Parameters
    ----------
    development
        Mean over listeners on development data, shape ``(n_features, n_lags)``, in `unit`.
    test
        Every listener's on test data, ``(n_features, n_lags, n_listeners)``.
    lags
        Shape ``(n_lags,)``, seconds.
    titles
        One per feature.
    extremes
        Lags of the trough and of the peak on development data, in seconds, ``(n_features, 2)``.
    significant
        Whether each was found on test data, ``(n_features, 2)``, bool.
    unit
        Of the vertical axes.
    """
    n = len(titles)
    if test.ndim != 3 or not n or len(test) != n:
        raise ShapeMismatch("test must be features, lags, listeners", got=test.shape, fix="give one title per feature")
    require_shape(development.shape, test.shape[:2], name="development", axes="features, lags")
    for name, array in (("extremes", extremes), ("significant", significant)):
        require_shape(np.shape(array), (n, 2), name=name, axes="features; trough, peak")
    columns = min(n, 4)
    rows = -(-n // columns)
    figure = canvas(DOUBLE if columns > 2 else SINGLE, 36.0 * rows + 11.0)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    texts, limit = wrapped(titles, characters=104 // columns), symmetric_limit(test)
    for i, ax in enumerate(grid.flat):
        if i >= n:
            ax.set_visible(False)
            continue
        _lines(ax, development[i], test[i], lags=lags)
        _dots(ax, test[i].mean(axis=1), lags=lags, at=extremes[i], found=significant[i])
        ax.set(xlim=(1000 * lags[0], 1000 * lags[-1]), ylim=(-1.12 * limit, 1.12 * limit), yticks=[-limit, 0, limit])
        ax.set_yticklabels([label_of(value) for value in (-limit, 0, limit)])
        ax.set_title(texts[i])
        if i + columns >= n:
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("lag (ms)")
    figure.supylabel(unit, fontsize=7.5)
    key(figure, _handles())
    return figure


def _lines(ax: Axes, development: np.ndarray, test: np.ndarray, *, lags: np.ndarray) -> None:
    ax.axhline(0, color=INK, lw=0.5, zorder=1)
    ax.plot(1000 * lags, test, color=FAINT, lw=0.45, zorder=2, gid="listeners")
    ax.plot(1000 * lags, development, color=OTHER, lw=1.0, ls=DASHED, zorder=3, gid="development")
    ax.plot(1000 * lags, test.mean(axis=1), color=FOUND, lw=1.4, zorder=4, gid="test")


def _dots(ax: Axes, mean: np.ndarray, *, lags: np.ndarray, at: np.ndarray, found: np.ndarray) -> None:
    for lag, is_found in zip(at, found, strict=True):
        value = np.interp(lag, lags, mean)
        face = FOUND if is_found else "white"
        ax.plot([1000 * lag], [value], "o", ms=4.6, mfc=face, mec=FOUND, mew=1.0, zorder=5, gid="tested")


def _handles() -> list[Line2D]:
    return [
        Line2D([], [], color=FOUND, lw=1.4, label="test data, mean"),
        Line2D([], [], color=FAINT, lw=0.8, label="listeners"),
        Line2D([], [], color=OTHER, lw=1.0, ls=DASHED, label="development data, mean"),
        dot("tested lag: found", colour=FOUND),
        dot("not found", colour=FOUND, filled=False),
    ]
