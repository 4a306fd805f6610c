import numpy as np
import pytest
from matplotlib.colors import to_hex

from brainalign.core.errors import NotFinite, ShapeMismatch
from brainalign.plots.profile import contribution_ranking, standard_error
from brainalign.plots.style import FOUND, TRUTH

NAMES = ["a", "b", "c"]
SCORES = np.array([[0.0, 0.02], [0.05, 0.07], [-0.02, 0.0]])


def test_features_are_ranked_by_their_mean(by_id):
    figure = contribution_ranking(SCORES, names=NAMES)
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a", "c"]
    assert by_id(ax, "mean:b")[0].get_xdata()[0] == pytest.approx(0.06)
    # The first row is at the top.
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_every_listener_is_a_point_and_the_bar_is_the_standard_error(by_id):
    (ax,) = contribution_ranking(SCORES, names=NAMES).axes
    np.testing.assert_allclose(by_id(ax, "listeners")[0].get_xdata(), SCORES[1])
    # The standard error of two values is half their distance.
    np.testing.assert_allclose(by_id(ax, "error")[0].get_xdata(), [0.05, 0.07])


def test_colour_says_planted_and_filling_says_significant(by_id):
    (ax,) = contribution_ranking(SCORES, names=NAMES, highlighted=["b"], significant=["b", "c"]).axes
    faces = [to_hex(by_id(ax, f"mean:{name}")[0].get_markerfacecolor()).upper() for name in NAMES]
    assert faces == ["#FFFFFF", TRUTH, FOUND]


def test_only_the_top_is_drawn():
    (ax,) = contribution_ranking(SCORES, names=NAMES, top=2, unit="gain (r)", width=85.0).axes
    assert len(ax.get_yticklabels()) == 2
    assert ax.get_xlabel() == "gain (r)"


def test_one_listener_has_no_error_bar():
    np.testing.assert_array_equal(standard_error(np.ones((3, 1))), 0)


def test_wrong_input_is_refused():
    with pytest.raises(ShapeMismatch, match="features \\(names\\), listeners"):
        contribution_ranking(SCORES, names=["a"])
    with pytest.raises(NotFinite, match="listeners without a score"):
        contribution_ranking(SCORES * np.nan, names=NAMES)
