"""What two trainings share is told from what chance gives, feature by feature."""

import json
from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.sae.stability import feature_stability, stability_table, table_of
from brainalign.sae.train import train_sae
from tests.sae.worlds import planted


@pytest.fixture(scope="module")
def seeds(truth, recipe, trained):
    """Two coders of one world, and their features of frames that neither was trained on."""
    coders = {"seed 0": trained, "seed 1": train_sae(truth.trajectories, replace(recipe, n_steps=600), seed=1)}
    unheard = planted(0, n_frames=8000).trajectories
    return coders, {name: [coder.apply(item) for item in unheard] for name, coder in coders.items()}


def test_two_seeds_share_far_more_than_chance(seeds):
    coders, codes = seeds
    # A feature active in most frames is covered by any other such one: that is what chance is for.
    rows = stability_table(codes, coders, n_shifts=2, min_frames=20)
    assert [(row["of"], row["by"]) for row in rows] == [("seed 0", "seed 1"), ("seed 1", "seed 0")]
    for row in rows:
        assert row["coverage"] > row["coverage_chance"] + 0.05
        assert row["covered"] == pytest.approx(row["coverage"] * row["n_alive"])
        assert row["matched_cosine"] > row["matched_cosine_chance"] + 0.2
        assert row["mmcs"] >= row["matched_cosine"]
        assert 0 <= row["duplicates"] < 0.5
    assert json.loads(json.dumps(rows)) == rows


def test_activity_alone_needs_no_coders(seeds):
    _, codes = seeds
    rows = stability_table(codes, n_shifts=0)
    assert "mmcs" not in rows[0]
    assert np.isnan(rows[0]["coverage_chance"])
    with pytest.raises(UnknownName, match="seed 9"):
        stability_table(codes, {"seed 9": None})


def test_each_feature_is_told_how_often_it_is_found_again(seeds):
    coders, codes = seeds
    first, second = codes.values()
    found = feature_stability(
        first,
        {"itself": first, "seed 1": second},
        coders=(coders["seed 0"], {"itself": coders["seed 0"], "seed 1": coders["seed 1"]}),
        n_shifts=1,
    )
    np.testing.assert_array_equal(found.iou[0][found.alive], 1)
    np.testing.assert_allclose(found.cosine[0][found.alive], 1, atol=1e-5)
    both, one = found.stable(), found.stable(at_least=1)
    np.testing.assert_array_equal(one, np.flatnonzero(found.alive))
    assert 0 < len(both) < len(one)
    # Those found again by activity are also those whose directions agree.
    rest = np.setdiff1d(one, both)
    assert np.nanmean(found.cosine[1, both]) > np.nanmean(found.cosine[1, rest]) + 0.1
    rows = found.rows()
    assert [row["feature"] for row in rows if row["n_covered"] == 2 and row["alive"]] == both.tolist()
    with pytest.raises(ValueProblem, match="another coder"):
        feature_stability(first, {})


def test_rows_become_a_table(seeds):
    pandas = pytest.importorskip("pandas")
    frame = table_of(stability_table(seeds[1], n_shifts=0))
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["by"]) == ["seed 1", "seed 0"]
