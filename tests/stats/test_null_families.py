"""Do surrogates keep what they promise to keep, and are designs refused that cannot bear them?"""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.signal import lfilter

from brainalign.core.design import Design, Trial
from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.stats.nulls import blocks, circular, pairing
from brainalign.stats.nulls.family import responses_at_rest
from brainalign.stats.nulls.phase import PHASE, randomise_phases
from brainalign.stats.nulls.registry import FAMILIES, NULLS, get_family


def make_design(rng, lengths=(600,) * 9, *, names=None, subject="01", n_channels=3):
    names = names or [f"s{k}" for k in range(len(lengths))]
    trials = []
    for name, n in zip(names, lengths, strict=True):
        y = lfilter([1], [1, -0.5], rng.standard_normal((n, n_channels)), axis=0) * 1e-5 + 3e-5
        x = Trajectory(rng.standard_normal((n, 2)).astype(np.float32), TimeAxis(50, n), ("a", "b"))
        trials.append(Trial(name, x, y, np.ones(n, dtype=bool)))
    return Design(tuple(trials), Lags(0, 10, 50), tuple("xyz")[:n_channels], np.zeros((n_channels, 3)), subject=subject)


@pytest.mark.parametrize("key", FAMILIES)
class TestEveryFamily:
    """What the pipeline relies on, whatever the family."""

    def test_the_data_come_first_and_draws_repeat(self, rng, key):
        design, family = make_design(rng), get_family(key)
        one, again = (family.draw(design, n_permutations=20, seed=3) for _ in range(2))
        assert one.values.tobytes() == again.values.tobytes()
        assert one.n_permutations == 20
        assert not one.exact
        assert one.note
        if family.kind == "rotations":
            assert np.all(one.values[0] == 0)
        elif family.kind == "pairings":
            np.testing.assert_array_equal(one.values[0], np.arange(9))
        else:
            for y, rest in zip(family.responses(design, one.values)(0), responses_at_rest(design), strict=True):
                np.testing.assert_array_equal(y, rest)

    def test_listeners_and_seeds_get_draws_of_their_own(self, rng, key):
        design, family = make_design(rng), get_family(key)
        drawn = [
            family.draw(d, n_permutations=20, seed=seed).values[1:].tobytes()
            for d, seed in ((design, 3), (replace(design, subject="02"), 3), (design, 4))
        ]
        assert len(set(drawn)) == 3

    def test_it_says_what_it_assumes_in_one_sentence(self, rng, key):
        family = get_family(key)
        assert family.key == key
        assert family.assumption.startswith("Were there no effect")
        assert family.assumption.count(".") == 1
        assert family.support(make_design(rng)).level == "good"

    def test_repeats_of_a_story_are_treated_alike(self, rng, key):
        names = ["a", "b", "c", "d", "e", "f", "g", "a", "c", "b"]
        design, family = make_design(rng, (600,) * 7 + (590, 610, 600), names=names), get_family(key)
        values = family.draw(design, n_permutations=30, seed=1).values
        if family.kind == "rotations":
            np.testing.assert_array_equal(values[:, [0, 1, 2]], values[:, [7, 9, 8]])
        elif family.kind == "pairings":
            heard = np.array(names)[values]
            np.testing.assert_array_equal(heard[:, [0, 1, 2]], heard[:, [7, 9, 8]])
            np.testing.assert_array_equal(np.sort(values, axis=1), np.tile(np.arange(10), (31, 1)))
        else:
            twice = replace(design, trials=(*design.trials[:9], replace(design.trials[1], name="b")))
            made = family.responses(twice, values)(5)
            np.testing.assert_array_equal(made[1], made[9])
            assert not np.allclose(made[1], made[2])


def test_the_registry_names_the_sign_flip_by_its_sentence_only():
    assert set(NULLS) - set(FAMILIES) == {"sign-flip"}
    assert NULLS["sign-flip"].kind == "signs"
    with pytest.raises(UnknownName, match="no null of that name"):
        get_family("circular")


class TestPairing:
    """Whole stories."""

    def test_few_stories_are_enumerated(self, rng):
        drawn = pairing.draw(make_design(rng, (600,) * 4), n_permutations=23, seed=0)
        assert drawn.exact
        assert "all 24 distinct pairings" in drawn.note
        assert {tuple(row) for row in drawn.values} == set(permutations(range(4)))
        np.testing.assert_array_equal(drawn.values[0], np.arange(4))

    def test_a_listener_of_several_is_never_enumerated(self, rng):
        drawn = pairing.draw(make_design(rng, (600,) * 4), n_permutations=100, seed=0, n_listeners=3)
        assert (drawn.exact, len(drawn.values)) == (False, 101)

    def test_draws_are_uniform(self, rng):
        values = pairing.draw(make_design(rng, (600,) * 4), n_permutations=24_000, seed=0, n_listeners=2).values[1:]
        counts = np.array(list(Counter(map(tuple, values)).values()))
        assert len(counts) == 24
        assert np.sum((counts - 1000) ** 2 / 1000) < 50

    def test_repeats_count_once(self, rng):
        design = make_design(rng, (600,) * 7, names=list("abcabcd"))
        assert pairing.distinct_pairings(design) == 6
        with pytest.raises(ValueProblem, match="too few stories"):
            pairing.draw(design, n_permutations=99, seed=0)
        assert pairing.draw(design, n_permutations=99, seed=0, n_listeners=2).n_permutations == 99

    def test_ragged_trials_are_cut_with_a_word_or_refused(self, rng):
        lengths = (600,) * 7 + (500, 700)
        drawn = pairing.draw(make_design(rng, lengths), n_permutations=10, seed=0)
        assert f"{1 - 9 * 500 / sum(lengths):.1%} of the frames lost" in drawn.note
        short = make_design(rng, (600,) * 8 + (200,))
        with pytest.raises(ValueProblem, match="differ too much in length") as caught:
            pairing.draw(short, n_permutations=10, seed=0)
        assert "circular-shift" in caught.value.fix
        assert pairing.support(short).level == "refused"
        assert pairing.support(make_design(rng, (600,) * 5)).level == "doubtful"
        assert pairing.support(make_design(rng, (600,) * 3)).level == "refused"


class TestPhase:
    """Random phases."""

    @pytest.mark.parametrize("n", [400, 401])
    def test_auto_and_cross_spectra_stay_exactly(self, rng, n):
        y = lfilter([1], [1, -0.9], rng.standard_normal((n, 3)), axis=0) + 2.0
        y[:, 1] += y[:, 0]
        made = randomise_phases(y, rng=rng)
        one, other = np.fft.rfft(y, axis=0), np.fft.rfft(made, axis=0)
        cross = lambda z: z[:, :, None] * z[:, None, :].conj()  # noqa: E731
        np.testing.assert_allclose(cross(other), cross(one), atol=1e-9 * np.abs(one).max() ** 2)
        np.testing.assert_allclose(made.mean(axis=0), y.mean(axis=0))
        assert abs(np.corrcoef(made[:, 0], y[:, 0])[0, 1]) < 0.7

    def test_surrogates_repeat_travel_and_differ(self, rng):
        design = make_design(rng)
        make = PHASE.responses(design, PHASE.draw(design, n_permutations=5, seed=0).values)
        one, again, other = make(1), pickle.loads(pickle.dumps(make))(1), make(2)
        np.testing.assert_array_equal(one, again)
        assert not np.allclose(one, other)

    def test_gaps_cast_doubt(self, rng):
        design = make_design(rng)
        gaps = [replace(t, mask=np.arange(t.axis.n) > 100) for t in design.trials]
        assert "unusable" in PHASE.support(replace(design, trials=tuple(gaps))).reasons[0]


class TestBlocks:
    """Long pieces."""

    def test_every_frame_comes_once_and_blocks_stay_whole(self, rng):
        design = make_design(rng, (600,) * 8 + (700,))
        drawn = blocks.draw(design, n_permutations=5, seed=0)
        at = [np.arange(t.axis.n)[:, None] * np.ones(3) for t in design.trials]
        numbered = replace(design, trials=tuple(replace(t, y=y) for t, y in zip(design.trials, at, strict=True)))
        for frames, rest in zip(blocks.responses(numbered, drawn.values)(2), responses_at_rest(numbered), strict=True):
            np.testing.assert_allclose(np.sort(frames, axis=0), rest)
            seams = np.flatnonzero(np.abs(np.diff(frames[:, 0]) - 1) > 1e-6)
            assert len(seams) <= len(frames) // blocks.block_frames(design)
            assert np.all(np.diff(seams) >= blocks.block_frames(design))
        assert "seams" in drawn.note

    def test_short_trials_are_refused(self, rng):
        design = make_design(rng, (150,) * 9)
        with pytest.raises(ValueProblem, match="too short to be cut into blocks"):
            blocks.draw(design, n_permutations=5, seed=0)
        found = blocks.support(design)
        assert (found.ok, found.level) == (False, "refused")
        with pytest.raises(ValueProblem, match="too few orders"):
            blocks.draw(make_design(rng, (250,)), n_permutations=1000, seed=0)


def test_circular_shifts_of_short_trials_are_refused_with_numbers(rng):
    found = circular.support(make_design(rng, (120,) * 9))
    assert found.level == "refused"
    assert "120 frames" in found.reasons[0]
    assert found.better == "pairing"


def test_rest_is_the_mean_of_usable_frames(rng):
    design = make_design(rng)
    first = design.trials[0]
    mask = np.arange(first.axis.n) > 50
    design = replace(design, trials=(replace(first, mask=mask), *design.trials[1:]))
    rest = responses_at_rest(design)
    assert np.all(rest[0][:51] == 0)
    total = sum(y[t.mask].sum(axis=0) for y, t in zip(rest, design.trials, strict=True))
    np.testing.assert_allclose(total, 0, atol=1e-12)
