"""What joint models promise beyond their arithmetic: edge cases, options, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.design import Design, Trial
from brainalign.core.errors import NotFinite, ShapeMismatch, UnknownName, ValueProblem
from brainalign.core.saving import load, save
from brainalign.core.time import Lags
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.multivariate import Numerics, fit_encoding
from brainalign.encoding.penalty import Regulariser
from brainalign.encoding.prediction import predict, trial_scores
from tests.encoding.designs import make_design


def with_features(design, change):
    """Return the design with its features replaced by ``change(x)``."""
    trials = []
    for t in design.trials:
        x = change(t.x.block(0, t.x.n_features))
        trials.append(replace(t, x=Trajectory(x, t.axis, tuple(f"f{i}" for i in range(x.shape[1])))))
    return replace(design, trials=tuple(trials))


def test_the_planted_response_is_found_at_its_lag(rng):
    found = fit_encoding(make_design(rng, signal=2.0))
    assert found.lags.samples[found.response("f0")[:, 0].argmax()] == 3
    assert found.score[0] > 0.7
    assert np.abs(found.score[1:]).max() < 0.2
    with pytest.raises(UnknownName, match="did you mean"):
        found.response("f00")


def test_cross_validated_scores_are_near_those_of_new_data(rng):
    design, new = make_design(rng, n_trials=8), make_design(np.random.default_rng(7), n_trials=20)
    found = fit_encoding(design, n_folds=4)
    assert trial_scores(found, new)[:, 0].mean() == pytest.approx(found.score[0], abs=0.05)


@pytest.mark.parametrize("kind", ["ridge", "tikhonov-1", "tikhonov-2"])
@pytest.mark.parametrize("case", ["dead", "constant", "duplicated", "collinear", "single"])
def test_awkward_features_change_nothing_that_matters(rng, kind, case):
    extra = {
        "dead": lambda x: np.zeros_like(x[:, :1]),
        "constant": lambda x: np.full_like(x[:, :1], 3.0),
        "duplicated": lambda x: x[:, :1],
        "collinear": lambda x: x[:, :1] * np.float32(1 + 1e-6) + x[:, 1:2] * np.float32(1e-6),
        "single": lambda x: (np.arange(len(x)) == 100).astype(np.float32)[:, None],
    }[case]
    design = make_design(rng, n_features=2)
    plain = fit_encoding(design, n_folds=4, regulariser=kind)
    found = fit_encoding(with_features(design, lambda x: np.hstack([x, extra(x)])), n_folds=4, regulariser=kind)
    assert np.isfinite(found.coef).all()
    assert np.isfinite(found.scores).all()
    assert found.score[0] == pytest.approx(plain.score[0], abs=0.03)
    if case == "dead":
        assert not found.coef[2].any()


@pytest.mark.parametrize("solver", ["cholesky", "eigen", "kernel"])
def test_silence_predicts_nothing(rng, solver):
    silent = with_features(make_design(rng), np.zeros_like)
    found = fit_encoding(silent, n_folds=4, numerics=Numerics(solver=solver))
    assert not found.scores.any()
    assert not found.coef.any()


@pytest.mark.parametrize("solver", ["cholesky", "eigen", "kernel"])
def test_a_penalty_of_nothing_is_least_squares_of_smallest_norm(rng, solver):
    design = with_features(make_design(rng, n_features=2), lambda x: np.hstack([x, x[:, :1]]))
    found = fit_encoding(design, penalties=[0.0], n_folds=4, numerics=Numerics(solver=solver))
    np.testing.assert_allclose(found.coef[0], found.coef[2], atol=1e-12)
    single = fit_encoding(design.select(np.array([0, 1])), penalties=[0.0], n_folds=4)
    np.testing.assert_allclose(found.coef[0] + found.coef[2], single.coef[0], atol=1e-12)
    np.testing.assert_allclose(found.scores, single.scores, atol=1e-7)


@pytest.mark.parametrize("solver", ["cholesky", "eigen", "kernel"])
def test_an_enormous_penalty_leaves_the_direction_of_the_cross_covariance(rng, solver):
    design = make_design(rng)
    huge, larger = (
        fit_encoding(design, penalties=[p], n_folds=4, numerics=Numerics(solver=solver)) for p in (1e12, 1e13)
    )
    assert np.abs(huge.coef).max() < 1e-15
    np.testing.assert_allclose(huge.scores, larger.scores, atol=1e-9)
    assert huge.score[0] > 0.1


def test_one_channel_one_feature_one_lag(rng):
    design = make_design(rng, n_features=1, n_channels=1, lags=(3, 3))
    found = fit_encoding(design, n_folds=3)
    assert found.coef.shape == (1, 1, 1)
    assert found.score[0] > 0.3


def test_a_shared_penalty_is_shared(rng):
    found = fit_encoding(make_design(rng), per_channel=False)
    assert np.ptp(found.alpha, axis=2).max() == 0
    assert np.ptp(found.coef_alpha) == 0


def test_scores_that_chose_the_penalty_are_flattered(rng):
    design = make_design(rng, signal=0.0)
    honest, flattered = (fit_encoding(design, nested=nested) for nested in (True, False))
    assert flattered.score.mean() >= honest.score.mean()


def test_a_smoother_asks_for_smoother_responses(rng):
    design = make_design(rng, signal=1.0)
    rough, smooth = (
        fit_encoding(design, penalties=[3.0], regulariser=kind).response("f0")[:, 0] for kind in ("ridge", "tikhonov-2")
    )
    bend = [np.abs(np.diff(w, n=2)).sum() / np.abs(w).sum() for w in (rough, smooth)]
    assert bend[1] < bend[0] / 2


def test_all_components_are_the_features_themselves(rng):
    design = make_design(rng)
    plain, whole = (fit_encoding(design, n_folds=4, pca=pca) for pca in (None, 3))
    np.testing.assert_allclose(whole.scores, plain.scores, atol=1e-10)
    np.testing.assert_allclose(whole.coef, plain.coef, atol=1e-14)


@pytest.mark.parametrize("keep", [2, 0.9])
def test_components_are_learnt_in_training_trials(rng, keep):
    """Features of rank 2 lose nothing by two components; each band has its own."""
    mix = rng.standard_normal((2, 6)).astype(np.float32)
    design = with_features(make_design(rng, n_features=2), lambda x: x @ mix)
    full, reduced = (fit_encoding(design, n_folds=4, penalties=[1e-6], pca=pca) for pca in (None, keep))
    assert reduced.score[0] == pytest.approx(full.score[0], abs=1e-3 if keep == 2 else 0.3)
    banded = replace(design, bands={"one": (0, 1, 2), "two": (3, 4, 5)})
    assert fit_encoding(banded, n_folds=4, pca=1).alpha.shape == (4, 2, 4)


@pytest.mark.parametrize("pca", [0, -1.0])
def test_impossible_components_are_refused(rng, pca):
    with pytest.raises(ValueProblem, match="number of components or a share"):
        fit_encoding(make_design(rng), pca=pca)


def test_float32_agrees_with_float64(rng):
    design = make_design(rng, as_csr=True)
    single, double = (
        fit_encoding(design, penalties=(1.0,), numerics=Numerics(dtype=t)) for t in (np.float32, np.float64)
    )
    np.testing.assert_allclose(single.scores, double.scores, atol=1e-5)


def test_more_columns_than_frames_take_the_kernel(rng, monkeypatch):
    design = make_design(rng, n_trials=3, n_features=150)
    monkeypatch.delattr("brainalign.encoding.multivariate.fold_moments")
    assert fit_encoding(design, penalties=[1.0], n_folds=3).coef.shape == (150, 8, 4)


def test_the_kernel_is_refused_where_it_cannot_be(rng):
    with pytest.raises(ValueProblem, match="ridge between silences only"):
        fit_encoding(make_design(rng), numerics=Numerics(edges="circular", solver="kernel"))


@pytest.mark.parametrize("penalties", [[], [-1.0], [np.inf], [np.nan]])
def test_impossible_penalties_are_refused(rng, penalties):
    with pytest.raises(ValueProblem, match="penalties must be finite"):
        fit_encoding(make_design(rng), penalties=penalties)


def test_unknown_names_are_refused():
    with pytest.raises(UnknownName, match="did you mean 'tikhonov-"):
        Regulariser("tikhonov")
    with pytest.raises(UnknownName, match="did you mean 'mtrf'"):
        Regulariser(convention="mtrfs")


def test_overlapping_bands_are_refused(rng):
    with pytest.raises(ValueProblem, match="one band only"):
        fit_encoding(replace(make_design(rng), bands={"a": (0, 1), "b": (1,)}))


def test_nan_and_short_trials_are_refused(rng):
    design = make_design(rng)
    first = design.trials[0]
    with pytest.raises(NotFinite, match="not finite"):
        Trial(first.name, first.x, np.where(np.arange(300)[:, None] == 5, np.nan, first.y), first.mask)
    with pytest.raises(ValueProblem, match="too short for the lag window"):
        fit_encoding(replace(design, lags=Lags(0, 200, 50)))


def test_a_constant_channel_is_refused(rng):
    design = make_design(rng)
    flat = tuple(replace(t, y=np.where([1, 0, 1, 1], t.y, 0.1)) for t in design.trials)
    with pytest.raises(ValueProblem, match="a channel is constant"):
        fit_encoding(replace(design, trials=flat))


def test_predictions_need_the_same_features(rng):
    design = make_design(rng)
    found = fit_encoding(design, penalties=[1.0])
    with pytest.raises(ShapeMismatch, match="fitted with"):
        predict(found, design.select(np.array([0])))


def test_a_result_reaches_the_disk_and_comes_back(rng, tmp_path):
    found = fit_encoding(make_design(rng))
    back = load(save(found, tmp_path / "model"))
    np.testing.assert_array_equal(back.coef, found.coef)
    assert back.provenance == found.provenance


def test_a_dc_offset_costs_no_precision(rng):
    design = make_design(rng)
    moved = Design(
        tuple(replace(t, y=t.y + 1.0) for t in design.trials), design.lags, design.channels, design.positions
    )
    one, other = fit_encoding(design), fit_encoding(moved)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-9)
