"""Decoys: every column is where the key says, and nothing but the key says so."""

import json

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.errors import GridMismatch, ShapeMismatch
from brainalign.core.provenance import Provenance
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.features.controls import DecoyKey, mix_with_decoys

N_FEATURES = 40
NAMES = tuple(f"sae-{i}" for i in range(N_FEATURES))


def _trial(seed, *, n=120, t0="0.0125", rate=50, dense=False):
    rng = np.random.default_rng(seed)
    values = sparse.random_array((n, N_FEATURES), density=0.1, rng=rng, dtype=np.float32).tocsr()
    provenance = Provenance().then("encode", stimulus=f"sound-{seed}")
    return Trajectory(values.toarray() if dense else values, TimeAxis(rate, n, t0), NAMES, provenance)


@pytest.fixture
def played():
    return [_trial(0), _trial(1, n=90)]


@pytest.fixture
def unplayed():
    return [_trial(10), _trial(11, n=150)]


@pytest.mark.parametrize("dense", [False, True])
def test_the_key_finds_every_column(dense):
    played, unplayed = ([_trial(s, dense=dense) for s in seeds] for seeds in ((0, 1), (10, 11)))
    mixed, key = mix_with_decoys(played, unplayed, seed=3)
    for trial, one, other in zip(mixed, played, unplayed, strict=True):
        assert trial.n_features == 2 * N_FEATURES and trial.axis == one.axis
        for i, (name, decoy) in enumerate(zip(key.names, key.is_decoy, strict=True)):
            column = NAMES.index(name)
            source = other if decoy else one
            np.testing.assert_array_equal(trial.block(i, i + 1), source.block(column, column + 1))
    assert sorted(key.names) == sorted(2 * NAMES)
    assert sum(key.is_decoy) == N_FEATURES


def test_longer_decoys_are_cut(played, unplayed):
    mixed, key = mix_with_decoys(played, unplayed, seed=3)
    assert [trial.axis.n for trial in mixed] == [120, 90]
    decoys = mixed[1].select(np.flatnonzero(key.is_decoy)).values
    assert decoys.nnz == unplayed[1].frames(0, 90).values.nnz


def test_nothing_but_the_key_tells_them_apart(played, unplayed):
    mixed, key = mix_with_decoys(played, unplayed, seed=3)
    for trial in mixed:
        assert trial.features[:2] == ("c0000", "c0001") and trial.features[-1] == "c0079"
        told = json.dumps(trial.provenance.to_json())
        assert "sound" not in told and "seed" not in told
        # In every row the columns rise, as if they had always been one matrix.
        matrix = trial.values
        assert all(
            np.all(np.diff(matrix.indices[a:b]) > 0) for a, b in zip(matrix.indptr, matrix.indptr[1:], strict=False)
        )
    # Decoys are neither all first nor all last.
    where = np.flatnonzero(key.is_decoy)
    assert 30 < where.mean() < 49


def test_the_seed_decides_the_order(played, unplayed):
    keys = [mix_with_decoys(played, unplayed, seed=seed)[1] for seed in (3, 3, 4)]
    assert keys[0] == keys[1] != keys[2]


def test_sparse_is_never_made_dense(played, unplayed, monkeypatch):
    for name in ("toarray", "todense"):
        monkeypatch.setattr(sparse.csr_array, name, lambda *_: pytest.fail("made dense"))
    mixed, _ = mix_with_decoys(played, unplayed, seed=0)
    assert all(trial.is_sparse and trial.values.dtype == np.float32 for trial in mixed)


def test_the_key_survives_json(played, unplayed):
    _, key = mix_with_decoys(played, unplayed, seed=0)
    assert DecoyKey.from_json(json.loads(json.dumps(key.to_json()))) == key


def test_decoys_that_do_not_fit_are_refused(played, unplayed):
    with pytest.raises(ShapeMismatch, match=r"every trial needs its decoys[\s\S]*2 trials, 1 of decoys"):
        mix_with_decoys(played, unplayed[:1], seed=0)
    for wrong in (_trial(12, n=119), _trial(12, t0=0), _trial(12, rate=100)):
        with pytest.raises(GridMismatch, match="decoys of trial 0 are not on its clock, or too short"):
            mix_with_decoys(played, [wrong, unplayed[1]], seed=0)
    with pytest.raises(ShapeMismatch, match="same features"):
        mix_with_decoys(played, [item.renamed(NAMES[::-1]) for item in unplayed], seed=0)
