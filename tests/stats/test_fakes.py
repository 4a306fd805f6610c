"""Designs without any true relation keep everything else."""

import numpy as np
import pytest

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.stats.fakes import KINDS, backwards, fake, mismatched
from tests.encoding.designs import make_design


@pytest.fixture(params=[False, True], ids=["dense", "sparse"])
def design(rng, request):
    return make_design(rng, as_csr=request.param)


def values(trial):
    return trial.x.block(0, trial.x.n_features)


def test_backwards_twice_is_the_design_itself(design):
    once = backwards(design)
    for before, turned, after in zip(design.trials, once.trials, backwards(once).trials, strict=True):
        np.testing.assert_array_equal(values(turned), values(before)[::-1])
        np.testing.assert_array_equal(values(after), values(before))
        np.testing.assert_array_equal(turned.y, before.y)
        assert turned.x.is_sparse == before.x.is_sparse
        assert turned.axis == before.axis


def test_no_response_keeps_its_story_and_each_story_is_used_once(design):
    broken = mismatched(design, rng=np.random.default_rng(1))
    partners = broken.provenance.steps[-1].parameters["partners"]
    assert sorted(partners.values()) == sorted(partners)
    assert all(one != other for one, other in partners.items())
    by_name = {trial.name: trial for trial in design.trials}
    for trial in broken.trials:
        source, n = by_name[partners[trial.name]], trial.axis.n
        assert n == min(source.axis.n, by_name[trial.name].axis.n)
        np.testing.assert_array_equal(values(trial), values(source)[:n])
        np.testing.assert_array_equal(trial.y, by_name[trial.name].y[:n])
        assert trial.axis == by_name[trial.name].axis.part(0, n)


def test_a_story_heard_twice_stays_one_story(rng):
    design = make_design(rng)
    twice = type(design)(
        (*design.trials, design.trials[0]), design.lags, design.channels, design.positions, subject="01"
    )
    broken = mismatched(twice, rng=rng)
    assert broken.trials[0].name == broken.trials[-1].name
    np.testing.assert_array_equal(values(broken.trials[0]), values(broken.trials[-1]))


def test_all_pairings_are_drawn(rng):
    design = make_design(rng, n_trials=3)
    seen = {tuple(mismatched(design, rng=rng).provenance.steps[-1].parameters["partners"].values()) for _ in range(30)}
    assert seen == {("story-1", "story-2", "story-0"), ("story-2", "story-0", "story-1")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_strong_effect_is_gone(rng, kind):
    from brainalign.encoding.massunivariate import feature_maps

    design = make_design(rng, signal=3.0)
    assert feature_maps(design, n_folds=3).score[0, 0] > 0.8
    assert abs(feature_maps(fake(design, kind=kind, rng=rng), n_folds=3).score[0, 0]) < 0.2


def test_errors(rng):
    design = make_design(rng, n_trials=1)
    with pytest.raises(ValueProblem, match="one story cannot be put beside another's"):
        mismatched(design, rng=rng)
    with pytest.raises(UnknownName, match="did you mean 'reversed'"):
        fake(design, kind="reverse", rng=rng)
