"""Backward and group models: against mtrf, against refitting from data, and on real EEG."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.direction import backward, fit_group
from brainalign.encoding.folds import assign_folds
from brainalign.encoding.multivariate import fit_encoding
from brainalign.encoding.penalty import Regulariser, to_mtrf
from brainalign.encoding.prediction import predict, trial_scores
from tests.encoding.designs import make_design


def in_microvolts(design):
    """Return the design with responses that single precision holds exactly."""
    trials = tuple(replace(t, y=(1e5 * t.y).astype(np.float32).astype(float)) for t in design.trials)
    return replace(design, trials=trials)


def test_backward_models_are_mtrfs(rng):
    mtrf = pytest.importorskip("mtrf")
    design = replace(in_microvolts(make_design(rng, n_trials=4)), lags=Lags(0, 6, 50))
    grid = np.array([1e-2, 1.0, 1e2])
    found = fit_encoding(
        backward(design), penalties=grid, n_folds=4, nested=False, regulariser=Regulariser("ridge", "mtrf")
    )
    x = [t.x.block(0, 3).astype(float) for t in design.trials]
    y = [np.asarray(t.y) for t in design.trials]
    peer = mtrf.TRF(direction=-1)
    r = peer.train(x, y, 50, 0.0, 0.12, grid, reg_per_y_channel=True, verbose=False)
    np.testing.assert_allclose(found.score, r.max(axis=0), atol=1e-8)
    np.testing.assert_allclose(to_mtrf(found)[0], peer.weights, atol=1e-8 * np.abs(peer.weights).max())
    reconstructed, _ = peer.predict(x, y, average=False)
    for own, theirs in zip(predict(found, backward(design)), reconstructed, strict=True):
        np.testing.assert_allclose(own, theirs, atol=1e-8)


def test_backward_twice_is_forward(rng):
    design = in_microvolts(make_design(rng))
    there_and_back = backward(backward(design))
    assert there_and_back.lags == design.lags
    assert there_and_back.features == design.features
    for one, other in zip(there_and_back.trials, design.trials, strict=True):
        np.testing.assert_array_equal(one.y, other.y)
        np.testing.assert_array_equal(one.x.values, other.x.block(0, 3))


def test_unusable_responses_do_not_reach_the_reconstruction(rng):
    design = make_design(rng, masked=True)
    trials = tuple(replace(t, y=np.where(t.mask[:, None], t.y, 1e3)) for t in design.trials)
    spoilt = fit_encoding(backward(replace(design, trials=trials)), n_folds=4)
    np.testing.assert_array_equal(spoilt.scores, fit_encoding(backward(design), n_folds=4).scores)
    # Lags of -2 to 5 frames: the frames before and after the gap of 40 to 59 that reach into it.
    used = backward(design).trials[0].mask
    np.testing.assert_array_equal(np.flatnonzero(~used), np.arange(40 - 5, 60 + 2))


def test_targets_are_chosen_by_name(rng):
    design = make_design(rng)
    assert backward(design, targets=["f2"]).channels == ("f2",)
    with pytest.raises(ValueProblem, match="not among the features"):
        backward(design, targets=["f9"])


def listeners(rng, n=3):
    """Return listeners of the same stimuli, each with noise and a gain of their own."""
    base = make_design(rng)
    designs = []
    for number in range(n):
        trials = tuple(replace(t, y=(1 + number) * (t.y + 1e-5 * rng.standard_normal(t.y.shape))) for t in base.trials)
        designs.append(replace(base, trials=trials, subject=f"{number:02d}"))
    return designs


def standardised(design):
    y = np.vstack([t.y for t in design.trials])
    trials = tuple(replace(t, y=(t.y - y.mean(axis=0)) / y.std(axis=0)) for t in design.trials)
    return replace(design, trials=trials)


def test_a_group_model_is_the_model_of_all_trials(rng):
    designs = listeners(rng)
    found = fit_group(designs, n_folds=4, penalties=(0.1, 1.0))
    everything = replace(designs[0], trials=sum((standardised(d).trials for d in designs), ()))
    whole = fit_encoding(everything, n_folds=4, penalties=(0.1, 1.0))
    np.testing.assert_allclose(found.model.coef, whole.coef, atol=1e-10)
    np.testing.assert_array_equal(found.alpha[1], whole.alpha[:, 0])
    assert found.scores.shape == (3, 4, 4)
    assert found.subjects == ("00", "01", "02")
    assert found.scores[:, :, 0].min() > 0.1


def test_a_generic_model_has_heard_neither_listener_nor_stimulus(rng):
    designs = listeners(rng)
    found = fit_group(designs, n_folds=4, penalties=(1.0,), generic=True)
    folds = assign_folds([t.name for t in designs[0].trials], 4)
    others = [standardised(designs[0]), standardised(designs[2])]
    for fold in range(4):
        heard = [t for d in others for t, k in zip(d.trials, folds, strict=True) if k != fold]
        model = fit_encoding(replace(designs[1], trials=tuple(heard)), n_folds=3, penalties=(1.0,))
        new = replace(designs[1], trials=tuple(t for t, k in zip(designs[1].trials, folds, strict=True) if k == fold))
        predicted, observed = np.vstack(predict(model, new)), np.vstack([t.y for t in new.trials])
        r = [np.corrcoef(predicted[:, c], observed[:, c])[0, 1] for c in range(4)]
        np.testing.assert_allclose(found.scores[1, fold], r, atol=1e-10)


def test_groups_that_do_not_fit_together_are_refused(rng):
    designs = listeners(rng, n=2)
    with pytest.raises(ShapeMismatch, match="same features, channels and lags"):
        fit_group([designs[0], replace(designs[1], lags=Lags(0, 3, 50))])
    with pytest.raises(ValueProblem, match="other listeners"):
        fit_group(designs[:1], generic=True)
    with pytest.raises(ValueProblem, match="trials in every fold"):
        fit_group([designs[0], replace(designs[1], trials=designs[1].trials[:2])])


N_BLOCKS, BLOCK, RATE = 5, 640, 64


def real_listener(root, subject, *, n_repeats=10):
    """Return a design of 10 s blocks; all repeats of one stretch of the stimulus bear one name."""
    folder = root.parent / "shared" / "data" / "eeg_dtu_single_talker"
    if not folder.is_dir():
        pytest.skip("the real EEG recordings (eeg_dtu_single_talker) are not there")
    trials = []
    for repeat in range(n_repeats):
        with np.load(folder / f"DTU_S{subject}_{repeat:03d}.npz") as file:
            eeg, envelope = file["eeg"].astype(float), file["envelope"]
        for block in range(N_BLOCKS):
            part = slice(block * BLOCK, (block + 1) * BLOCK)
            x = Trajectory(envelope[part], TimeAxis(RATE, BLOCK), ("envelope",))
            trials.append(Trial(f"block{block}", x, eeg[part], np.ones(BLOCK, dtype=bool)))
    channels = tuple(f"A{i}" for i in range(eeg.shape[1]))
    return Design(tuple(trials), Lags(0, 16, RATE), channels, np.full((len(channels), 3), np.nan), subject=str(subject))


def moved(design):
    """Return the design with every stimulus half a block late (circularly)."""
    trials = tuple(replace(t, x=replace(t.x, values=np.roll(t.x.values, BLOCK // 2, axis=0))) for t in design.trials)
    return replace(design, trials=trials)


@pytest.mark.parametrize("subject", [1, 4])
def test_the_envelope_is_reconstructed_from_real_eeg(root, subject):
    """Published for these recordings: r about 0.16 in held-out 10 s blocks, about 0 when misaligned."""
    design = real_listener(root, subject)
    found = fit_encoding(backward(design), penalties=np.logspace(-3, 2, 6))
    assert 0.08 < found.score[0] < 0.30
    assert abs(fit_encoding(backward(moved(design)), penalties=np.logspace(-3, 2, 6)).score[0]) < 0.06


def test_real_listeners_follow_each_others_models(root):
    designs = [real_listener(root, subject, n_repeats=4) for subject in (1, 2, 3)]
    found = fit_group(designs, generic=True, penalties=(0.1, 1.0, 10.0), regulariser="ridge")
    assert found.scores.mean() > 0.01
    assert trial_scores(fit_encoding(designs[0]), designs[0]).mean() > found.scores[0].mean()
