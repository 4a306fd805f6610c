"""Other pairings and other responses: budgets, workers, shared stimuli, early stopping, mistakes."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.encoding import memory, rotations, surrogates
from brainalign.encoding.massunivariate import LagModel
from brainalign.encoding.memory import Compute
from brainalign.encoding.pairs import cut_to_one_length, paired_listeners, paired_scores
from brainalign.encoding.surrogates import surrogate_listeners, surrogate_scores
from tests.encoding.designs import make_design
from tests.encoding.test_edge_cases import with_features
from tests.encoding.test_memory import wide_design

FIT = {"penalties": (0.1, 10.0), "n_folds": 4}


def pairings_of(rng, design, n=7):
    k = len(design.trials)
    return np.vstack([np.arange(k), *(rng.permutation(k) for _ in range(n))])


class Noise:
    """Surrogate responses that travel to workers."""

    def __init__(self, design):
        self.data = [np.asarray(t.y) for t in design.trials]

    def __call__(self, number):
        rng = np.random.default_rng(number)
        return self.data if number == 0 else [rng.standard_normal(y.shape) for y in self.data]


def both(design, pairings, **kwargs):
    """Return the scores of both engines, ``(2, n_features, n, n_channels)``."""
    paired = paired_scores(design, pairings, **FIT, **kwargs)
    beside = surrogate_scores(design, Noise(design), n=len(pairings), **FIT, **kwargs)
    return np.array([list(paired), list(beside)])


@pytest.mark.parametrize("size", [1, 3])
def test_scores_are_the_same_for_any_block_and_portion(rng, monkeypatch, size):
    design = make_design(rng, n_features=5)
    pairings = pairings_of(rng, design)
    whole = both(design, pairings, dtype=np.float64)
    monkeypatch.setattr(memory.Compute, "block_size", lambda self, *_, **__: size)
    monkeypatch.setattr(rotations, "columns_at_once", lambda *_: size * 4)
    np.testing.assert_allclose(both(design, pairings, dtype=np.float64), whole, rtol=1e-12, atol=1e-12)


def test_no_byte_depends_on_the_number_of_workers(rng, monkeypatch):
    design = make_design(rng, n_features=7)
    pairings = pairings_of(rng, design, 3)
    monkeypatch.setattr(rotations, "_FEATURES", 2)
    monkeypatch.setattr(surrogates, "_FEATURES", 2)
    one, several = (both(design, pairings, compute=Compute(n_jobs=n)) for n in (1, 2))
    assert one.tobytes() == several.tobytes()


@pytest.mark.parametrize("same", [True, False])
def test_listeners_share_stimuli_without_changing_a_score(rng, same, monkeypatch):
    one, other = make_design(rng), make_design(rng)
    if same:
        pairs = zip(one.trials, other.trials, strict=True)
        other = Design(tuple(Trial(a.name, a.x, b.y, b.mask) for a, b in pairs), one.lags, one.channels, one.positions)
    pairings = [pairings_of(rng, one), pairings_of(rng, one, 3)]
    built = []
    monkeypatch.setattr(rotations, "ring_nest", lambda *args, f=rotations.ring_nest: built.append(1) or f(*args))
    together = list(paired_listeners([one, other], pairings, **FIT))
    assert len(built) == (1 if same else 2)
    beside = list(surrogate_listeners([one, other], [Noise(one), Noise(other)], n=3, **FIT))
    for i, design in enumerate((one, other)):
        alone = list(paired_scores(design, pairings[i], **FIT))
        assert np.array([scores[i] for scores in together]).tobytes() == np.array(alone).tobytes()
        alone = list(surrogate_scores(design, Noise(design), n=3, **FIT))
        assert np.array([scores[i] for scores in beside]).tobytes() == np.array(alone).tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dead_and_constant_features_score_zero(rng, dtype):
    design = with_features(make_design(rng), lambda x, _: np.stack([0 * x[:, 0], 0 * x[:, 0] + 0.3], axis=1))
    assert np.all(both(design, pairings_of(rng, design), dtype=dtype) == 0)


def test_a_response_that_is_missing_in_one_fold_scores_zero_wherever_it_stands(rng):
    design = cut_to_one_length(make_design(rng, n_trials=4))
    trials = list(design.trials)
    trials[2] = replace(trials[2], mask=np.zeros(trials[2].axis.n, dtype=bool))
    design = replace(design, trials=tuple(trials))
    scores = next(paired_scores(design, np.array([[0, 1, 2, 3], [2, 1, 0, 3]]), **FIT))
    assert np.isfinite(scores).all()
    assert np.all(np.abs(scores) <= 0.75)


def test_single_precision_agrees_with_double(rng):
    design = make_design(rng, as_csr=True)
    single, double = (both(design, pairings_of(np.random.default_rng(1), design), dtype=t) for t in (np.float32, float))
    np.testing.assert_allclose(single, double, atol=2e-5)


@pytest.mark.parametrize("per", ["channel", "feature"])
def test_hopeless_channels_are_left_and_the_rest_is_scored_the_same(rng, per):
    design = make_design(rng, n_channels=6, n_features=2, n_trials=8, signal=1.0)
    kwargs = {"dtype": np.float64, "model": LagModel(penalty_per=per), **FIT}
    pairings = pairings_of(rng, design, 100)
    full = np.array(list(paired_scores(design, pairings, **kwargs)))
    early = np.array(list(paired_scores(design, pairings, stop_hopeless=5, **kwargs)))
    there = np.isfinite(early)
    np.testing.assert_allclose(early[there], full[there], atol=1e-12)
    assert there[0, :, 0].all()
    assert there.mean() < (0.7 if per == "channel" else 0.9)


def test_a_planted_response_is_found_by_pairing_only_where_it_is(rng):
    design = make_design(rng, n_trials=8, signal=1.0)
    p = np.array([(s >= s[0]).mean(axis=0) for s in paired_scores(design, pairings_of(rng, design, 199), **FIT)])
    assert p[0, 0] == 1 / 200
    assert np.median(p[1:]) > 0.1


def test_trials_are_cut_at_their_ends_to_the_shortest(rng):
    design = make_design(rng, masked=True)
    cut = cut_to_one_length(design)
    assert {trial.axis.n for trial in cut.trials} == {300}
    for before, after in zip(design.trials, cut.trials, strict=True):
        np.testing.assert_array_equal(after.y, before.y[:300])
        np.testing.assert_array_equal(after.mask, before.mask[:300])
    assert cut_to_one_length(cut) is cut


def test_the_budget_is_kept(rng):
    design = wide_design(rng, 64)
    pairings = pairings_of(rng, design, 20)
    paired = paired_scores(design, pairings, n_folds=3, compute=Compute(memory="150MB"))
    beside = surrogate_scores(design, Noise(design), n=9, n_folds=3, compute=Compute(memory="20MB"))
    for scores, budget in ((paired, 150e6), (beside, 20e6)):
        tracemalloc.start()
        assert sum(1 for _ in scores) == 64
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1.3 * budget


def test_mistakes_are_told(rng):
    design = make_design(rng)
    for rows, error, told in (
        (np.zeros((2, 4), dtype=int), ShapeMismatch, "pairings must be pairings by trials"),
        (np.zeros((2, 5), dtype=int), ValueProblem, "every response once"),
    ):
        with pytest.raises(error, match=told):
            next(paired_scores(design, rows, **FIT))
    swapped = np.array([[1, 0, 2, 3, 4]])
    with pytest.raises(ValueProblem, match="early stopping needs the data as its first pairing"):
        next(paired_scores(design, swapped, stop_hopeless=5, **FIT))
    with pytest.raises(ValueProblem, match="feature by feature"):
        next(paired_scores(design, swapped, model=LagModel(penalty_per="all"), **FIT))
    with pytest.raises(ValueProblem, match="feature by feature"):
        next(surrogate_scores(design, Noise(design), n=1, model=LagModel(penalty_per="all"), **FIT))
    with pytest.raises(ValueProblem, match="at least one response"):
        next(surrogate_scores(design, Noise(design), n=0, **FIT))
    with pytest.raises(ShapeMismatch, match="shapes of the data's"):
        next(surrogate_scores(design, lambda _: [t.y[1:] for t in design.trials], n=1, **FIT))


def test_torch_gives_the_same_numbers(rng):
    pytest.importorskip("torch")
    design = make_design(rng)
    pairings = pairings_of(rng, design)
    here, there = (both(design, pairings, dtype=np.float64, compute=Compute(device=d)) for d in (None, "cpu"))
    np.testing.assert_allclose(there, here, atol=1e-10)
