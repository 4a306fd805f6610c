"""What do all pictures share? Sizes, type, colours, and files whose bytes repeat.

A figure is drawn once, at its printed size: 85 mm (one column) or 174 mm (two). The report
shows the same figure at `PAGE_DPI` dots per inch and half that many CSS pixels, so that 7.5 pt
in print become 14 px on the screen. Colours are Okabe and Ito's, and carry one meaning each.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any, Literal, ParamSpec

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from brainalign.core.arrays import require_finite

SINGLE, DOUBLE = 85.0, 174.0
"""Widths of a printed column and of two, in millimetres."""
PAGE_DPI = 268
"""Dots per inch for the report: 174 mm become 2 x 918 pixels."""

INK, MUTED, FAINT = "#1b1f24", "#5f6770", "#c3c8cd"
FOUND, TRUTH, GOOD, OTHER = "#0072B2", "#D55E00", "#009E73", "#8a9199"
"""Blue: what the analysis found. Vermilion: what was planted. Green: after. Grey: the rest."""
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#1b1f24")

FONTS = ("Arial", "Helvetica", "Liberation Sans", "DejaVu Sans")
MILLIMETRE = 1 / 25.4
ROUND_STEPS = (1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)

P = ParamSpec("P")
Corner = Literal["outside lower left", "outside lower right", "lower left"]

_SETTINGS: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.formatter.useoffset": False,
    "axes.labelcolor": INK,
    "axes.labelpad": 3.0,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 5.0,
    "axes.titlesize": 8.0,
    "axes.titleweight": "bold",
    "figure.dpi": 100.0,
    "figure.facecolor": "white",
    "font.size": 7.5,
    "legend.borderaxespad": 0.5,
    "legend.borderpad": 0.1,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.2,
    "lines.solid_capstyle": "round",
    "patch.linewidth": 0.6,
    "pdf.fonttype": 42,
    "savefig.facecolor": "white",
    "svg.hashsalt": "brainalign",
    "text.color": INK,
    # Names of features come from people: a dollar sign in one is a dollar sign.
    "text.parse_math": False,
    "xtick.color": INK,
    "xtick.labelsize": 7.0,
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.color": INK,
    "ytick.labelsize": 7.0,
    "ytick.major.size": 2.5,
    "ytick.major.width": 0.6,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the package's look inside this block, whatever the caller's settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        settings: Any = _SETTINGS | {"font.family": _installed_fonts(), "axes.prop_cycle": cycler(color=CYCLE)}
        mpl.rcParams.update(settings)
        yield


@cache
def _installed_fonts() -> list[str]:
    """Keep the fonts this machine has; asking for others logs a warning per letter."""
    known = set(font_manager.get_font_names())
    return [name for name in FONTS if name in known]


def drawn(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a drawing function in the package's look and settle its layout.

    Ticks are made at the first drawing, with the settings of that moment: drawing once
    inside the block keeps the look when the caller saves the figure outside it.
    """

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        """Draw, then settle."""
        with style():
            figure = function(*args, **kwargs)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        return figure

    return inside


def canvas(width: float, height: float) -> Figure:
    """Return an empty figure of this size in millimetres, unknown to pyplot."""
    pad = 1.2 * MILLIMETRE
    engine = ConstrainedLayoutEngine(w_pad=pad, h_pad=pad, wspace=0.02, hspace=0.02)
    return Figure(figsize=(width * MILLIMETRE, height * MILLIMETRE), layout=engine)


def place(figure: Figure, *, box: tuple[float, float, float, float]) -> Axes:
    """Add axes at (left, bottom, width, height) in millimetres from the figure's lower left corner."""
    width, height = figure.get_size_inches() / MILLIMETRE
    left, bottom, wide, high = box
    return figure.add_axes((left / width, bottom / height, wide / width, high / height))


def symmetric_limit(values: np.ndarray) -> float:
    """Return a round colour limit that puts zero in the middle and holds every value (1 if all are 0).

    >>> symmetric_limit(np.array([-0.19, 0.1])), symmetric_limit(np.array([0.098]))
    (0.2, 0.1)
    """
    require_finite(np.asarray(values, dtype=float), name="the values to draw", fix="leave out what could not be scored")
    largest = float(np.max(np.abs(values), initial=0.0))
    if not largest:
        return 1.0
    power = 10.0 ** np.floor(np.log10(largest))
    step = next(step for step in ROUND_STEPS if step >= largest / power * (1 - 1e-9))
    return float(f"{step * power:.12g}")


@cache
def diverging() -> ListedColormap:
    """Return the map for signed values: blue below zero, white at zero, vermilion above.

    Lightness falls linearly from the middle to either end in OKLab, so that equal steps
    of the value look equal and magnitude survives a black-and-white print.
    """
    t = np.linspace(-1.0, 1.0, 255)
    lightness = 0.985 - 0.535 * np.abs(t)
    hue = np.deg2rad(np.where(t < 0, 250.0, 38.0))
    chroma = np.where(t < 0, 0.130, 0.150) * np.sin(np.abs(t) * np.pi / 2)
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    return ListedColormap(_rgb(lab), name="brainalign-diverging")


def _rgb(lab: np.ndarray) -> np.ndarray:
    """Turn OKLab (n, 3) into sRGB (n, 3) with Ottosson's matrices."""
    to_cone = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear: np.ndarray = np.clip((lab @ to_cone.T) ** 3 @ to_linear.T, 0, 1)
    encoded: np.ndarray = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return encoded


def label_of(value: float) -> str:
    """Write a tick with three digits at most and a true minus sign.

    >>> label_of(-0.05), label_of(0.0), label_of(1.25)
    ('\u22120.05', '0', '1.25')
    """
    return f"{value:.3g}".replace("-", "\u2212")


def save_png(figure: Figure, *, dpi: float = PAGE_DPI) -> bytes:
    """Return the figure as PNG; the same figure gives the same bytes."""
    return _saved(figure, format="png", dpi=dpi, metadata={"Software": None})


def save_svg(figure: Figure) -> bytes:
    """Return the figure as SVG with its letters as paths; the same figure gives the same bytes."""
    return _saved(figure, format="svg", metadata={"Date": None, "Creator": None})


def save_pdf(figure: Figure) -> bytes:
    """Return the figure as PDF with editable letters; the same figure gives the same bytes."""
    return _saved(figure, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})


def _saved(figure: Figure, **options: Any) -> bytes:
    stream = io.BytesIO()
    with style():
        figure.savefig(stream, **options)
    return stream.getvalue()


def dot(label: str, *, colour: str, size: float = 4.6, filled: bool = True) -> Line2D:
    """Return a dot for a key, filled or hollow."""
    face = colour if filled else "white"
    return Line2D([], [], ls="", marker="o", ms=size, mfc=face, mec=colour, mew=1.0, label=label)


def key(figure: Figure, handles: Sequence[Line2D], *, loc: Corner = "outside lower left", columns: int = 0) -> None:
    """Add the figure's key outside its axes, in one row unless `columns` says otherwise."""
    figure.legend(handles=handles, loc=loc, ncols=columns or len(handles), columnspacing=1.3, handletextpad=0.5)


def wrapped(names: Sequence[str], *, characters: int) -> list[str]:
    """Break long names into lines of about this many characters, keeping breaks that are there."""
    return [
        "\n".join(part for line in name.split("\n") for part in textwrap.wrap(line, characters) or [""])
        for name in names
    ]
