"""Where models meet statistics: surrogates per listener, blocks of features, and one test of them all."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from brainalign import mapping
from brainalign.core.design import Design, Trial
from brainalign.core.errors import ShapeMismatch, UnknownName, ValueProblem
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.massunivariate import feature_maps
from brainalign.encoding.pairs import cut_to_one_length
from brainalign.stats.group import fisher_mean
from brainalign.stats.nulls.registry import get_family
from tests.encoding.designs import make_design

FIT = {"penalties": (0.1, 10.0), "n_folds": 3}
N = 39


@pytest.fixture(scope="module")
def listeners():
    """Two listeners whose first channel follows the first feature."""
    rng = np.random.default_rng(3)
    return [replace(make_design(rng, lags=(-1, 5)), subject=subject) for subject in ("01", "02")]


def draw(designs, *, n=N, seed=0, scheme="circular-shift"):
    return mapping.draw_group(designs, scheme=scheme, n_permutations=n, seed=seed)


@pytest.fixture(scope="module")
def shifts(listeners):
    return draw(listeners)


@pytest.fixture(scope="module")
def summary(listeners, shifts):
    return mapping.null_summary(listeners, shifts, **FIT)


def distance_of(surrogates):
    return int(surrogates.note.split("half of all by ")[1].split()[0].rstrip(";,"))


def test_one_seed_gives_one_set_of_shifts_per_listener(listeners, shifts):
    again, distance = draw(listeners)[0].values, distance_of(shifts[0])
    np.testing.assert_array_equal(again, shifts[0].values)
    assert again.shape == (1 + N, len(listeners[0].trials))
    assert not again[0].any()
    n_lags, n_frames = listeners[0].lags.n, np.array([trial.axis.n for trial in listeners[0].trials])
    assert distance >= n_lags
    assert (again[1:] >= n_lags).all()
    assert (again[1:] <= n_frames - n_lags).all()
    moved = np.minimum(again, n_frames - again) >= distance
    assert ((moved @ n_frames)[1:] >= n_frames.sum() / 2).all()


def test_listeners_and_seeds_are_shifted_differently(listeners, shifts):
    assert (shifts[0].values[1:] != shifts[1].values[1:]).mean() > 0.9
    other = draw(listeners, seed=1)[0].values
    assert (other[1:] != shifts[0].values[1:]).mean() > 0.9


def test_shifts_follow_the_name_and_not_the_data_of_the_listener(listeners, shifts):
    (again,) = draw([replace(listeners[1], subject="01")])
    if distance_of(again) == distance_of(shifts[0]):
        np.testing.assert_array_equal(again.values, shifts[0].values)


def test_slower_responses_are_shifted_further(rng):
    white = rng.standard_normal((3000, 2))
    distances = []
    for memory in (0.0, 0.9):
        y = lfilter([1], [1, -memory], white, axis=0)
        x = Trajectory(np.ones((3000, 1), dtype=np.float32), TimeAxis(50, 3000), ("f",))
        design = Design((Trial("a", x, y, np.ones(3000, dtype=bool)),), Lags(0, 10, 50), ("p", "q"), np.zeros((2, 3)))
        distances.append(distance_of(draw([design], n=9)[0]))
    assert distances[0] <= 11 + 2
    assert distances[1] > distances[0] + 15


def test_a_trial_too_short_to_be_rotated_is_refused(rng):
    design = make_design(rng, lags=(-2, 200))
    with pytest.raises(ValueProblem, match="cannot bear circular shift within trials") as caught:
        draw([design], n=9)
    assert "at least 100 are needed" in caught.value.got


@pytest.fixture(scope="module")
def many_stories():
    """Two listeners of nine stories of one length, whose first channel follows the first feature."""
    rng = np.random.default_rng(8)
    designs = [cut_to_one_length(make_design(rng, n_trials=9, lags=(-1, 5))) for _ in range(2)]
    return [replace(design, subject=subject) for design, subject in zip(designs, ("01", "02"), strict=True)]


def test_whole_stories_are_paired_anew_where_there_are_enough_and_shifted_otherwise(listeners, many_stories):
    key, reason = mapping.choose_null(many_stories)
    assert key == "pairing"
    assert "because 9 are there, 8 are enough" in reason
    key, reason = mapping.choose_null(listeners)
    assert key == "circular-shift"
    assert "too few to pair" in reason
    assert mapping.choose_null(many_stories, scheme="circular-shift")[0] == "circular-shift"
    with pytest.raises(UnknownName, match="null"):
        mapping.choose_null(many_stories, scheme="bootstrap")


@pytest.mark.parametrize("scheme", ["pairing", "circular-shift", "phase", "blocks"])
def test_every_null_finds_the_planted_pair_alone_and_says_what_it_takes_for_granted(many_stories, scheme):
    surrogates = draw(many_stories, scheme=scheme)
    summary = mapping.null_summary(many_stories, surrogates, **FIT)
    test = mapping.null_test(many_stories[0], [summary], surrogates=surrogates, seed=0, reason="Because.")
    assert np.argwhere(test.p_corrected <= 0.05).tolist() == [[0, 0]]
    assert (test.scheme, test.assumption) == (get_family(scheme).name, get_family(scheme).assumption)
    assert test.notes[0] == "Because."
    assert len(test.notes) >= 2
    assert type(test).unpack(test.pack()).notes == test.notes


def test_the_statistic_of_the_data_is_nearly_the_same_in_every_null(many_stories):
    observed = [
        mapping.null_summary(many_stories, draw(many_stories, scheme=scheme), **FIT).observed
        for scheme in ("circular-shift", "pairing", "phase")
    ]
    np.testing.assert_allclose(observed[0], observed[1], atol=1e-5)
    np.testing.assert_allclose(observed[0], observed[2], atol=1e-5)


def test_one_listener_of_few_stories_has_all_pairings_and_exact_p_values(rng):
    design = cut_to_one_length(make_design(rng, lags=(-1, 5), signal=2.0))
    (alone,) = draw([design], scheme="pairing", n=999)
    assert len(alone.values) == 120
    assert "all 120 distinct pairings" in alone.note
    assert alone.doubts
    test = mapping.null_test(design, [mapping.null_summary([design], [alone], **FIT)], surrogates=[alone], seed=0)
    assert test.n_permutations == 119
    assert test.p[0, 0] == pytest.approx(1 / 120)
    assert any(note.startswith("Doubtful for 1 of 1 listeners") for note in test.notes)
    assert len(draw([design, replace(design, subject="02")], scheme="pairing", n=999)[0].values) == 1000


def test_too_few_stories_cannot_be_paired_and_the_error_says_what_would_do(rng):
    design = cut_to_one_length(make_design(rng, n_trials=3, lags=(-1, 5)))
    with pytest.raises(ValueProblem, match="cannot bear re-pairing of whole stories") as caught:
        draw([design], scheme="pairing")
    assert "6 distinct pairings" in caught.value.got
    assert "circular-shift" in caught.value.fix


def test_listeners_with_different_nulls_are_refused(many_stories):
    mixed = [draw(many_stories, scheme=scheme)[0] for scheme in ("pairing", "circular-shift")]
    with pytest.raises(ShapeMismatch, match="surrogates of one null"):
        mapping.null_summary(many_stories, mixed, **FIT)


def test_the_first_row_of_a_null_is_the_group_of_ring_models(listeners, shifts):
    """Alone, each listener's observed score is what the group averages on Fisher's scale."""
    alone = [
        mapping.null_summary([design], [drawn], **FIT).observed for design, drawn in zip(listeners, shifts, strict=True)
    ]
    together = mapping.null_summary(listeners, shifts, **FIT).observed
    np.testing.assert_allclose(together, fisher_mean(alone), atol=1e-6)


def test_the_observed_score_is_nearly_that_of_the_map(listeners, summary):
    """The null works on rings, the map on open trials: they differ by the trials' edges alone."""
    maps = fisher_mean([feature_maps(design, **FIT).score for design in listeners])
    assert np.corrcoef(maps.ravel(), summary.observed.ravel())[0, 1] > 0.95
    assert np.abs(maps - summary.observed).max() < 0.05


def test_blocks_of_features_give_the_same_test(listeners, shifts, summary):
    blocks = [
        mapping.null_summary([design.select(columns) for design in listeners], shifts, **FIT)
        for columns in (np.array([0]), np.array([1, 2]))
    ]
    whole = mapping.null_test(listeners[0], [summary], surrogates=shifts, seed=0)
    parts = mapping.null_test(listeners[0], blocks, surrogates=shifts, seed=0)
    for name in ("observed", "null_mean", "null_sd", "p", "p_corrected", "maxima"):
        np.testing.assert_allclose(getattr(whole, name), getattr(parts, name), rtol=1e-5, atol=1e-7, err_msg=name)


def test_the_planted_pair_is_found_and_nothing_else(listeners, shifts, summary):
    test = mapping.null_test(listeners[0], [summary], surrogates=shifts, seed=0)
    assert test.p_corrected.shape == (3, 4)
    assert np.argwhere(test.p_corrected <= 0.05).tolist() == [[0, 0]]
    assert test.p_corrected[0, 0] == test.p[0, 0] == 1 / (1 + N)
    assert (test.p_corrected >= test.p - 1e-12).all()
    assert (test.features, test.channels) == (listeners[0].features, listeners[0].channels)
    assert (test.n_permutations, test.seed) == (N, 0)
    assert test.maxima.shape == (1 + N,)
    assert "null_test" in str(test.provenance.to_json())


def test_p_values_below_what_surrogates_count_are_flagged(rng):
    designs = [replace(make_design(rng, n_features=12, n_channels=6, lags=(-1, 5), signal=2.0), subject="01")]
    shifts = draw(designs, n=199)
    test = mapping.null_test(designs[0], [mapping.null_summary(designs, shifts, **FIT)], surrogates=shifts, seed=0)
    assert test.p[0, 0] == 1 / 200
    assert test.p_tail[0, 0] < 1 / 2000
    assert test.extrapolated[0, 0]
    assert not test.extrapolated[test.p > 1 / 200].any()
    np.testing.assert_array_equal(test.p_tail[test.p > 1 / 200], test.p[test.p > 1 / 200])
    assert test.q[0, 0] < 0.05
    assert "extrapolated" in test.tail_note
    again = type(test).unpack(test.pack())
    np.testing.assert_array_equal(again.p_tail, test.p_tail)
    np.testing.assert_array_equal(again.q, test.q)


def test_progress_is_told_feature_by_feature(listeners, shifts):
    told = []
    mapping.null_summary(listeners, shifts, **FIT, report=lambda *words: told.append(words))
    assert told == [(1, 3, "features"), (2, 3, "features"), (3, 3, "features")]


@pytest.mark.parametrize("change", ["features", "channels"])
def test_listeners_who_are_not_alike_are_refused(listeners, shifts, change):
    if change == "features":
        other = listeners[1].select(np.array([0, 2]))
    else:
        other = replace(listeners[1], channels=("a", "b", "c", "d"))
    with pytest.raises(ShapeMismatch, match="same features and channels") as caught:
        mapping.null_summary([listeners[0], other], shifts, **FIT)
    assert caught.value.got == "02 differs from 01"


def test_nobody_is_refused():
    with pytest.raises(ValueProblem, match="at least one listener"):
        mapping.null_summary([], [], **FIT)


def test_a_channel_without_any_signal_is_refused(listeners, shifts):
    trials = [replace(trial, y=trial.y * np.array([1.0, 1.0, 1.0, 0.0])) for trial in listeners[0].trials]
    flat = replace(listeners[0], trials=tuple(trials))
    with pytest.raises(ValueProblem, match="constant"):
        mapping.null_summary([flat], shifts[:1], **FIT)
