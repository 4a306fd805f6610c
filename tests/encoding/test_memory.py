"""Budgets, blocks and workers: the same numbers whatever the block, the same bytes whatever the workers."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ValueProblem
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding import massunivariate, memory, rotations
from brainalign.encoding.massunivariate import feature_maps, rotated_listeners, rotated_scores
from brainalign.encoding.memory import Compute, blocks
from brainalign.encoding.unique import unique_rotated
from tests.encoding.designs import make_design

FIT = {"penalties": (0.1, 1.0, 10.0), "n_folds": 4}


def shifts_of(rng, design, n=6):
    return np.vstack([np.zeros((1, len(design.trials)), dtype=int), rng.integers(20, 250, (n, len(design.trials)))])


@pytest.mark.parametrize("bad", ["2", "GB", "-1GB", "0MB", 0, -3])
def test_an_amount_of_memory_needs_a_unit_and_a_sign(bad):
    with pytest.raises(ValueProblem, match="amount of bytes"):
        Compute(memory=bad)


def test_no_workers_are_refused():
    with pytest.raises(ValueProblem, match="n_jobs"):
        Compute(n_jobs=0)


def test_workers_fit_the_budget_and_blocks_do_not_depend_on_them():
    assert Compute(memory=1000, n_jobs=8).workers(300) == 3
    assert Compute(memory=1000, n_jobs=2).workers(300) == 2
    assert Compute(memory=1000, n_jobs=1).block_size(50) == Compute(memory=1000, n_jobs=8).block_size(50) == 20
    assert blocks(0, 3) == []


def test_a_budget_too_small_for_one_feature_is_refused(rng):
    with pytest.raises(ValueProblem, match="too small for one feature"):
        feature_maps(make_design(rng), compute=Compute(memory="1KB"), **FIT)
    with pytest.raises(ValueProblem, match="too small for one feature"):
        next(rotated_scores(make_design(rng), np.zeros((1, 5), dtype=int), compute=Compute(memory="1KB"), **FIT))


@pytest.mark.parametrize("as_csr", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_maps_are_the_same_for_any_block_size(rng, monkeypatch, as_csr, size):
    design = make_design(rng, n_features=7, as_csr=as_csr)
    whole = feature_maps(design, dtype=np.float64, **FIT)
    monkeypatch.setattr(memory.Compute, "block_size", lambda self, *_, **__: size)
    cut = feature_maps(design, dtype=np.float64, **FIT)
    for name in ("scores", "coef", "alpha"):
        np.testing.assert_allclose(getattr(cut, name), getattr(whole, name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, 3])
def test_rotations_are_the_same_for_any_block_and_portion(rng, monkeypatch, size):
    design = make_design(rng, n_features=5)
    shifts = shifts_of(rng, design, 7)
    whole = list(rotated_scores(design, shifts, dtype=np.float64, **FIT))
    monkeypatch.setattr(memory.Compute, "block_size", lambda self, *_, **__: size)
    monkeypatch.setattr(rotations, "columns_at_once", lambda *_: size * 4)
    cut = list(rotated_scores(design, shifts, dtype=np.float64, **FIT))
    np.testing.assert_allclose(cut, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_no_byte_depends_on_the_number_of_workers(rng, monkeypatch, n_jobs):
    design = make_design(rng, n_features=9)
    shifts = shifts_of(rng, design)
    monkeypatch.setattr(memory, "_MOST_FEATURES", 2)
    monkeypatch.setattr(rotations, "_FEATURES", 2)
    one, several = (feature_maps(design, compute=Compute(n_jobs=n), **FIT) for n in (1, n_jobs))
    assert one.scores.tobytes() == several.scores.tobytes()
    assert one.coef.tobytes() == several.coef.tobytes()
    one, several = (list(rotated_scores(design, shifts, compute=Compute(n_jobs=n), **FIT)) for n in (1, n_jobs))
    assert np.array(one).tobytes() == np.array(several).tobytes()


def test_no_byte_of_a_unique_contribution_depends_on_the_number_of_workers(rng):
    design = make_design(rng, n_features=20)
    baseline, shifts = [t.x.select([0]) for t in design.trials], shifts_of(rng, design, 2)
    one, several = (
        list(unique_rotated(design, baseline, shifts, compute=Compute(n_jobs=n), n_folds=4)) for n in (1, 2)
    )
    assert np.array(one).tobytes() == np.array(several).tobytes()


@pytest.mark.parametrize("same", [True, False])
def test_listeners_share_stimuli_without_changing_a_score(rng, same, monkeypatch):
    one = make_design(rng)
    other = make_design(rng)
    if same:
        pairs = zip(one.trials, other.trials, strict=True)
        other = Design(tuple(Trial(a.name, a.x, b.y, b.mask) for a, b in pairs), one.lags, one.channels, one.positions)
    shifts = [shifts_of(rng, one), shifts_of(rng, one, 3)]
    built = []
    monkeypatch.setattr(rotations, "ring_nest", lambda *args, f=rotations.ring_nest: built.append(1) or f(*args))
    together = list(rotated_listeners([one, other], shifts, **FIT))
    assert len(built) == (1 if same else 2)
    for i, design in enumerate((one, other)):
        alone = list(rotated_scores(design, shifts[i], **FIT))
        assert np.array([scores[i] for scores in together]).tobytes() == np.array(alone).tobytes()


def wide_design(rng, n_features):
    trials = []
    for k in range(3):
        x = sparse.random_array((2000, n_features), density=0.02, rng=rng, dtype=np.float32, format="csr")
        axis = TimeAxis(50, 2000)
        features = Trajectory(x, axis, tuple(f"f{i}" for i in range(n_features)))
        trials.append(Trial(f"t{k}", features, rng.standard_normal((2000, 8)), np.ones(2000, dtype=bool)))
    return Design(tuple(trials), Lags(0, 9, 50), tuple("abcdefgh"), np.zeros((8, 3)))


def peak_of(work):
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_peak_memory_is_flat_as_features_grow(rng):
    peaks = {"maps": [], "rotations": []}
    shifts = np.vstack([np.zeros((1, 3), dtype=int), rng.integers(50, 1900, (20, 3))])
    for n_features in (64, 256):
        design, compute = wide_design(rng, n_features), Compute(memory="60MB")
        peaks["maps"].append(peak_of(lambda d=design, c=compute: feature_maps(d, n_folds=3, compute=c)))
        run = lambda d=design, c=compute: [None for _ in rotated_scores(d, shifts, n_folds=3, compute=c)]  # noqa: E731
        peaks["rotations"].append(peak_of(run))
    # The results themselves, and the columns of the sparse features, grow by a few MB.
    assert peaks["maps"][1] < peaks["maps"][0] + 5e6
    assert peaks["rotations"][1] < peaks["rotations"][0] + 3e6
    assert max(peaks["maps"] + peaks["rotations"]) < 60e6


def test_the_map_budget_is_kept(rng):
    design = wide_design(rng, 128)
    for budget in (8e6, 30e6):
        assert peak_of(lambda b=budget: feature_maps(design, n_folds=3, compute=Compute(memory=int(b)))) < 1.3 * budget
    assert massunivariate.PENALTIES
