"""Intersections over unions against their definition, and a chance level that is one."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.errors import GridMismatch, ShapeMismatch, ValueProblem
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.sae.overlap import alive_features, best_overlaps, coverage, duplicates


def codes_of(active: np.ndarray, *, t0: object = "0.0125", rate: object = 50) -> Trajectory:
    values = sparse.csr_array(active.astype(np.float32))
    return Trajectory(values, TimeAxis(rate, len(active), t0), tuple(f"f{i}" for i in range(active.shape[1])))


def runs(rng, *, n: int, n_features: int, share: float, length: int = 8) -> np.ndarray:
    """Features that come in runs, as those of speech do."""
    starts = rng.random((n, n_features)) < share / length
    return np.lib.stride_tricks.sliding_window_view(np.pad(starts, ((length - 1, 0), (0, 0))), length, axis=0).any(-1)


def by_definition(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array(
        [[(a[:, i] & b[:, j]).sum() / max(1, (a[:, i] | b[:, j]).sum()) for j in range(b.shape[1])] for i in
         range(a.shape[1])]
    )  # fmt: skip


def test_best_overlaps_are_those_of_the_definition(rng):
    a, b = rng.random((500, 30)) < 0.2, rng.random((500, 40)) < 0.3
    a[:, 3] = False
    b[:, 7] = a[:, 5]
    best = best_overlaps(sparse.csr_array(a * 2.5), sparse.csr_array(b * 0.1))
    expected = by_definition(a, b)
    np.testing.assert_allclose(best.iou, expected.max(axis=1))
    assert best.iou[5] == 1
    assert best.partner[5] == 7
    assert (best.iou[3], best.partner[3]) == (0, -1)
    np.testing.assert_array_equal(best.n_active, a.sum(axis=0))


def test_blocks_change_nothing(rng, monkeypatch):
    a = sparse.csr_array((rng.random((300, 70)) < 0.1).astype(float))
    whole = best_overlaps(a, a, but_itself=True)
    monkeypatch.setattr("brainalign.sae.overlap.BLOCK", 7)
    parts = best_overlaps(a, a, but_itself=True)
    np.testing.assert_array_equal(whole.iou, parts.iou)
    np.testing.assert_array_equal(whole.partner, parts.partner)


def test_negative_values_are_active_and_stored_zeros_are_not():
    matrix = sparse.csr_array(np.array([[-1.0, 2.0], [0.0, 3.0], [-4.0, 0.0]]))
    matrix.data[matrix.data == 3] = 0
    best = best_overlaps(matrix, matrix, but_itself=True)
    np.testing.assert_array_equal(best.n_active, [2, 1])
    assert best.iou[0] == pytest.approx(1 / 2)


def test_coverage_of_itself_is_whole_and_dead_features_do_not_count(rng):
    a = runs(rng, n=3000, n_features=40, share=0.05)
    a[:, :10] = False
    found = coverage(codes_of(a), codes_of(a), n_shifts=3)
    assert (found.count, found.share) == (30, 1)
    assert not found.alive[:10].any()
    assert found.chance.shape == (3,)
    assert found.chance.max() < 0.1
    np.testing.assert_array_equal(found.alive, alive_features(codes_of(a)))


def test_coverage_is_asymmetric_and_many_may_share_one(rng):
    a, b = (runs(rng, n=4000, n_features=20, share=0.05) for _ in range(2))
    a[:, 1] = a[:, 2] = a[:, 0]
    b[:, 4] = a[:, 0]
    there, back = coverage(codes_of(a), codes_of(b)), coverage(codes_of(b), codes_of(a))
    assert (there.count, back.count) == (3, 1)
    assert duplicates(codes_of(a)).count == 3
    assert duplicates(codes_of(b)).count == 0


def test_theta_must_be_exceeded():
    a, b = np.zeros((40, 1), bool), np.zeros((40, 1), bool)
    a[:10], b[:20] = True, True
    assert coverage(codes_of(a), codes_of(b), n_shifts=0).count == 0
    assert coverage(codes_of(a), codes_of(b), n_shifts=0, theta=0.49).count == 1


def test_unrelated_features_are_covered_as_often_as_chance_says(rng):
    """Without relation, observed and shifted shares are draws of one law: their mean difference is near zero."""
    differences = []
    for _ in range(12):
        a = runs(rng, n=1200, n_features=60, share=0.5, length=30)
        b = runs(rng, n=1200, n_features=60, share=0.5, length=30)
        found = coverage(codes_of(a), codes_of(b), n_shifts=4, theta=0.42)
        differences.append(found.share - found.chance.mean())
    assert 0.2 < found.share < 0.98
    assert abs(np.mean(differences)) < 3 * np.std(differences) / np.sqrt(12) + 0.01


def test_same_seed_same_chance(rng):
    a, b = (codes_of(runs(rng, n=2000, n_features=30, share=0.3)) for _ in range(2))
    first, second = (coverage(a, b, theta=0.2, seed=4).chance for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (coverage(a, b, theta=0.2, seed=5).chance != first).any()


def test_models_of_one_rate_are_paired_by_nearest_frames(rng):
    a = runs(rng, n=2000, n_features=20, share=0.05)
    # The other model's first frame lies two frames and a bit later, and it makes one frame less.
    late = codes_of(a[2:-1], t0=Fraction("0.0125") + Fraction(2, 50) + Fraction("0.009"))
    found = coverage(codes_of(a), late, n_shifts=0)
    assert (found.offset, found.share) == (2, 1)
    assert coverage(late, codes_of(a), n_shifts=0).offset == -2


def test_refusals(rng):
    a = codes_of(runs(rng, n=200, n_features=5, share=0.1))
    with pytest.raises(ValueProblem, match="sparse features"):
        coverage(replace(a, values=a.values.toarray()), a)
    with pytest.raises(ShapeMismatch, match="same sounds"):
        coverage([a, a], [a])
    with pytest.raises(GridMismatch, match=r"equal rates.*\n  got: 50 and 40 Hz"):
        coverage(a, codes_of(np.ones((200, 2), bool), rate=40))
    with pytest.raises(GridMismatch, match="equally long"):
        coverage(a, a.frames(0, 100))
    with pytest.raises(GridMismatch, match=r"\[0, 5\] frames"):
        coverage([a, a], [a, codes_of(np.ones((195, 5), bool), t0="0.1125")])
    with pytest.raises(ValueProblem, match="theta"):
        coverage(a, a, theta=1)
    with pytest.raises(ValueProblem, match="min_frames=0"):
        coverage(a, a, min_frames=0)
    with pytest.raises(ShapeMismatch, match="3 and 2"):
        best_overlaps(sparse.csr_array(np.ones((3, 1))), sparse.csr_array(np.ones((2, 1))))
