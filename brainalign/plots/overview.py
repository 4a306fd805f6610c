"""What does the package do, in one picture? A few seconds from the sound to the brain on one exact clock."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainalign.core.arrays import require_finite, require_shape
from brainalign.core.errors import ValueProblem
from brainalign.plots.style import DOUBLE, FAINT, FOUND, INK, MUTED, OTHER, TRUTH, canvas, drawn


@dataclass(frozen=True, eq=False)
class Strand:
    """One signal on the shared clock.

    Parameters
    ----------
    label
        What it is; a second line says where it comes from.
    times
        Shape ``(n,)``, seconds, rising.
    values
        Shape ``(n,)``, or ``(n, n_features)`` with one name per column in `names`.
    names
        Names of the columns.
    """

    label: str
    times: np.ndarray
    values: np.ndarray
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values, times = np.asarray(self.values, dtype=float), np.asarray(self.times, dtype=float)
        require_shape(values.shape[:1], times.shape, name=f"strand {self.label!r}", axes="times")
        require_finite(values, name=f"strand {self.label!r}", fix="cut the damaged span")
        if values.ndim == 2:
            require_shape(values.shape[1:], (len(self.names),), name=f"names of {self.label!r}", axes="columns")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "times", times)

    def within(self, window: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
        """Return the times and values inside a window in seconds, refusing an empty one."""
        inside = (self.times >= window[0]) & (self.times <= window[1])
        if not inside.any():
            raise ValueProblem(
                f"strand {self.label!r} has nothing in the window",
                got=f"{window[0]:g} to {window[1]:g} s",
                fix="choose a window inside the trial",
            )
        return self.times[inside], self.values[inside]


@drawn
def stimulus_to_brain(
    *,
    waveform: Strand,
    envelope: Strand,
    features: Strand,
    response: Strand,
    predicted: Strand | None = None,
    highlighted: Collection[str] = (),
    window: tuple[float, float] = (0.0, 6.0),
) -> Figure:
    """Draw sound, envelope, sparse features and one EEG channel over the same seconds.

    Parameters
    ----------
    waveform, envelope
        The sound and its envelope, in any unit.
    features
        Sparse features by frame, shape ``(n_frames, n_features)`` with names: one row each, drawn as
        spikes whose height is the activation.
    response
        One EEG channel, in the unit its label names.
    predicted
        The model's prediction of `response`, drawn over it.
    highlighted
        Names of planted features.
    window
        First and last time drawn, in seconds.
    """
    n = max(1, len(features.names))
    heights = (11.0, 9.0, 4.6 * n, 17.0)
    figure = canvas(DOUBLE, sum(heights) + 22.0)
    axes = figure.subplots(4, 1, sharex=True, height_ratios=heights)
    _wave(axes[0], waveform, window)
    times, values = envelope.within(window)
    axes[1].fill_between(times, values, color=OTHER, alpha=0.55, lw=0, gid="envelope")
    axes[1].set_ylim(0, None)
    _rows(axes[2], features, window, highlighted=highlighted)
    _response(axes[3], response, predicted, window)
    for ax, strand in zip(axes, (waveform, envelope, features, response), strict=True):
        left = -8 if strand is not response else -30
        place = {"xycoords": "axes fraction", "textcoords": "offset points"}
        ax.annotate(strand.label, (0, 0.5), (left, 0), ha="right", va="center", linespacing=1.3, **place)
    for ax in axes[:2]:
        ax.set_yticks([])
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.tick_params(bottom=False)
    axes[2].spines[["left", "bottom"]].set_visible(False)
    axes[2].tick_params(bottom=False)
    axes[3].set(xlim=window, xlabel="time in the sound (s)")
    return figure


def _wave(ax: Axes, strand: Strand, window: tuple[float, float], *, n_columns: int = 1600) -> None:
    """Draw the waveform as its range in each of many columns, so that no peak is lost to thinning."""
    times, values = strand.within(window)
    edges = np.unique(np.linspace(0, len(values), min(n_columns, len(values)) + 1).astype(int))[:-1]
    low, high = np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)
    ax.fill_between(times[edges], low, high, color=INK, lw=0.3, gid="waveform")
    ax.margins(y=0.02)


def _rows(ax: Axes, strand: Strand, window: tuple[float, float], *, highlighted: Collection[str]) -> None:
    """Draw each feature on its own row: a spike from the row's line for each frame that is not zero."""
    times, values = strand.within(window)
    if values.ndim == 1:
        values = values[:, None]
    top = np.where(values.max(axis=0) > 0, values.max(axis=0), 1.0)
    names = strand.names or ("",)
    for row, name in enumerate(names):
        active = values[:, row] > 0
        colour = TRUTH if name in highlighted else FOUND
        ax.axhline(row, color=FAINT, lw=0.4, zorder=0)
        height = 0.85 * values[active, row] / top[row]
        ax.vlines(times[active], row, row - height, color=colour, lw=1.0, gid=f"feature:{name}")
        ax.text(1.008, row - 0.3, name, color=colour, va="center", transform=ax.get_yaxis_transform(), fontsize=6.5)
    ax.set_ylim(len(names) - 0.8, -1.0)
    ax.set_yticks([])


def _response(ax: Axes, response: Strand, predicted: Strand | None, window: tuple[float, float]) -> None:
    times, values = response.within(window)
    ax.axhline(0, color=FAINT, lw=0.5, zorder=0)
    ax.plot(times, values, color=MUTED, lw=0.8, gid="response", label="measured")
    if predicted is not None:
        ax.plot(*predicted.within(window), color=FOUND, lw=1.3, gid="predicted", label="predicted")
        ax.legend(loc="lower right", bbox_to_anchor=(1.0, 0.92), ncols=2, columnspacing=1.2)
