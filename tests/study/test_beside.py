"""The best feature beside its controls: one half of the stories chooses, the other judges."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import kstest

from brainalign.core.artefact import Artefact
from brainalign.core.errors import ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.pipeline.stages import beside

STORIES = tuple(f"story-{i}" for i in range(8))
SECONDS, RATE, N_FEATURES = 16, 50, 4
SETTINGS = {"partial": False,
    "stimuli": STORIES, "lags": (0.0, 0.2), "trim": 0.0, "penalties": (0.1, 10.0), "n_folds": 4, "min_per_second": 1.0,
    "seed": 0, "kind": "claim",
}  # fmt: skip


def features_of(rng, *, n=N_FEATURES):
    axis = TimeAxis(RATE, SECONDS * RATE)
    names = tuple(f"f{i}" for i in range(n))
    return [
        Trajectory(sparse.random_array((axis.n, n), density=0.2, rng=rng, format="csr", dtype=np.float32), axis, names)
        for _ in STORIES
    ]


def recording_of(rng, features, *, signal=1.0, subject="01"):
    """Return a recording whose second channel follows the third feature 100 ms later."""
    gap = RATE
    n = len(STORIES) * (SECONDS * RATE + gap) + gap
    y = rng.standard_normal((n, 3))
    onsets = {}
    for number, (name, item) in enumerate(zip(STORIES, features, strict=True)):
        start = gap + number * (SECONDS * RATE + gap)
        y[start + 5 : start + 5 + item.axis.n, 1] += 3 * signal * item.values[:, [2]].toarray()[:, 0]
        onsets[name] = (Fraction(start, RATE),)
    return Recording(
        1e-6 * y, TimeAxis(RATE, n), ("a", "b", "c"), ("eeg",) * 3, np.zeros((3, 3)), onsets=onsets, subject=subject
    )


def halves(recording, features, *, n_most=N_FEATURES, **settings):
    inputs = {
        "recordings": (recording.pack(),),
        "features": [item.pack() for item in features],
        "selection": Artefact("selection", {}, {"columns": np.arange(n_most)}),
    }
    return beside.map_halves(SETTINGS | settings, inputs, files=(), progress=None)


def test_each_half_is_scored_by_itself(rng):
    features = features_of(rng)
    recording = recording_of(rng, features)
    found = halves(recording, features)
    for half in ("choose", "judge"):
        assert np.unravel_index(found.arrays[half].argmax(), (N_FEATURES, 3)) == (2, 1)
    # What is heard in the choosing half has no say in the judging one.
    start = float(recording.onsets[STORIES[0]][0])
    values = recording.values.copy()
    values[int(start * RATE) : int(start * RATE) + 300] *= -3
    changed = halves(replace(recording, values=values), features)
    np.testing.assert_array_equal(changed.arrays["judge"], found.arrays["judge"])
    assert np.abs(changed.arrays["choose"] - found.arrays["choose"]).max() > 1e-3


def test_a_large_set_gives_as_many_as_the_claim_and_one_seed_the_same_ones(rng):
    features = features_of(rng, n=30)
    recording = recording_of(rng, features)
    drawn = [halves(recording, features, n_most=5, seed=seed).meta["features"] for seed in (0, 0, 1)]
    assert len(drawn[0]) == 5
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_set_without_active_features_says_which_control_it_was(rng):
    features = [item.select(np.arange(2)) for item in features_of(rng)]
    silent = [replace(item, values=sparse.csr_array(item.values.shape, dtype=np.float32)) for item in features]
    with pytest.raises(ValueProblem, match="control 'matched' has no feature"):
        halves(recording_of(rng, features_of(rng)), silent, kind="matched")


def made(choose, judge, *, features=("p", "q")):
    meta = {"features": features, "channels": ("a", "b")}
    return Artefact("halves", meta, {"choose": np.asarray(choose), "judge": np.asarray(judge)})


def test_the_comparison_is_of_what_the_other_half_chose():
    claim = [made([[0.1, 0.3], [0.0, 0.0]], [[0.9, 0.2 + i / 100], [0.9, 0.9]]) for i in range(4)]
    control = [made([[0.0, 0.0], [0.2, 0.0]], [[0.9, 0.9], [0.1, 0.9]]) for _ in range(4)]
    inputs = {"claim": claim, "neurons": control}
    found = beside.compare({"controls": ("neurons",), "seed": 0}, inputs, files=(), progress=None)
    assert (found.meta["claim"]["feature"], found.meta["claim"]["channel"]) == ("p", "b")
    (row,) = found.meta["rows"]
    assert (row["control"], row["feature"], row["channel"], row["n_features"]) == ("neurons", "q", "a", 2)
    assert row["difference"] == pytest.approx(0.115)
    assert row["r"] == pytest.approx(0.1)
    assert row["p"] == pytest.approx(2 / 16)
    assert (found.meta["n_listeners"], found.meta["n_permutations"], found.meta["exact"]) == (4, 15, True)
    np.testing.assert_allclose(found.arrays["claim"], [0.2, 0.21, 0.22, 0.23])


def test_claims_no_better_than_their_controls_have_uniform_p():
    """The choice is free to take the best of many: without any difference p stays uniform."""
    rng, found = np.random.default_rng(5), []
    for _ in range(300):
        sets = {
            kind: [made(*rng.normal(0, 0.1, (2, 6, 2)), features=tuple("abcdef")) for _ in range(9)]
            for kind in ("claim", "matched")
        }
        test = beside.compare({"controls": ("matched",), "seed": 0}, sets, files=(), progress=None)
        found.append(test.meta["rows"][0]["p"])
    assert kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) <= 0.05) < 0.09
