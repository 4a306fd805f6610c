"""Does a study of files on disk find what the simulation it came from found?"""

import json

import numpy as np

from brainalign.core.design import Design
from brainalign.core.recording import Recording
from brainalign.core.result import EncodingResult
from brainalign.core.stimulus import Stimulus


def test_the_files_hold_what_was_simulated(tiny, from_files):
    for made, read in zip(tiny.results.all("stimulus"), from_files.results.all("stimulus"), strict=True):
        one, other = Stimulus.unpack(made), Stimulus.unpack(read)
        assert (one.name, one.axis) == (other.name, other.axis)
        np.testing.assert_array_equal(one.waveform, other.waveform)
    for made, read in zip(tiny.results.all("recording"), from_files.results.all("recording"), strict=True):
        one, other = Recording.unpack(made), Recording.unpack(read)
        assert (one.channels, one.kinds, one.axis, one.subject) == (
            other.channels,
            other.kinds,
            other.axis,
            other.subject,
        )
        # FIF keeps places as 32-bit floats, and annotations to some microseconds.
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-7)
        np.testing.assert_allclose(one.values, other.values, rtol=1e-12)
        assert one.onsets.keys() == other.onsets.keys()
        assert max(abs(float(one.onset(name) - other.onset(name))) for name in one.onsets) < 2e-5


def original(tiny):
    """Name each candidate of the simulation as the study of files names it; decoys have no name there."""
    return {name: was for name, was in tiny.results.original_names.items() if not was.startswith("decoy")}


def test_every_feature_scores_as_it_did_in_the_simulation(tiny, from_files):
    names = original(tiny)
    assert sorted(names.values()) == sorted(from_files.results.test.features)
    for made, read in zip(tiny.results.all("map"), from_files.results.all("map"), strict=True):
        one, other = EncodingResult.unpack(made), EncodingResult.unpack(read)
        rows, columns = zip(*((one.index(name), other.index(was)) for name, was in names.items()), strict=True)
        score, again = one.score[list(rows)], other.score[list(columns)]
        assert np.corrcoef(score.ravel(), again.ravel())[0, 1] > 0.999
        assert np.abs(score - again).max() < 0.02


def test_the_same_features_are_found_at_the_same_places_and_latencies(tiny, from_files):
    names = original(tiny)
    found = {names[row["feature"]]: row for row in tiny.results.found if row["feature"] in names}
    again = {row["feature"]: row for row in from_files.results.found}
    # Half as many tests: what was found among the decoys is found without them, and perhaps a little more.
    assert found
    assert found.keys() <= again.keys()
    planted = {row["feature"]: row for row in tiny.summary["planted"]}
    assert planted.keys() <= again.keys()
    for name, truth in planted.items():
        assert abs(again[name]["latency"] - truth["latency"]) < 0.02
        assert abs(again[name]["r"] - found[name]["r"]) < 0.02


def test_trials_are_the_same_hearings(tiny, from_files):
    for made, read in zip(tiny.results.designs, from_files.results.designs, strict=True):
        assert isinstance(made, Design)
        assert [trial.name for trial in made.trials] == [trial.name for trial in read.trials]
        assert [trial.axis for trial in made.trials] == [trial.axis for trial in read.trials]


def test_numbers_and_page_say_nothing_of_a_truth_that_no_one_knows(from_files):
    summary = json.loads((from_files.study.out_folder / "summary.json").read_text("utf-8"))
    assert not {"planted", "sensitivity", "decoy_share", "latency_error_ms", "n_decoys"} & summary.keys()
    assert len(summary["headline"]) == 1
    assert {row["feature"] for row in summary["found"]} == {row["candidate"] for row in summary["found"]}
    page = from_files.report.read_text("utf-8")
    for word in ("decoy", "planted", "simulated", "truth"):
        text = page.partition("<body>")[2]
        assert word not in text.lower(), word
