"""Where models meet statistics: rotations per listener, blocks of features, and one test of them all."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from brainalign import mapping
from brainalign.core.design import Design, Trial
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.massunivariate import feature_maps
from brainalign.stats.group import fisher_mean
from tests.encoding.designs import make_design

FIT = {"penalties": (0.1, 10.0), "n_folds": 3}
N = 39


@pytest.fixture(scope="module")
def listeners():
    """Two listeners whose first channel follows the first feature."""
    rng = np.random.default_rng(3)
    return [replace(make_design(rng, lags=(-1, 5)), subject=subject) for subject in ("01", "02")]


@pytest.fixture(scope="module")
def shifts(listeners):
    return [mapping.draw_shifts(design, n_permutations=N, seed=0)[0] for design in listeners]


@pytest.fixture(scope="module")
def summary(listeners, shifts):
    return mapping.null_summary(listeners, shifts, **FIT)


def test_one_seed_gives_one_set_of_shifts_per_listener(listeners, shifts):
    again, distance = mapping.draw_shifts(listeners[0], n_permutations=N, seed=0)
    np.testing.assert_array_equal(again, shifts[0])
    assert again.shape == (1 + N, len(listeners[0].trials))
    assert not again[0].any()
    assert distance > listeners[0].lags.n
    n_frames = np.array([trial.axis.n for trial in listeners[0].trials])
    assert (again[1:] >= distance).all()
    assert (again[1:] <= n_frames - distance).all()


def test_listeners_and_seeds_are_shifted_differently(listeners, shifts):
    assert (shifts[0][1:] != shifts[1][1:]).mean() > 0.9
    other, _ = mapping.draw_shifts(listeners[0], n_permutations=N, seed=1)
    assert (other[1:] != shifts[0][1:]).mean() > 0.9


def test_shifts_follow_the_name_and_not_the_data_of_the_listener(listeners, shifts):
    design = replace(listeners[1], subject="01")
    again, distance = mapping.draw_shifts(design, n_permutations=N, seed=0)
    if distance == mapping.draw_shifts(listeners[0], n_permutations=N, seed=0)[1]:
        np.testing.assert_array_equal(again, shifts[0])


def test_slower_responses_are_shifted_further(rng):
    white = rng.standard_normal((3000, 2))
    distances = []
    for memory in (0.0, 0.9):
        y = lfilter([1], [1, -memory], white, axis=0)
        x = Trajectory(np.ones((3000, 1), dtype=np.float32), TimeAxis(50, 3000), ("f",))
        design = Design((Trial("a", x, y, np.ones(3000, dtype=bool)),), Lags(0, 10, 50), ("p", "q"), np.zeros((2, 3)))
        distances.append(mapping.draw_shifts(design, n_permutations=9, seed=0)[1])
    assert distances[0] <= 11 + 2
    assert distances[1] > distances[0] + 15


def test_a_trial_too_short_to_be_rotated_is_refused(rng):
    design = make_design(rng, lags=(-2, 200))
    with pytest.raises(ValueProblem, match="too short for a circular-shift null"):
        mapping.draw_shifts(design, n_permutations=9, seed=0)


def test_the_first_row_of_a_null_is_the_group_of_ring_models(listeners, shifts):
    """Alone, each listener's observed score is what the group averages on Fisher's scale."""
    alone = [
        mapping.null_summary([design], [rotations], **FIT).observed
        for design, rotations in zip(listeners, shifts, strict=True)
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
    whole = mapping.null_test(listeners[0], [summary], n_permutations=N, seed=0)
    parts = mapping.null_test(listeners[0], blocks, n_permutations=N, seed=0)
    for name in ("observed", "null_mean", "null_sd", "p", "p_corrected", "maxima"):
        np.testing.assert_allclose(getattr(whole, name), getattr(parts, name), rtol=1e-5, atol=1e-7, err_msg=name)


def test_the_planted_pair_is_found_and_nothing_else(listeners, summary):
    test = mapping.null_test(listeners[0], [summary], n_permutations=N, seed=0)
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
    shifts = [mapping.draw_shifts(designs[0], n_permutations=199, seed=0)[0]]
    test = mapping.null_test(designs[0], [mapping.null_summary(designs, shifts, **FIT)], n_permutations=199, seed=0)
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
