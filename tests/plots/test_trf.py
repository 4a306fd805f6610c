import numpy as np
import pytest

from brainalign.core.errors import NotFinite, ShapeMismatch, ValueProblem
from brainalign.plots.style import save_png
from brainalign.plots.trf import strongest_lags, trf_grid, trf_joint, trf_panel

LAGS = np.arange(-5, 26) / 50


def response(n_channels, *, latency=0.1, best=2):
    weights = np.linspace(0.1, 0.5, n_channels)
    weights[best] = 2.0
    return np.exp(-(((LAGS - latency) / 0.03) ** 2))[:, None] * weights


def test_thick_line_is_the_strongest_channel_in_milliseconds(by_id):
    coef = response(6)
    (line,) = by_id(trf_panel(coef, LAGS), "highlight")
    np.testing.assert_allclose(line.get_xdata(), 1000 * LAGS)
    np.testing.assert_allclose(line.get_ydata(), coef[:, 2])


def test_every_other_channel_is_drawn_once(by_id):
    coef = response(6)
    lines = by_id(trf_panel(coef, LAGS, highlight=0), "channels")
    assert len(lines) == 5
    np.testing.assert_allclose(np.array([line.get_ydata() for line in lines]), coef[:, 1:].T)


def test_axes_name_their_units_and_zero_is_in_the_middle():
    (ax,) = trf_panel(response(3), LAGS, title="feature 7", unit="a.u.").axes
    assert ax.get_xlabel() == "lag (ms)"
    assert ax.get_ylabel() == "a.u."
    assert ax.get_title(loc="left") == "feature 7"
    assert ax.get_ylim()[0] == -ax.get_ylim()[1]
    assert ax.get_xlim() == (-100.0, 500.0)


def test_latencies_stand_where_they_were_planted_and_found(by_id):
    figure = trf_panel(response(3), LAGS, planted=0.1, found=0.12)
    assert by_id(figure, "planted")[0].get_xdata()[0] == pytest.approx(100)
    assert by_id(figure, "found")[0].get_xdata()[0] == pytest.approx(120)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["strongest channel", "other channels", "planted latency", "found latency"]


def test_grid_has_one_scale_and_one_panel_per_feature(by_id):
    coef = np.stack([response(4, latency=0.05 * i, best=i % 4) / (i + 1) for i in range(5)])
    figure = trf_grid(coef, LAGS, titles=[f"feature {i}" for i in range(5)], planted=[0.1, None, 0.2, None, 0.3])
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in shown] == [f"feature {i}" for i in range(5)]
    assert len({ax.get_ylim() for ax in shown}) == 1
    assert [len(by_id(ax, "planted")) for ax in shown] == [1, 0, 1, 0, 1]
    # Each column names its axis below its last panel.
    assert [bool(ax.get_xlabel()) for ax in shown] == [False, True, True, True, True]


def test_grid_can_name_its_channels(by_id):
    coef = np.stack([response(4)] * 2)
    figure = trf_grid(coef, LAGS, titles=["a", "b"], highlights=[0, 3])
    for ax, column in zip(figure.axes, (0, 3), strict=True):
        np.testing.assert_allclose(by_id(ax, "highlight")[0].get_ydata(), coef[0, :, column])


def test_joint_maps_stand_at_the_peaks(cap, by_id):
    coef = response(len(cap.channels), latency=0.1) - response(len(cap.channels), latency=0.3)
    figure = trf_joint(coef, LAGS, channels=cap.channels, positions=cap.positions, title="feature 1", planted=0.1)
    maps = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in maps] == ["100 ms", "300 ms"]
    assert sorted(line.get_xdata()[0] for line in by_id(figure, "peak")) == pytest.approx([100, 300])
    assert len({ax.images[0].get_clim() for ax in maps}) == 1


def test_joint_takes_given_lags(cap):
    coef = response(len(cap.channels))
    figure = trf_joint(coef, LAGS, channels=cap.channels, positions=cap.positions, peaks=[0.2, 0.0])
    assert [ax.get_title() for ax in figure.axes if ax.images] == ["0 ms", "200 ms"]
    with pytest.raises(ValueProblem, match="one to five maps"):
        trf_joint(coef, LAGS, channels=cap.channels, positions=cap.positions, peaks=[])


def test_strongest_lags_skip_noise_and_neighbours():
    coef = response(5) + 0.5 * response(5, latency=0.3)
    coef[-1] += 1e-3
    assert strongest_lags(coef) == (10, 20)
    assert strongest_lags(coef, n=1) == (10,)


def test_same_response_same_bytes():
    coef = response(4)
    assert save_png(trf_panel(coef, LAGS), dpi=80) == save_png(trf_panel(coef, LAGS), dpi=80)


def test_drawing_changes_nothing(cap):
    coef = response(len(cap.channels))
    coef.flags.writeable = False
    trf_joint(coef, LAGS, channels=cap.channels, positions=cap.positions)


def test_wrong_input_is_refused():
    with pytest.raises(ShapeMismatch, match="lags by channels"):
        trf_panel(np.zeros((2, 31, 3)), LAGS)
    with pytest.raises(ShapeMismatch, match="coef must have shape"):
        trf_panel(np.zeros((30, 3)), LAGS)
    with pytest.raises(NotFinite, match="coef holds values"):
        trf_panel(np.full((31, 3), np.nan), LAGS)
    with pytest.raises(ShapeMismatch, match="use trf_panel"):
        trf_grid(np.zeros((31, 3)), LAGS, titles=["a"])
    with pytest.raises(ShapeMismatch, match="planted must have one entry per feature"):
        trf_grid(np.zeros((2, 31, 3)), LAGS, titles=["a", "b"], planted=[0.1])
