"""When does the brain answer a feature? Temporal response functions over lag, and over the head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import ConnectionPatch
from matplotlib.ticker import MultipleLocator

from brainalign.core.arrays import require_finite, require_shape
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.plots.style import (
    DOUBLE,
    FAINT,
    FOUND,
    INK,
    MUTED,
    SINGLE,
    TRUTH,
    Corner,
    canvas,
    drawn,
    key,
    label_of,
    place,
    symmetric_limit,
    wrapped,
)
from brainalign.plots.topomap import BAR, colour_bar, draw_map, flatten_head

UNIT = "\u00b5V per unit"


@drawn
def trf_panel(
    coef: np.ndarray,
    lags: np.ndarray,
    *,
    title: str = "",
    highlight: int | None = None,
    channel: str = "",
    planted: float | None = None,
    found: float | None = None,
    unit: str = UNIT,
) -> Figure:
    """Draw one feature's response function: all channels in grey, one channel thick.

    Parameters
    ----------
    coef
        Shape ``(n_lags, n_channels)``, in `unit`.
    lags
        Shape ``(n_lags,)``, seconds; positive where the stimulus came earlier.
    title
        Written above.
    highlight
        Column of the thick channel; by default the one with the largest magnitude.
    channel
        Name of the thick channel.
    planted, found
        Latencies in seconds to mark: the simulated one and the recovered one.
    unit
        Of the vertical axis.
    """
    coef, lags = _checked(coef, lags)
    figure = canvas(SINGLE, 52.0)
    ax = figure.subplots()
    _butterfly(ax, coef, lags, highlight=highlight)
    _latencies(ax, planted=planted, found=found)
    _labels(ax, lags, limit=symmetric_limit(coef))
    ax.set(xlabel="lag (ms)", ylabel=unit, title=title)
    _key(figure, channel=channel or "strongest channel", has_planted=planted is not None, has_found=found is not None)
    return figure


@drawn
def trf_grid(
    coef: np.ndarray,
    lags: np.ndarray,
    *,
    titles: Sequence[str],
    highlights: Sequence[int] | None = None,
    planted: Sequence[float | None] | None = None,
    found: Sequence[float | None] | None = None,
    unit: str = UNIT,
) -> Figure:
    """Draw many features' response functions on one pair of axes' scales.

    Parameters
    ----------
    coef
        Shape ``(n_features, n_lags, n_channels)``, in `unit`.
    lags
        Shape ``(n_lags,)``, seconds.
    titles
        One per feature.
    highlights
        Column of the thick channel, one per feature; by default each feature's strongest.
    planted, found
        Latencies in seconds, one per feature; None where there is none.
    unit
        Of the vertical axes.
    """
    coef = np.asarray(coef, dtype=float)
    if coef.ndim != 3 or not len(coef):
        raise ShapeMismatch(
            "coef must be features, lags, channels, with at least one feature",
            got=coef.shape,
            fix="use trf_panel for one feature",
        )
    n = len(coef)
    lists = {"titles": titles, "highlights": highlights, "planted": planted, "found": found}
    for name, values in lists.items():
        if values is not None and len(values) != n:
            raise ShapeMismatch(f"{name} must have one entry per feature", got=len(values), fix=f"give {n} entries")
    limit = symmetric_limit(coef)
    columns = min(n, 4)
    rows = -(-n // columns)
    texts = wrapped(titles, characters=104 // columns)
    figure = canvas(DOUBLE if columns > 2 else SINGLE, 36.0 * rows + 11.0)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for i, ax in enumerate(grid.flat):
        if i >= n:
            ax.set_visible(False)
            continue
        part, times = _checked(coef[i], lags)
        _butterfly(ax, part, times, highlight=None if highlights is None else highlights[i])
        _latencies(ax, planted=planted[i] if planted else None, found=found[i] if found else None)
        _labels(ax, times, limit=limit, step=200.0)
        ax.set_title(texts[i])
        if i + columns >= n:
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("lag (ms)")
    figure.supylabel(unit, fontsize=7.5)
    channel = "strongest channel" if highlights is None else "best channel"
    _key(figure, channel=channel, has_planted=planted is not None, has_found=found is not None)
    return figure


@drawn
def trf_joint(
    coef: np.ndarray,
    lags: np.ndarray,
    *,
    channels: Sequence[str],
    positions: np.ndarray,
    title: str = "",
    peaks: Sequence[float] | None = None,
    planted: float | None = None,
    unit: str = UNIT,
) -> Figure:
    """Draw one feature's response function with maps of the head at its peaks.

    Parameters
    ----------
    coef
        Shape ``(n_lags, n_channels)``, in `unit`.
    lags
        Shape ``(n_lags,)``, seconds.
    channels, positions
        Sensor names and places in metres, head coordinates, shape ``(n_channels, 3)``.
    title
        Written above.
    peaks
        Up to five lags in seconds to map; by default the peaks of the spatial standard deviation.
    planted
        The simulated latency in seconds.
    unit
        Of the vertical axis and the colours.
    """
    coef, lags = _checked(coef, lags)
    head = flatten_head(positions, channels=channels)
    require_shape(coef.shape[1:], (len(channels),), name="coef", axes="lags, channels")
    rows = strongest_lags(coef) if peaks is None else tuple(int(np.argmin(np.abs(lags - peak))) for peak in peaks)
    if not 1 <= len(rows) <= 5:
        raise ValueProblem("there is room for one to five maps", got=len(rows), fix="name up to five lags in peaks=")
    limit = symmetric_limit(coef)
    width, height, side = 120.0, 87.0, 24.0
    figure = canvas(width, height)
    figure.set_layout_engine("none")
    ax = place(figure, box=(13.0, 14.0, width - 13.0 - BAR, 36.0))
    _butterfly(ax, coef, lags, highlight=None)
    _latencies(ax, planted=planted, found=None)
    _labels(ax, lags, limit=limit)
    ax.set(xlabel="lag (ms)", ylabel=unit)
    ax.patch.set_visible(False)
    figure.text(13.0 / width, 1 - 3.5 / height, title, fontsize=8.0, fontweight="bold", va="center")
    room = (width - 13.0 - BAR - side * len(rows)) / len(rows)
    for i, row in enumerate(sorted(rows)):
        left = 13.0 + room / 2 + i * (side + room)
        small = place(figure, box=(left, 54.0, side, side))
        image = draw_map(small, coef[row], head=head, limit=limit)
        small.set_title(f"{1000 * lags[row]:.0f} ms", loc="center", fontweight="normal", fontsize=7.5, pad=1.5)
        _tie(figure, small, ax, lag=1000 * lags[row], value=float(coef[row, np.argmax(np.abs(coef[row]))]))
    colour_bar(figure, image, box=(width - BAR + 3.0, 55.0, 2.2, side - 2.0), unit=unit)
    _key(figure, channel="strongest channel", has_planted=planted is not None, has_found=False, loc="lower left")
    return figure


def strongest_lags(coef: np.ndarray, *, n: int = 3, apart: int = 3, share: float = 0.25) -> tuple[int, ...]:
    """Return the lags where the map is strongest, at least `apart` lags from each other, in order of lag.

    Parameters
    ----------
    coef
        Shape ``(n_lags, n_channels)``.
    n, apart
        At most how many lags, and how many lags from each other.
    share
        Least strength (spatial standard deviation) of a peak, as a share of the largest.
    """
    power = np.asarray(coef, dtype=float).std(axis=1)
    inner = np.r_[-np.inf, power, -np.inf]
    is_peak = (power >= inner[:-2]) & (power >= inner[2:]) & (power >= share * power.max())
    chosen: list[int] = []
    for row in sorted(np.flatnonzero(is_peak), key=lambda row: -power[row]):
        if len(chosen) < n and all(abs(row - other) >= apart for other in chosen):
            chosen.append(int(row))
    return tuple(sorted(chosen))


def _checked(coef: np.ndarray, lags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    coef, lags = np.asarray(coef, dtype=float), np.asarray(lags, dtype=float)
    if coef.ndim != 2:
        raise ShapeMismatch("coef must be lags by channels", got=coef.shape, fix="select one feature")
    require_shape(coef.shape, (len(lags), coef.shape[1]), name="coef", axes="lags, channels")
    require_finite(coef, name="coef", fix="leave out the channels without a response function")
    return coef, lags


def _butterfly(ax: Axes, coef: np.ndarray, lags: np.ndarray, *, highlight: int | None) -> None:
    """Draw all channels thin and grey, one thick and blue, over lines at zero."""
    best = int(np.argmax(np.abs(coef).max(axis=0))) if highlight is None else int(highlight)
    ax.axhline(0, color=INK, lw=0.5, zorder=1)
    ax.axvline(0, color=INK, lw=0.5, zorder=1)
    rest = np.delete(coef, best, axis=1)
    if rest.size:
        ax.plot(1000 * lags, rest, color=FAINT, lw=0.45, zorder=2, gid="channels")
    ax.plot(1000 * lags, coef[:, best], color=FOUND, lw=1.6, zorder=4, gid="highlight")


def _latencies(ax: Axes, *, planted: float | None, found: float | None) -> None:
    """Mark the planted latency with a dashed line and the found one with a triangle on the axis."""
    if planted is not None:
        ax.axvline(1000 * planted, color=TRUTH, lw=1.0, ls=(0, (3, 2)), zorder=3, gid="planted")
    if found is not None:
        across = ax.get_xaxis_transform()
        ax.plot(
            [1000 * found], [0.03], "^", ms=4.0, color=FOUND, transform=across, clip_on=False, zorder=5, gid="found"
        )


def _labels(ax: Axes, lags: np.ndarray, *, limit: float, step: float = 100.0) -> None:
    """Set the limits and the ticks: every `step` ms across, the round limit and zero upwards."""
    ax.set(xlim=(1000 * lags[0], 1000 * lags[-1]), ylim=(-1.12 * limit, 1.12 * limit))
    ax.xaxis.set_major_locator(MultipleLocator(step))
    ax.set_yticks([-limit, 0.0, limit], [label_of(tick) for tick in (-limit, 0.0, limit)])


def _tie(figure: Figure, small: Axes, ax: Axes, *, lag: float, value: float) -> None:
    """Tie a map to its lag: a thin line to the axes' top, and down to the strongest channel's value."""
    top = ax.get_ylim()[1]
    ends: dict[str, Any] = {"axesA": small, "axesB": ax, "color": MUTED, "lw": 0.5, "zorder": 0}
    figure.add_artist(ConnectionPatch((0.5, 0.0), (lag, top), "axes fraction", "data", **ends))
    ax.plot([lag, lag], [value, top], color=MUTED, lw=0.5, zorder=2.5, gid="tie")
    ax.plot([lag], [value], "o", ms=2.6, color=INK, zorder=6, gid="peak")


def _key(
    figure: Figure, *, channel: str, has_planted: bool, has_found: bool, loc: Corner = "outside lower left"
) -> None:
    handles = [
        Line2D([], [], color=FOUND, lw=1.6, label=channel),
        Line2D([], [], color=FAINT, lw=0.8, label="other channels"),
    ]
    if has_planted:
        handles.append(Line2D([], [], color=TRUTH, lw=1.0, ls=(0, (3, 2)), label="planted latency"))
    if has_found:
        handles.append(Line2D([], [], color=FOUND, ls="", marker="^", ms=4.0, label="found latency"))
    key(figure, handles, loc=loc)
