"""Where on the head is a feature heard? Small maps that share one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mne
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from brainalign.core.arrays import read_only, require_finite, require_shape
from brainalign.core.errors import ShapeMismatch, ValueProblem, unknown_name
from brainalign.plots.style import (
    DOUBLE,
    INK,
    MILLIMETRE,
    SINGLE,
    TRUTH,
    canvas,
    diverging,
    dot,
    drawn,
    key,
    label_of,
    place,
    symmetric_limit,
    wrapped,
)

PLAUSIBLE_RADIUS = (0.06, 0.13)
"""Radii in metres that a head can have; MNE's default of 0.095 is used otherwise."""
EDGE, GAP, BAR, LINE = 0.8, 3.0, 18.0, 3.4
COLUMNS = {3: 3, 4: 4, 5: 5, 6: 3, 7: 4, 8: 4}
"""Left of the maps, between them, for the colour bar, and for one line of a title, in millimetres."""


@dataclass(frozen=True, eq=False)
class FlatHead:
    """Sensors seen from above.

    Parameters
    ----------
    channels
        Sensor names.
    places
        Shape ``(n_channels, 2)``, metres: x to the right ear, y to the nose; a sensor on the
        equator of the head lies `radius` from the middle (azimuthal equidistant projection).
    radius
        Of the drawn head, in metres.
    """

    channels: tuple[str, ...]
    places: np.ndarray
    radius: float


def flatten_head(positions: np.ndarray, *, channels: Sequence[str]) -> FlatHead:
    """Project sensors in head coordinates (metres, shape ``(n_channels, 3)``) onto a plane.

    The sphere is fitted to the sensors, so that a cap whose origin lies between the ears
    and one whose origin lies in the brain give the same picture.
    """
    positions = np.array(positions, dtype=float)
    require_shape(positions.shape, (len(channels), 3), name="positions", axes="channels, xyz in metres")
    require_finite(positions, name="sensor positions", fix="leave out the channels without a position")
    centre, radius = _fitted_sphere(positions)
    x, y, z = (positions - centre).T
    distance = np.sqrt(x**2 + y**2 + z**2)
    polar = np.arccos(np.clip(z / np.where(distance > 0, distance, 1.0), -1, 1))
    azimuth = np.arctan2(y, x)
    flat = distance * polar / (np.pi / 2)
    places = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth)], axis=1)
    return FlatHead(tuple(channels), read_only(places), radius)


def _fitted_sphere(positions: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit ``|p - c| = r`` by least squares: ``2 p.c + (r^2 - |c|^2) = |p|^2`` is linear in both unknowns."""
    system = np.hstack([2 * positions, np.ones((len(positions), 1))])
    solution, _, rank, _ = np.linalg.lstsq(system, (positions**2).sum(axis=1), rcond=1e-3)
    centre = solution[:3]
    radius = float(np.sqrt(max(0.0, solution[3] + centre @ centre)))
    if rank < 4 or not PLAUSIBLE_RADIUS[0] <= radius <= PLAUSIBLE_RADIUS[1]:
        return np.zeros(3), 0.095
    return centre, radius


@drawn
def score_topomaps(
    maps: np.ndarray,
    *,
    titles: Sequence[str],
    channels: Sequence[str],
    positions: np.ndarray,
    significant: np.ndarray | None = None,
    marked: Sequence[Sequence[str]] | None = None,
    unit: str = "held-out r",
    limit: float | None = None,
) -> Figure:
    """Draw one map per feature, all on one colour scale with zero in the middle.

    Parameters
    ----------
    maps
        Shape ``(n_features, n_channels)``, in `unit`.
    titles
        One per feature; a second line may carry a number.
    channels, positions
        Sensor names and places in metres, head coordinates, shape ``(n_channels, 3)``.
    significant
        Shape ``(n_features, n_channels)``, bool: sensors drawn as white dots.
    marked
        Per feature, names of sensors to ring (such as those above a planted source).
    unit
        What the colours mean.
    limit
        Value at the ends of the colour scale; by default the largest magnitude in `maps`.

    Returns
    -------
    matplotlib.figure.Figure
        85 mm wide for one or two maps, 174 mm otherwise. The maps' axes come first, the colour bar's last.
    """
    maps = np.asarray(maps, dtype=float)
    require_shape(maps.shape, (len(titles), len(channels)), name="maps", axes="features (titles), channels")
    head = flatten_head(positions, channels=channels)
    scale = symmetric_limit(maps) if limit is None else float(limit)
    if not len(maps) or not scale > 0:
        raise ValueProblem(
            "there must be a map to draw and a positive limit",
            got=f"{len(maps)} maps, limit {scale:g}",
            fix="select at least one feature; leave limit= out",
        )
    masks = _masks(significant, shape=maps.shape)
    rings = _rings(marked, n_features=len(maps), head=head)
    figure, axes = _grid(titles, has_key=significant is not None or marked is not None)
    images = [
        draw_map(ax, maps[i], head=head, limit=scale, significant=masks[i], marked=rings[i])
        for i, ax in enumerate(axes)
    ]
    width, height = figure.get_size_inches() / MILLIMETRE
    tall = min(30.0, height - 14.0)
    colour_bar(figure, images[0], box=(width - BAR + 1.8, (height - tall) / 2, 2.2, tall), unit=unit)
    _key(figure, has_significant=significant is not None, has_marked=marked is not None)
    return figure


def draw_map(
    axes: Axes,
    values: np.ndarray,
    *,
    head: FlatHead,
    limit: float,
    significant: np.ndarray | None = None,
    marked: Sequence[int] = (),
) -> AxesImage:
    """Draw one map with its sensors into axes (shape of `values` ``(n_channels,)``); return the image."""
    image: AxesImage
    image, _ = mne.viz.plot_topomap(
        np.asarray(values, dtype=float),
        np.array(head.places),
        sphere=(0.0, 0.0, 0.0, head.radius),
        axes=axes,
        show=False,
        sensors=False,
        contours=0,
        cmap=diverging(),
        vlim=(-limit, limit),
        res=128,
    )
    mask = np.zeros(len(values), dtype=bool) if significant is None else np.asarray(significant, dtype=bool)
    x, y = head.places.T
    size = float(np.clip(axes.get_window_extent().width / axes.figure.dpi / MAP_INCH, 0.55, 1.15))
    _dots(axes, (x[~mask], y[~mask]), "sensor", size=0.9 * size, face=INK, edge="none")
    _dots(axes, (x[mask], y[mask]), "significant", size=3.1 * size, face="white", edge=INK)
    if len(marked):
        chosen = np.asarray(marked, dtype=int)
        _dots(axes, (x[chosen], y[chosen]), "marked", size=6.2 * size, face="none", edge=TRUTH)
    for line in axes.lines:
        line.set_clip_on(False)
        if line.get_gid() is None:
            line.set(linewidth=0.7, color=INK)
    return image


MAP_INCH = 1.4
"""Width of the map for which dot sizes are given, in inches."""


def _dots(axes: Axes, places: tuple[np.ndarray, np.ndarray], gid: str, *, size: float, face: str, edge: str) -> None:
    """Draw dots that can be found again by their id."""
    width = 1.1 if face == "none" else 0.6
    axes.plot(
        *places,
        ls="",
        marker="o",
        ms=size,
        mfc=face,
        mec=edge,
        mew=width,
        gid=gid,
        zorder=6,
        scalex=False,
        scaley=False,
    )


def _masks(significant: np.ndarray | None, *, shape: tuple[int, ...]) -> np.ndarray:
    if significant is None:
        return np.zeros(shape, dtype=bool)
    mask = np.asarray(significant, dtype=bool)
    require_shape(mask.shape, shape, name="significant", axes="features, channels")
    return mask


def _rings(marked: Sequence[Sequence[str]] | None, *, n_features: int, head: FlatHead) -> list[list[int]]:
    if marked is None:
        return [[] for _ in range(n_features)]
    if len(marked) != n_features:
        raise ShapeMismatch("marked must have one list per feature", got=len(marked), fix=f"give {n_features} lists")
    for name in (name for names in marked for name in names if name not in head.channels):
        raise unknown_name(name, among=head.channels, kind="channel")
    return [[head.channels.index(name) for name in names] for names in marked]


def _grid(titles: Sequence[str], *, has_key: bool) -> tuple[Figure, list[Axes]]:
    """Lay the maps out in full rows where that can be, each map square, in millimetres from the edge."""
    n = len(titles)
    width, columns = (SINGLE, n) if n <= 2 else (DOUBLE, COLUMNS.get(n, 5))
    side = (width - EDGE - BAR - GAP * (columns - 1)) / columns
    side = min(side, 37.0)
    texts = wrapped(titles, characters=max(8, int(side * 0.72)))
    head = LINE * max(text.count("\n") + 1 for text in texts) + 1.5
    rows = -(-n // columns)
    foot = 5.5 if has_key else 0.5
    height = rows * (side + head) + (rows - 1) * GAP + foot + 1.0
    figure = canvas(width, height)
    figure.set_layout_engine("none")
    axes = []
    for i, text in enumerate(texts):
        row, column = divmod(i, columns)
        bottom = foot + (rows - 1 - row) * (side + head + GAP)
        left = EDGE + column * (side + GAP)
        ax = place(figure, box=(left, bottom, side, side))
        middle = (left + side / 2) / width
        figure.text(
            middle, (bottom + side + 1.0) / height, text, ha="center", va="bottom", linespacing=1.25, gid="title"
        )
        axes.append(ax)
    return figure, axes


def colour_bar(figure: Figure, image: AxesImage, *, box: tuple[float, float, float, float], unit: str) -> None:
    """Add the bar of a symmetric scale in a box given in millimetres, its unit beside it."""
    limit = float(image.get_clim()[1] or 0.0)
    ticks = [-limit, -limit / 2, 0.0, limit / 2, limit]
    bar = figure.colorbar(image, cax=place(figure, box=box), ticks=ticks)
    bar.ax.set_yticks(ticks, [label_of(tick) for tick in ticks])
    bar.ax.tick_params(length=1.8, pad=1.5)
    bar.ax.set_ylabel(unit, fontsize=7.0, labelpad=2.0)
    bar.outline.set_linewidth(0.4)


def _key(figure: Figure, *, has_significant: bool, has_marked: bool) -> None:
    handles = []
    if has_significant:
        handles.append(
            Line2D([], [], ls="", marker="o", mfc="white", mec=INK, mew=0.6, ms=3.4, label="significant sensor")
        )
        handles.append(Line2D([], [], ls="", marker="o", mfc=INK, mec="none", ms=1.4, label="other sensor"))
    if has_marked:
        handles.append(dot("above the planted source", colour=TRUTH, size=6.0, filled=False))
    if handles:
        key(figure, handles, loc="lower left")
