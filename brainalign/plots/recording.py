"""Can this recording be trusted? One page: spectra, sensors, and what was kept of its time."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch

from brainalign.core.errors import ValueProblem
from brainalign.plots.style import (
    DOUBLE,
    FAINT,
    GOOD,
    INK,
    MUTED,
    TRUTH,
    canvas,
    diverging,
    drawn,
    label_of,
    place,
)
from brainalign.plots.topomap import FlatHead, flatten_head

HEIGHT = 98.0
DEVIATION = 5.0
"""Robust z at the ends of the sensors' colours: from here on `BadChannels` calls a channel bad."""
FEWEST_PLACES = 4
MAP_POINTS = 44.0 / 25.4 * 72
"""Width of the map in points."""
NAME_WIDTH, NAME_HEIGHT, NAME_RISE = 3.9, 6.5, 7.5
"""Of a letter, of a line, and from a sensor's middle to its name's, in points."""
MOST_NAMES, MOST_LINES, CHARACTERS = 16, 17, 35
MOST_LINES_DRAWN = 300
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class RecordingFacts(Protocol):
    """What is known of one recording before and after cleaning (``brainalign.eeg.quality.Quality`` is one).

    Units are hertz, dB re 1 microvolt squared per hertz, metres, seconds, and shares from 0 to 1.
    """

    @property
    def label(self) -> str:
        """Whose it is."""
        ...

    @property
    def minutes(self) -> float:
        """Length."""
        ...

    @property
    def channels(self) -> Sequence[str]:
        """Names."""
        ...

    @property
    def bad_channels(self) -> Sequence[str]:
        """Some of the channels."""
        ...

    @property
    def reasons(self) -> Sequence[str]:
        """Why each of them is bad, in their order."""
        ...

    @property
    def positions(self) -> Sequence[Sequence[float]]:
        """Of the channels; empty where unknown."""
        ...

    @property
    def deviations(self) -> Sequence[float]:
        """Robust z of each channel's log variance."""
        ...

    @property
    def flat_shares(self) -> Sequence[float]:
        """Of each channel's time."""
        ...

    @property
    def clipped_shares(self) -> Sequence[float]:
        """Of each channel's time."""
        ...

    @property
    def frequencies(self) -> Sequence[float]:
        """Of the medians."""
        ...

    @property
    def psd_before(self) -> Sequence[float]:
        """Median channel before cleaning."""
        ...

    @property
    def psd_after(self) -> Sequence[float]:
        """Median channel after cleaning."""
        ...

    @property
    def channel_frequencies(self) -> Sequence[float]:
        """Of the channels' own spectra."""
        ...

    @property
    def channel_psd(self) -> Sequence[Sequence[float]]:
        """One spectrum per channel, before cleaning."""
        ...

    @property
    def line_hz(self) -> float | None:
        """The mains' frequency."""
        ...

    @property
    def line_decibels(self) -> float | None:
        """How far it stood out before cleaning."""
        ...

    @property
    def line_decibels_after(self) -> float | None:
        """How far it stands out after cleaning."""
        ...

    @property
    def kept_share(self) -> float:
        """Share of the time that is not masked."""
        ...

    @property
    def bad_spans(self) -> Sequence[Sequence[float]]:
        """First and last second of what is masked."""
        ...


@drawn
def recording_page(found: RecordingFacts) -> Figure:
    """Draw one recording: every channel's spectrum, the sensors with the bad ones named, and the kept time.

    Parameters
    ----------
    found
        The recording's numbers.

    Returns
    -------
    matplotlib.figure.Figure
        174 mm wide; its axes are the spectra, the sensors, and the strip of time (and a colour bar).
    """
    if len(found.channel_psd) != len(found.channels) or len(found.deviations) != len(found.channels):
        raise ValueProblem(
            f"{found.label or 'the recording'} was judged without its channels' own numbers",
            got=f"{len(found.channel_psd)} spectra and {len(found.deviations)} deviations of "
            f"{len(found.channels)} channels",
            fix="judge it again with brainalign.eeg.quality.quality",
        )
    figure = canvas(DOUBLE, HEIGHT)
    figure.set_layout_engine("none")
    _heading(figure, found)
    _spectra(place(figure, box=(12.5, 35.0, 67.0, 48.0)), found)
    image = _sensors(place(figure, box=(84.0, 37.0, 44.0, 46.0)), found)
    _strip(place(figure, box=(12.5, 9.0, 158.0, 4.5)), found)
    if image is not None:
        _bar(figure, image)
    _reasons(figure, found)
    return figure


def _heading(figure: Figure, found: RecordingFacts) -> None:
    lost = sum(1 for spot in found.positions if not len(spot)) + len(found.channels) - len(found.positions)
    places = "all sensors placed" if not lost else f"{lost} of {len(found.channels)} sensors without a position"
    facts = [f"{found.minutes:.1f} min", f"{_percent(found.kept_share)} kept", _hum(found), places]
    figure.text(2 / DOUBLE, 1 - 2.5 / HEIGHT, found.label, ha="left", va="top", weight="bold", fontsize=9.0)
    told = "   \u00b7   ".join(facts)
    figure.text(2 / DOUBLE, 1 - 7.5 / HEIGHT, told, ha="left", va="top", color=MUTED, gid="facts")


def _percent(share: float) -> str:
    """Write a share so that neither a little lost nor a little kept is rounded away."""
    text = f"{100 * share:.1f}".removesuffix(".0")
    return f"{'<100' if share < 1 and text == '100' else text} %"


def _hum(found: RecordingFacts) -> str:
    if found.line_decibels is None:
        return "no mains in its band"
    after = "" if found.line_decibels_after is None else f", {_level(found.line_decibels_after)} after cleaning"
    return f"{found.line_hz:g} Hz mains {_level(found.line_decibels)} above its neighbours{after}"


def _level(decibels: float) -> str:
    """Write a level to the whole decibel, without a minus before a zero."""
    return f"{label_of(round(decibels) + 0.0)} dB"


def _spectra(axes: Axes, found: RecordingFacts) -> None:
    hertz, rows = np.asarray(found.channel_frequencies), np.asarray(found.channel_psd)
    bad = np.isin(found.channels, found.bad_channels)
    for row in rows[~bad][:MOST_LINES_DRAWN]:
        axes.plot(hertz, row, color=FAINT, lw=0.5, alpha=0.8, zorder=1, gid="channel")
    for row in rows[bad]:
        axes.plot(hertz, row, color=TRUTH, lw=0.7, alpha=0.9, zorder=2, gid="bad channel")
    full = np.asarray(found.frequencies)
    positive = full > 0
    axes.plot(full[positive], np.asarray(found.psd_before)[positive], color=INK, lw=1.2, zorder=3, gid="before")
    axes.plot(full[positive], np.asarray(found.psd_after)[positive], color=GOOD, lw=1.4, zorder=4, gid="after")
    # The stop band of a filter lies 100 dB down and would flatten everything else; so would a dead channel.
    good = rows[~bad] if (~bad).any() else rows
    low, high = float(np.percentile(good, 1)) - 14, float(max(rows.max(), np.max(found.psd_before))) + 3
    first, last = float(hertz[0]), float(hertz[-1])
    axes.set(xscale="log", xlim=(max(first, 0.4), last), ylim=(low, high), xlabel="frequency (Hz)")
    axes.set_ylabel("power (dB re 1 \u00b5V\u00b2/Hz)")
    ticks = [tick for tick in TICKS if first <= tick <= last]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    if found.line_hz is not None:
        axes.axvline(found.line_hz, color=MUTED, lw=0.6, ls=(0, (2, 2)), zorder=0, gid="mains")
        axes.annotate(
            "mains", (found.line_hz, 1), (-2, -1), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
            ha="right", va="top", fontsize=6.5, color=MUTED,
        )  # fmt: skip
    shades = (("good channel", FAINT), ("bad channel", TRUTH), ("median before", INK), ("median after", GOOD))
    lines = [Line2D([], [], color=shade, lw=1.4, label=name) for name, shade in shades if bad.any() or shade != TRUTH]
    axes.legend(handles=lines, loc="lower left", handlelength=1.1, labelspacing=0.25)


def _sensors(axes: Axes, found: RecordingFacts) -> PathCollection | None:
    """Draw the cap from above, each sensor in the colour of its deviation; None if too few have a place."""
    axes.set_axis_off()
    placed = [i for i, spot in enumerate(found.positions) if len(spot) == 3]
    if len(placed) < FEWEST_PLACES:
        axes.text(0.5, 0.5, "no sensor positions", ha="center", va="center", color=MUTED, transform=axes.transAxes)
        return None
    names = [found.channels[i] for i in placed]
    head = flatten_head(np.array([found.positions[i] for i in placed]), channels=names)
    _outline(axes, head)
    x, y = head.places.T
    colours = np.array([found.deviations[i] for i in placed])
    bad = np.isin(names, found.bad_channels)
    size = float(np.clip(2200 / len(placed), 9, 34))
    image = axes.scatter(
        x, y, s=size, c=colours, cmap=diverging(), vmin=-DEVIATION, vmax=DEVIATION, edgecolors=MUTED, linewidths=0.35,
        zorder=3, gid="sensor",
    )  # fmt: skip
    axes.scatter(
        x[bad], y[bad], s=size * 2.2, facecolors="none", edgecolors=TRUTH, linewidths=1.2, zorder=4, gid="bad sensor"
    )
    reach = max(1.16 * head.radius, 1.08 * float(np.hypot(x, y).max()))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    marked = np.flatnonzero(bad)[:MOST_NAMES]
    points = MAP_POINTS * np.stack([x, y], axis=1) / (2 * reach)
    for i, spot in zip(marked, _beside(points[marked], [names[i] for i in marked], points[bad]), strict=True):
        _name(axes, names[i], at=(float(x[i]), float(y[i])), offset=spot)
    return image


def _beside(spots: np.ndarray, names: Sequence[str], sensors: np.ndarray) -> list[tuple[float, float]]:
    """Choose where each name stands, relative to its sensor: where it covers fewest names and bad sensors.

    Parameters
    ----------
    spots, sensors
        Places of the named sensors and of all bad ones, in points from the head's middle, shape ``(n, 2)``.
    names
        Of the named sensors.
    """
    taken: list[tuple[float, float, float]] = []
    chosen = []
    for spot, name in zip(spots, names, strict=True):
        half = NAME_WIDTH * len(name) / 2
        ways = [(0.0, NAME_RISE), (0.0, -NAME_RISE), (half + 5.0, 0.0), (-half - 5.0, 0.0)]
        if spot[1] < 0:
            ways[:2] = ways[1::-1]
        covered = [_covered((spot[0] + way[0], spot[1] + way[1], half), taken, sensors) for way in ways]
        best = ways[int(np.argmin(covered))]
        taken.append((spot[0] + best[0], spot[1] + best[1], half))
        chosen.append(best)
    return chosen


def _covered(box: tuple[float, float, float], taken: Sequence[tuple[float, float, float]], sensors: np.ndarray) -> int:
    """Count the names and bad sensors that a name would cover; boxes are a middle and half a width, in points."""
    x, y, half = box
    over = sum(abs(x - other[0]) < half + other[2] and abs(y - other[1]) < NAME_HEIGHT for other in taken)
    beneath = (np.abs(sensors[:, 0] - x) < half + 3.0) & (np.abs(sensors[:, 1] - y) < NAME_HEIGHT / 2 + 3.0)
    return over + int(np.count_nonzero(beneath))


def _name(axes: Axes, name: str, *, at: tuple[float, float], offset: tuple[float, float]) -> None:
    """Write a sensor's name beside it."""
    text = axes.annotate(
        name, at, offset, textcoords="offset points", ha="center", va="center", fontsize=6.5, color=TRUTH, zorder=6,
        gid="bad name", annotation_clip=False,
    )  # fmt: skip
    text.set_bbox({"boxstyle": "square,pad=0.05", "facecolor": "white", "edgecolor": "none", "alpha": 0.75})


def _outline(axes: Axes, head: FlatHead) -> None:
    axes.add_patch(Circle((0, 0), head.radius, fill=False, lw=0.7, ec=INK, zorder=1))
    nose = head.radius * np.array([[-0.09, 0.995], [0.0, 1.11], [0.09, 0.995]])
    axes.plot(*nose.T, color=INK, lw=0.7, zorder=1)
    for side in (-1, 1):
        turn = np.linspace(-1.0, 1.0, 20)
        ear = head.radius * np.array([side * (1.0 + 0.06 * np.cos(turn * np.pi / 2)), 0.17 * turn])
        axes.plot(*ear, color=INK, lw=0.7, zorder=1)


def _bar(figure: Figure, image: PathCollection) -> None:
    axes = place(figure, box=(88.0, 31.0, 36.0, 1.7))
    ticks = [-DEVIATION, 0.0, DEVIATION]
    bar = figure.colorbar(image, cax=axes, orientation="horizontal", ticks=ticks)
    bar.ax.set_xticks(ticks, [f"\u2264 {label_of(-DEVIATION)}", "0", f"\u2265 {label_of(DEVIATION)}"])
    bar.ax.tick_params(length=1.5, pad=1.2, labelsize=6.5)
    bar.ax.set_xlabel("loudness among channels (robust z)", fontsize=6.5, labelpad=1.0)
    bar.outline.set_linewidth(0.4)


def _reasons(figure: Figure, found: RecordingFacts) -> None:
    """List the bad channels with their reasons, and those that stood still or at the end of their range."""
    told = [f"{name}: {why}" for name, why in zip(found.bad_channels, _padded(found), strict=True)]
    for shares, what in ((found.flat_shares, "flat"), (found.clipped_shares, "clipped")):
        worst = [(share, name) for name, share in zip(found.channels, shares, strict=True) if share >= 0.001]
        for share, name in sorted(worst, reverse=True)[:2]:
            told.append(f"{name}: {what} for {_percent(share)} of the time")
    title = f"{len(found.bad_channels)} bad of {len(found.channels)} channels"
    lines = [line for entry in told for line in textwrap.wrap(entry, CHARACTERS, subsequent_indent="  ")]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"\u2026 and {len(lines) - MOST_LINES + 1} lines more"]
    left, top = 134 / DOUBLE, 83 / HEIGHT
    figure.text(left, top, title, ha="left", va="top", weight="bold", fontsize=7.0, gid="bad title")
    figure.text(
        left, top - 4.2 / HEIGHT, "\n".join(lines), ha="left", va="top", fontsize=6.5, linespacing=1.25, gid="reasons"
    )


def _padded(found: RecordingFacts) -> list[str]:
    return [*found.reasons, *["no reason noted"] * (len(found.bad_channels) - len(found.reasons))]


def _strip(axes: Axes, found: RecordingFacts) -> None:
    """Draw the recording's time, kept and masked."""
    end = 60 * found.minutes
    in_minutes = end > 180
    scale = 60.0 if in_minutes else 1.0
    axes.axvspan(0, end / scale, color=GOOD, alpha=0.45, lw=0, gid="kept")
    for start, stop in found.bad_spans:
        # A short span would be thinner than a dot of the screen: it is never drawn narrower than a quarter millimetre.
        wide = max(stop - start, end * 0.25 / 158.0)
        axes.axvspan(start / scale, (start + wide) / scale, color=TRUTH, lw=0, gid="masked")
    axes.set(xlim=(0, end / scale), ylim=(0, 1), yticks=[], xlabel=f"time ({'min' if in_minutes else 's'})")
    axes.spines[["left"]].set_visible(False)
    count = f"{len(found.bad_spans)} stretch{'es' if len(found.bad_spans) != 1 else ''} masked"
    told = f"{_percent(found.kept_share)} of the time kept, {count}"
    axes.text(0, 1.25, told, ha="left", va="bottom", fontsize=7.0, transform=axes.transAxes, gid="kept text")
    handles = [Patch(color=GOOD, alpha=0.45, lw=0, label="kept"), Patch(color=TRUTH, lw=0, label="masked")]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, handlelength=1.0)
