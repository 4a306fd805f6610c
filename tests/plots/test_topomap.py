import mne
import numpy as np
import pytest
from matplotlib.figure import Figure

from brainalign.core.errors import NotFinite, ShapeMismatch, UnknownName, ValueProblem
from brainalign.plots.style import save_png
from brainalign.plots.topomap import flatten_head, score_topomaps


def maps_of(cap, n, *, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal((n, len(cap.channels)))


def draw(cap, maps, **options):
    titles = [f"feature {i}" for i in range(len(maps))]
    return score_topomaps(maps, titles=titles, channels=cap.channels, positions=cap.positions, **options)


def points(artist):
    return np.column_stack(artist.get_data())


def test_flat_head_agrees_with_mne(cap):
    head = flatten_head(cap.positions, channels=cap.channels)
    ax = Figure().add_subplot()
    mask = np.ones(len(cap.channels), dtype=bool)
    centre = _centre(cap.positions, head)
    mne.viz.plot_topomap(
        np.zeros(len(mask)), cap.info, sphere=(*centre, head.radius), mask=mask, axes=ax, show=False, contours=0
    )
    drawn = next(line for line in ax.lines if len(line.get_xdata()) == len(mask))
    np.testing.assert_allclose(points(drawn) - centre[:2], head.places, atol=1e-6)


def _centre(positions, head):
    """Recover the sphere's centre independently, by Newton's method on the distances."""
    from scipy.optimize import least_squares

    fit = least_squares(lambda v: np.linalg.norm(positions - v[:3], axis=1) - v[3], [0, 0, 0.04, 0.1], xtol=1e-14)
    assert fit.x[3] == pytest.approx(head.radius, abs=1e-6)
    return fit.x[:3]


def test_projection_forgets_where_the_origin_lies(cap):
    one = flatten_head(cap.positions, channels=cap.channels)
    other = flatten_head(cap.positions + [0.0, 0.01, -0.03], channels=cap.channels)
    np.testing.assert_allclose(one.places, other.places, atol=1e-9)


def test_left_is_left_and_the_nose_points_up(cap):
    places = dict(zip(cap.channels, flatten_head(cap.positions, channels=cap.channels).places, strict=True))
    assert places["T7"][0] < 0 < places["T8"][0]
    assert places["Fz"][1] > 0 > places["Oz"][1]


def test_few_sensors_fall_back_to_a_usual_head(cap):
    assert flatten_head(cap.positions[:3], channels=cap.channels[:3]).radius == 0.095


def test_every_map_has_axes_and_one_scale_with_zero_in_the_middle(cap):
    maps = maps_of(cap, 6)
    figure = draw(cap, maps)
    *heads, bar = figure.axes
    assert len(heads) == 6
    limits = {ax.images[0].get_clim() for ax in heads}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low == -high
    assert high >= np.abs(maps).max()
    assert bar.get_ylabel() == "held-out r"
    assert bar.get_ylim() == (low, high)


def test_titles_and_unit_are_shown(cap, by_id):
    figure = draw(cap, maps_of(cap, 3), unit="t")
    assert [text.get_text() for text in by_id(figure, "title")] == ["feature 0", "feature 1", "feature 2"]
    assert figure.axes[-1].get_ylabel() == "t"


def test_white_dots_stand_on_the_significant_sensors(cap, by_id):
    maps = maps_of(cap, 3)
    mask = maps > 0.05
    figure = draw(cap, maps, significant=mask)
    head = flatten_head(cap.positions, channels=cap.channels)
    for ax, row in zip(figure.axes, mask, strict=False):
        np.testing.assert_allclose(points(by_id(ax, "significant")[0]), head.places[row])
        np.testing.assert_allclose(points(by_id(ax, "sensor")[0]), head.places[~row])
        assert by_id(ax, "significant")[0].get_markerfacecolor() == "white"


def test_rings_stand_on_the_marked_sensors(cap, by_id):
    figure = draw(cap, maps_of(cap, 2), marked=[["Cz"], ["Oz", "Fz"]])
    head = flatten_head(cap.positions, channels=cap.channels)
    wanted = head.places[[cap.channels.index("Oz"), cap.channels.index("Fz")]]
    np.testing.assert_allclose(points(by_id(figure.axes[1], "marked")[0]), wanted)


def test_key_names_only_what_is_drawn(cap):
    assert not draw(cap, maps_of(cap, 1)).legends
    figure = draw(cap, maps_of(cap, 1), marked=[["Cz"]])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["above the planted source"]


def test_a_strong_sensor_is_seen_where_it_lies(cap):
    values = np.zeros((1, len(cap.channels)))
    values[0, cap.channels.index("T8")] = 1.0
    image = draw(cap, values).axes[0].images[0]
    grid = np.ma.filled(image.get_array(), 0)
    row, column = np.unravel_index(np.argmax(grid), grid.shape)
    left, right, bottom, top = image.get_extent()
    x = left + (right - left) * (column + 0.5) / grid.shape[1]
    y = bottom + (top - bottom) * (row + 0.5) / grid.shape[0]
    wanted = flatten_head(cap.positions, channels=cap.channels).places[cap.channels.index("T8")]
    np.testing.assert_allclose([x, y], wanted, atol=0.02)


def test_nothing_sticks_out_of_the_figure(cap):
    figure = score_topomaps(
        maps_of(cap, 5) / 50,
        titles=["a rather long name of a sparse feature\nr = 0.01"] * 5,
        channels=cap.channels,
        positions=cap.positions,
        significant=maps_of(cap, 5) > 0,
        marked=[["Cz"]] * 5,
    )
    box, whole = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) > -0.02
    assert box.x1 < whole[0] + 0.02
    assert box.y1 < whole[1] + 0.02


def test_same_maps_same_bytes(cap):
    maps = maps_of(cap, 2)
    assert save_png(draw(cap, maps), dpi=80) == save_png(draw(cap, maps), dpi=80)


def test_sensor_without_a_position_is_refused(cap):
    positions = cap.positions.copy()
    positions[3] = np.nan
    with pytest.raises(NotFinite, match="leave out the channels without a position"):
        score_topomaps(maps_of(cap, 1), titles=["a"], channels=cap.channels, positions=positions)


def test_a_score_that_is_nan_is_refused(cap):
    with pytest.raises(NotFinite, match="could not be scored"):
        draw(cap, np.full((1, len(cap.channels)), np.nan))


def test_wrong_shapes_and_names_are_refused(cap):
    with pytest.raises(ShapeMismatch, match="maps must have shape"):
        score_topomaps(maps_of(cap, 2), titles=["a"], channels=cap.channels, positions=cap.positions)
    with pytest.raises(ShapeMismatch, match="significant must have shape"):
        draw(cap, maps_of(cap, 2), significant=np.ones((1, 3), dtype=bool))
    with pytest.raises(UnknownName, match="no channel of that name"):
        draw(cap, maps_of(cap, 1), marked=[["Cy"]])
    with pytest.raises(ShapeMismatch, match="one list per feature"):
        draw(cap, maps_of(cap, 2), marked=[["Cz"]])
    with pytest.raises(ValueProblem, match="0 maps"):
        draw(cap, maps_of(cap, 0))
