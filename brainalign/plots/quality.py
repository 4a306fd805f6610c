"""What did cleaning change? Power spectra of the channels before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainalign.core.arrays import require_finite, require_shape
from brainalign.core.errors import ValueProblem
from brainalign.plots.style import FAINT, GOOD, MUTED, OTHER, SINGLE, canvas, drawn

MICROVOLT = 1e-6
ROOM_BELOW_DB = 20.0


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Power over frequency.

    Parameters
    ----------
    frequencies
        Shape ``(n_frequencies,)``, Hz, rising.
    power
        Shape ``(n_frequencies, n_channels)``, V^2/Hz.
    """

    frequencies: np.ndarray
    power: np.ndarray

    def __post_init__(self) -> None:
        power = np.asarray(self.power, dtype=float)
        require_shape(power.shape, (len(self.frequencies), power.shape[-1]), name="power", axes="frequencies, channels")
        require_finite(power, name="power", fix="leave out the channels without a spectrum")
        if np.any(power < 0):
            raise ValueProblem("power cannot be negative", got=float(power.min()), fix="pass power, not decibels")
        object.__setattr__(self, "power", power)

    def decibels(self) -> np.ndarray:
        """Return the power in dB relative to 1 microvolt squared per hertz, shape ``(n_frequencies, n_channels)``."""
        power: np.ndarray = np.maximum(self.power, 1e-30)
        return 10 * np.log10(power / MICROVOLT**2)


@drawn
def psd_before_after(
    before: Spectrum,
    after: Spectrum,
    *,
    passband: tuple[float, float] | None = None,
    mains: float | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw the median channel before and after cleaning, with the middle 80 % of channels as bands.

    Parameters
    ----------
    before, after
        Spectra of one recording (or of listeners' medians) before and after cleaning.
    passband
        Band kept by the filter in Hz, shaded.
    mains
        Frequency of the mains in Hz, marked where it lies inside the axis.
    limits
        Ends of the frequency axis in Hz; by default those of `before`, without 0.
    """
    positive = np.asarray(before.frequencies)[np.asarray(before.frequencies) > 0]
    low, high = limits or (float(positive[0]), float(positive[-1]))
    figure = canvas(SINGLE, 60.0)
    ax = figure.subplots()
    if passband:
        ax.axvspan(*passband, color=FAINT, alpha=0.3, lw=0, zorder=0, gid="passband")
    _band(ax, before, colour=OTHER, label="before", within=(low, high))
    _band(ax, after, colour=GOOD, label="after", within=(low, high))
    ax.set(xscale="log", xlim=(low, high), xlabel="frequency (Hz)", ylabel="power (dB re 1 \u00b5V\u00b2/Hz)")
    # What a filter took away altogether leaves the picture at its foot, so that the rest can be read.
    inside = (np.asarray(before.frequencies) >= low) & (np.asarray(before.frequencies) <= high)
    ax.set_ylim(bottom=max(ax.get_ylim()[0], float(before.decibels()[inside].min()) - ROOM_BELOW_DB))
    if mains and low < mains < high:
        ax.axvline(mains, color=MUTED, lw=0.6, ls=(0, (2, 2)), zorder=1)
        ax.annotate(
            "mains",
            (mains, 1),
            (-2, -2),
            xycoords=ax.get_xaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="top",
        )
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if low <= tick <= high]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=3, columnspacing=1.3)
    return figure


def _band(ax: Axes, spectrum: Spectrum, *, colour: str, label: str, within: tuple[float, float]) -> None:
    frequencies = np.asarray(spectrum.frequencies, dtype=float)
    inside = (frequencies >= within[0]) & (frequencies <= within[1])
    low, middle, high = np.percentile(spectrum.decibels()[inside], [10, 50, 90], axis=1)
    ax.fill_between(frequencies[inside], low, high, color=colour, alpha=0.28, lw=0)
    ax.plot(frequencies[inside], middle, color=colour, lw=1.4, label=f"{label} cleaning", gid=label)
