import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch
from brainalign.plots.lagtests import lag_test_grid
from brainalign.plots.style import save_png

LAGS = np.arange(0, 65) / 128


def draw(n=3, n_listeners=5, **changes):
    rng = np.random.default_rng(0)
    given = {
        "development": rng.standard_normal((n, len(LAGS))),
        "test": rng.standard_normal((n, len(LAGS), n_listeners)),
        "extremes": np.full((n, 2), LAGS[[10, 30]]),
        "significant": np.array([[True, False]] * n),
    } | changes
    names = [f"feature {i}" for i in range(n)]
    return given, lag_test_grid(given.pop("development"), given.pop("test"), LAGS, titles=names, unit="IQR", **given)


def test_a_panel_shows_its_feature_in_milliseconds(by_id):
    rng = np.random.default_rng(0)
    development, test = rng.standard_normal((1, 65)), rng.standard_normal((1, 65, 5))
    _, figure = draw(1, development=development, test=test)
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_xlim()) == ("lag (ms)", (0.0, 500.0))
    np.testing.assert_allclose(by_id(ax, "development")[0].get_ydata(), development[0])
    np.testing.assert_allclose(by_id(ax, "test")[0].get_ydata(), test[0].mean(axis=1))
    assert len(by_id(ax, "listeners")) == 5
    dots = by_id(ax, "tested")
    assert [item.get_xdata()[0] for item in dots] == pytest.approx(1000 * LAGS[[10, 30]])
    assert [item.get_ydata()[0] for item in dots] == pytest.approx(test[0, [10, 30]].mean(axis=1))
    assert dots[0].get_markerfacecolor() != dots[1].get_markerfacecolor() == "white"


def test_every_feature_has_a_panel_and_all_share_one_scale():
    _, figure = draw(6)
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in shown] == [f"feature {i}" for i in range(6)]
    assert len({ax.get_ylim() for ax in shown}) == 1
    assert len(figure.legends[0].get_texts()) == 5


def test_the_same_figure_gives_the_same_bytes():
    assert save_png(draw()[1]) == save_png(draw()[1])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ShapeMismatch, match="features, lags, listeners"):
        draw(test=np.zeros((2, 65, 5)))
    with pytest.raises(ShapeMismatch, match="development"):
        draw(development=np.zeros((3, 64)))
    with pytest.raises(ShapeMismatch, match="significant"):
        draw(significant=np.zeros((2, 2), dtype=bool))
