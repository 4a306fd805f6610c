"""Does a study of a BIDS dataset, several runs per listener, find what the whole recordings gave?"""

import json

import numpy as np
import pytest
import yaml

from brainalign.core.design import Design
from brainalign.core.errors import BrainalignError, MissingFile
from brainalign.core.result import EncodingResult
from tests.study import worlds
from tests.study.as_bids import write_dataset
from tests.study.conftest import Run
from tests.study.test_files import original


@pytest.fixture(scope="module")
def dataset(tiny, tmp_path_factory):
    """The tiny study's data as a BIDS dataset, with a configuration that names it."""
    return write_dataset(tiny.results, tmp_path_factory.mktemp("dataset") / "bids")


@pytest.fixture(scope="module")
def from_dataset(dataset):
    """The study of that dataset."""
    study = worlds.load_study(dataset, {"out": dataset.parent / "out"})
    return Run(study, worlds.made(study))


def test_every_feature_scores_as_it_did_in_whole_recordings(tiny, from_dataset):
    names = original(tiny)
    for made, read in zip(tiny.results.all("map"), from_dataset.results.all("map"), strict=True):
        one, other = EncodingResult.unpack(made), EncodingResult.unpack(read)
        rows, columns = zip(*((one.index(name), other.index(was)) for name, was in names.items()), strict=True)
        score, again = one.score[list(rows)], other.score[list(columns)]
        # Filters begin anew in every run, and bad channels are sought in each: alike, and not the same.
        assert np.corrcoef(score.ravel(), again.ravel())[0, 1] > 0.98


def test_a_listeners_runs_are_trials_of_one_design(tiny, from_dataset):
    for made, read in zip(tiny.results.designs, from_dataset.results.designs, strict=True):
        assert isinstance(read, Design)
        assert read.subject == made.subject
        assert [trial.name for trial in read.trials] == [trial.name for trial in made.trials]
        assert [trial.axis for trial in read.trials] == [trial.axis for trial in made.trials]
        for one, other in zip(made.trials, read.trials, strict=True):
            shared = [np.corrcoef(one.y[:, c], other.y[:, c])[0, 1] for c in range(one.y.shape[1])]
            assert np.median(shared) > 0.98


def test_the_planted_features_are_found(tiny, from_dataset):
    planted = {row["feature"] for row in tiny.summary["planted"]}
    assert planted <= {row["feature"] for row in from_dataset.results.found}


def test_the_page_tells_of_listeners_and_that_all_fits(from_dataset):
    page = from_dataset.report.read_text("utf-8")
    assert "Every listener heard every sound" in page
    assert [item["n_recordings"] for item in from_dataset.results.hearing] == [4, 4]
    assert [row["misfits"] for row in from_dataset.results.hearing] == [[], []]
    summary = json.loads((from_dataset.study.out_folder / "summary.json").read_text("utf-8"))
    assert summary["found"]


def changed_copy(dataset, folder, **listeners):
    """Copy the dataset to a folder of its own, with other settings for the listeners."""
    values = yaml.safe_load(dataset.read_text("utf-8"))
    return worlds.copied(dataset, folder, listeners=values["listeners"] | listeners)


def test_a_lost_run_is_told_and_the_others_are_kept(dataset, tmp_path):
    config = changed_copy(dataset, tmp_path / "bids")
    for path in (config.parent / "sub-02" / "eeg").glob("*run-03*"):
        path.unlink()
    results = worlds.results_of(config, "design[02]", "hearing[01]", "hearing[02]")
    names = [trial.name for trial in Design.unpack(results.one("design[02]")).trials]
    assert names == ["story-01", "story-02", "story-04"]
    assert results.one("hearing[02]").meta["missed"] == ["story-03"]
    assert results.one("hearing[01]").meta["missed"] == []


def test_a_recording_that_ends_before_its_sound_is_told(dataset, tmp_path):
    config = changed_copy(dataset, tmp_path / "bids")
    samples = next((config.parent / "sub-01" / "eeg").glob("*run-02_eeg.eeg"))
    n_bytes = samples.stat().st_size
    samples.write_bytes(samples.read_bytes()[: n_bytes - n_bytes // 4])
    (found,) = worlds.results_of(config, "hearing[01]").one("hearing[01]").meta["misfits"]
    assert (found["recording"], found["story"], found["what"]) == ("sub-01_run-02", "story-02", "end")


def test_runs_that_start_with_their_sound_need_no_events(dataset, tmp_path):
    config = changed_copy(dataset, tmp_path / "bids", starts_with="story-{run}", subjects=["1"], runs=["1-3"])
    for path in config.parent.rglob("*_events.tsv"):
        path.unlink()
    study = worlds.load_study(config, {})
    assert {name for name in study.plan.keys if name.startswith("clean[")} == {
        f"clean[01-story-0{run}]" for run in (1, 2, 3)
    }
    design = Design.unpack(worlds.results_of(config, "design[01]").one("design[01]"))
    assert [trial.name for trial in design.trials] == ["story-01", "story-02", "story-03"]


def test_events_of_other_names_are_mapped_to_the_sounds(dataset, tmp_path):
    events = {f"S{i}": f"story-0{i}" for i in range(1, 5)}
    config = changed_copy(dataset, tmp_path / "bids", events=events, subjects=["01"])
    for path in config.parent.rglob("*_events.tsv"):
        told = path.read_text("utf-8").splitlines()[1].split("\t")
        number = told[3][-5]
        path.write_text(f"onset\tduration\ttrial_type\n{told[0]}\t{told[1]}\tS{number}\n", encoding="utf-8")
    design = Design.unpack(worlds.results_of(config, "design[01]").one("design[01]"))
    assert [trial.name for trial in design.trials] == [f"story-0{i}" for i in range(1, 5)]


@pytest.mark.parametrize(
    ("listeners", "error", "words"),
    [
        ({"folder": "elsewhere"}, MissingFile, "not the top of a BIDS dataset"),
        ({"subjects": ["9"]}, BrainalignError, "no subject of that name"),
        ({"runs": ["4-9"]}, BrainalignError, "no run of that name"),
        ({"task": "rest"}, BrainalignError, "no recording of this dataset is of that task"),
        ({"starts_with": "audio{run}"}, BrainalignError, "no run of the dataset starts with a sound of this study"),
    ],
)
def test_what_is_not_there_is_told_before_any_work(dataset, listeners, error, words):
    with pytest.raises(error, match=words):
        worlds.load_study(dataset, {f"listeners.{name}": value for name, value in listeners.items()})


def test_a_sidecar_that_changes_makes_its_own_run_anew(dataset, tmp_path):
    config = changed_copy(dataset, tmp_path / "bids")
    before = worlds.load_study(config, {}).plan.keys
    sidecar = next((config.parent / "sub-02" / "eeg").glob("*run-04_channels.tsv"))
    sidecar.write_text(sidecar.read_text("utf-8").replace("good", "bad", 1), encoding="utf-8")
    after = worlds.load_study(config, {}).plan.keys
    changed = {name for name in before if before[name] != after[name]}
    assert {name for name in changed if name.startswith("clean[")} == {"clean[02-story-04]"}
