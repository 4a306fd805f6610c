import numpy as np
import pytest
from matplotlib.colors import to_hex

from brainalign.core.errors import NotFinite, ShapeMismatch, ValueProblem
from brainalign.plots.nulls import null_histogram, p_uniformity
from brainalign.plots.style import FOUND, TRUTH, save_png

OBSERVED = {"weak": 2.0, "strong": 9.0, "middle": 5.0}


def null(rng, n=400):
    return np.concatenate([[50.0], rng.gumbel(4.0, 0.3, n)])


def test_histogram_counts_every_permutation_and_not_the_data(rng):
    maxima = null(rng)
    ax = null_histogram(maxima, threshold=4.9, observed=OBSERVED).axes[0]
    assert sum(bar.get_height() for bar in ax.patches) == 400
    assert max(bar.get_x() + bar.get_width() for bar in ax.patches) < 50
    assert ax.get_ylabel() == "permutations"


def test_threshold_stands_at_its_value_and_says_its_rate(rng, by_id):
    ax = null_histogram(null(rng), threshold=4.9, observed=OBSERVED, alpha=0.01).axes[0]
    assert by_id(ax, "threshold")[0].get_xdata() == [4.9, 4.9]
    assert ax.texts[0].get_text() == "1 % of permutations exceed 4.9"


def test_features_stand_in_order_filled_above_the_threshold(rng, by_id):
    figure = null_histogram(null(rng), threshold=4.9, observed=OBSERVED, highlighted=["middle"], statistic="t")
    strip = figure.axes[1]
    assert [label.get_text() for label in strip.get_yticklabels()] == ["strong", "middle", "weak"]
    assert strip.get_xlabel() == "t"
    dots = {name: by_id(strip, f"observed:{name}")[0] for name in OBSERVED}
    assert {name: dot.get_xdata()[0] for name, dot in dots.items()} == OBSERVED
    faces = {name: to_hex(dot.get_markerfacecolor()).upper() for name, dot in dots.items()}
    assert faces == {"strong": FOUND, "middle": TRUTH, "weak": "#FFFFFF"}


def test_everything_lies_inside_the_axis(rng):
    low, high = null_histogram(null(rng), threshold=4.9, observed={"far": -3.0, "out": 30.0}).axes[1].get_xlim()
    assert low < -3 < 30 < high


def test_a_null_of_one_value_can_be_drawn():
    ax = null_histogram(np.ones(5), threshold=1.0, observed={}).axes[0]
    assert sum(bar.get_height() for bar in ax.patches) == 4


def test_p_values_are_sorted_against_their_ranks(rng, by_id):
    p = np.ceil(rng.uniform(size=40) * 501) / 501
    figure = p_uniformity(p, label="unplayed features")
    (dots,) = by_id(figure, "p")
    np.testing.assert_allclose(dots.get_ydata(), np.sort(p))
    np.testing.assert_allclose(dots.get_xdata(), np.arange(1, 41) / 41)
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("expected p", "observed p")
    assert "unplayed features" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_band_holds_uniform_order_statistics_at_its_coverage(rng, by_id):
    n = 20
    vertices = by_id(p_uniformity(np.full(n, 0.5)), "band")[0].get_paths()[0].vertices
    expected = np.arange(1, n + 1) / (n + 1)
    low = np.array([vertices[np.isclose(vertices[:, 0], e), 1].min() for e in expected])
    high = np.array([vertices[np.isclose(vertices[:, 0], e), 1].max() for e in expected])
    draws = np.sort(rng.uniform(size=(4000, n)), axis=1)
    inside = np.mean((draws >= low) & (draws <= high), axis=0)
    np.testing.assert_allclose(inside, 0.95, atol=4 * np.sqrt(0.95 * 0.05 / 4000))


def test_share_below_five_per_cent_is_counted():
    (ax,) = p_uniformity(np.array([0.01, 0.05, 0.2, 0.9])).axes
    assert "50.0 % at p \u2264 0.05" in [text.get_text() for text in ax.texts]


def test_same_null_same_bytes(rng):
    maxima = null(rng)
    one, two = (null_histogram(maxima, threshold=4.9, observed=OBSERVED) for _ in range(2))
    assert save_png(one, dpi=80) == save_png(two, dpi=80)


def test_wrong_input_is_refused():
    with pytest.raises(ValueProblem, match="at least one permutation"):
        null_histogram(np.array([3.0]), threshold=1.0, observed={})
    with pytest.raises(ShapeMismatch, match="must have one axis"):
        null_histogram(np.zeros((3, 2)), threshold=1.0, observed={})
    with pytest.raises(ValueProblem, match="count the identity"):
        p_uniformity(np.array([0.0, 0.5]))
    with pytest.raises(ValueProblem, match="0 values"):
        p_uniformity(np.array([]))
    with pytest.raises(NotFinite, match="could not be tested"):
        p_uniformity(np.array([0.5, np.nan]))
