import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

from brainalign.core.errors import NotFinite
from brainalign.plots.style import (
    DOUBLE,
    FOUND,
    GOOD,
    INK,
    OTHER,
    TRUTH,
    canvas,
    diverging,
    drawn,
    save_pdf,
    save_png,
    save_svg,
    style,
    symmetric_limit,
    wrapped,
)


def linear(rgb):
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def cielab_lightness(rgb):
    y = linear(rgb) @ [0.2126, 0.7152, 0.0722]
    return np.where(y > 216 / 24389, 116 * np.cbrt(y) - 16, y * 24389 / 27)


@drawn
def picture(title="plain"):
    figure = canvas(DOUBLE, 60.0)
    ax = figure.subplots()
    ax.plot([0, 1, 2], [1, 0, 3])
    ax.set(title=title, xlabel="time (s)")
    return figure


def test_colours_are_white_at_zero_and_equally_dark_on_both_sides():
    rgb = diverging()(np.linspace(0, 1, 255))[:, :3]
    lightness = cielab_lightness(rgb)
    assert lightness[127] > 97
    assert np.ptp(rgb[127]) < 0.03
    np.testing.assert_allclose(lightness, lightness[::-1], atol=6)


def test_colour_lightness_falls_steadily_from_zero():
    lightness = cielab_lightness(diverging()(np.linspace(0, 1, 255))[:, :3])
    for side in (lightness[127:], lightness[127::-1]):
        steps = -np.diff(side)
        assert steps.min() > 0
        assert steps.max() < 2.2 * steps.mean()


def test_negative_is_blue_and_positive_is_vermilion():
    low, high = diverging()(0.0), diverging()(1.0)
    assert low[2] > low[0]
    assert high[0] > high[2]


def test_meanings_stay_apart_without_colour_or_with_red_green_blindness():
    # Machado et al. (2009), deuteranopia, on linear RGB.
    deuteranopia = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    )
    rgb = np.array([mpl.colors.to_rgb(colour) for colour in (FOUND, TRUTH, GOOD, OTHER, INK)])
    seen = linear(rgb) @ deuteranopia.T
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[np.triu_indices(len(rgb), 1)]
    assert apart.min() > 0.1


@pytest.mark.parametrize(("largest", "limit"), [(0.098, 0.1), (0.1, 0.1), (0.11, 0.12), (7.2, 8.0), (0.0, 1.0)])
def test_limit_is_round_and_holds_every_value(largest, limit):
    assert symmetric_limit(np.array([-largest, largest / 2])) == limit


def test_limit_refuses_nan():
    with pytest.raises(NotFinite, match="leave out what could not be scored"):
        symmetric_limit(np.array([0.1, np.nan]))


def test_style_restores_the_callers_settings():
    with mpl.rc_context({"font.size": 21.0, "axes.grid": True}):
        with style():
            assert mpl.rcParams["font.size"] == 7.5
            assert not mpl.rcParams["axes.grid"]
        assert mpl.rcParams["font.size"] == 21.0
        assert mpl.rcParams["axes.grid"]


@pytest.mark.parametrize("save", [save_png, save_svg, save_pdf])
def test_the_same_picture_gives_the_same_bytes(save):
    assert save(picture()) == save(picture())


def test_saving_twice_or_under_foreign_settings_gives_the_same_bytes():
    figure = picture()
    first = save_png(figure)
    with mpl.rc_context({"font.size": 30.0, "lines.linewidth": 9.0, "savefig.facecolor": "red"}):
        assert save_png(figure) == first
        assert save_png(picture()) == first


def test_png_names_no_software():
    assert b"Software" not in save_png(picture(), dpi=50)


def test_figure_has_its_printed_size():
    np.testing.assert_allclose(picture().get_size_inches() * 25.4, [174.0, 60.0])


def test_dollar_signs_in_names_are_letters():
    assert save_png(picture("costs $5 and $\\frac$"), dpi=40)


def test_pyplot_knows_no_figure():
    code = (
        "import sys, numpy as np\n"
        "from brainalign.plots.trf import trf_panel\n"
        "trf_panel(np.ones((3, 2)), np.arange(3) / 50)\n"
        "import matplotlib.pyplot as plt\n"
        "sys.exit(len(plt.get_fignums()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_long_names_break_and_given_breaks_stay():
    assert wrapped(["one two three\nr = 0.1"], characters=8) == ["one two\nthree\nr = 0.1"]
