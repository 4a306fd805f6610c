"""Does each option change the tasks that depend on it, all of them and no others?"""

from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from brainalign.pipeline.schema import LoadedSae, StudyConfig
from brainalign.pipeline.study import load_study
from tests.study import worlds
from tests.study.worlds import kind

JUDGED = {"findings", "unique", "verdict"}
TESTED = {"null", "test"} | JUDGED
FITTED = {"map", "population"} | TESTED
DRAWN = {"surrogates"} | TESTED
ALIGNED = {"design", "null-choice", "surrogates", "ceiling"} | FITTED
CLEANED = {"clean", "quality"} | ALIGNED
RECORDED = {"recording"} | CLEANED
PLANTED = {"planting"} | RECORDED
CHOSEN = {"selection", "candidates", "answer-key"} | PLANTED
CODED = {"coder", "coder-quality", "codes", "unheard-codes"} | CHOSEN
ENCODED = {"frames", "unheard-frames", "acoustics"} | CODED
HEARD = {"stimulus", "unheard-stimulus"} | ENCODED

CHANGES = [
    ("name", "other", set()),
    ("out", "elsewhere", set()),
    ("store", "elsewhere", set()),
    ("seed", 1, HEARD),
    ("stimuli.seconds", 31.0, HEARD),
    ("encoder.layer", 2, ENCODED),
    ("encoder.revision", "abc", ENCODED),
    ("encoder.site", "mlp", ENCODED),
    ("encoder.past_seconds", 4.0, ENCODED),
    ("encoder.source", "someone/model", ENCODED),
    ("baselines", ["envelope"], {"acoustics", "unique", "verdict"}),
    ("sae.variant", "topk", CODED),
    ("sae.options", {"unit_norm": 0.0}, CODED),
    ("sae.expansion", 3, CODED),
    ("sae.k", 9, CODED),
    ("sae.n_steps", 101, CODED),
    ("sae.n_batch", 513, CODED),
    ("sae.learning_rate", 2e-3, CODED),
    ("listeners.planting.n_features", 3, PLANTED),
    ("listeners.planting.microvolts", 2.0, PLANTED),
    ("listeners.planting.density", [0.03, 0.2], PLANTED),
    ("listeners.planting.latencies", [0.1, 0.2], PLANTED),
    ("cleaning.preset", "minimal", CLEANED),
    ("cleaning.line", [60.0], CLEANED),
    ("cleaning.low", 0.5, CLEANED),
    ("cleaning.high", 20.0, CLEANED),
    ("cleaning.bad_channels", False, CLEANED),
    ("cleaning.ocular", False, CLEANED),
    ("cleaning.rate", 128.0, CLEANED),
    ("model.lags", [0.0, 0.3], ALIGNED),
    ("model.trim", 2.0, ALIGNED),
    ("model.penalties", [1.0], FITTED),
    ("model.n_folds", 4, FITTED),
    ("model.min_per_second", 2.0, CHOSEN),
    ("test.scheme", "phase", {"null-choice"} | DRAWN),
    ("test.n_permutations", 59, DRAWN),
    ("test.level", 0.1, JUDGED),
    ("test.n_candidates", 3, {"unique", "verdict"}),
]
# These change which tasks there are; tested on their own below, or by the studies of files and datasets.
STRUCTURE = {
    "stimuli.kind",
    "stimuli.n_trials",
    "stimuli.files",
    "sae.kind",
    "sae.path",
    "sae.layer",
    "listeners.kind",
    "listeners.n_listeners",
    "listeners.decoys",
    "listeners.recordings",
    "listeners.folder",
    "listeners.name",
    "listeners.subjects",
    "listeners.sessions",
    "listeners.task",
    "listeners.runs",
    "listeners.events",
    "listeners.montage",
    "listeners.starts_with",
    "listeners.sound_channel",
    "test.controls",
}


def keys_of(**overrides):
    return load_study(worlds.TINY, overrides).plan.keys


def changed(before, after):
    assert before.keys() == after.keys()
    return {kind(name) for name in before if before[name] != after[name]}


@pytest.mark.parametrize(("option", "value", "tasks"), CHANGES, ids=[option for option, _, _ in CHANGES])
def test_an_option_changes_exactly_what_depends_on_it(option, value, tasks):
    assert changed(keys_of(), keys_of(**{option: value})) == tasks


def options(model, prefix=""):
    for name, field in model.model_fields.items():
        parts = [one for one in (field.annotation, *get_args(field.annotation)) if isinstance(one, type)]
        inside = [one for one in parts if issubclass(one, BaseModel)]
        if inside and not str(field.annotation).startswith("tuple"):
            for part in inside:
                yield from options(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_option_is_tested_here():
    assert set(options(StudyConfig)) == {option for option, _, _ in CHANGES} | STRUCTURE


def test_what_is_given_as_it_is_by_default_changes_nothing():
    assert (
        changed(keys_of(), keys_of(**{"cleaning.low": 1.0, "test.level": 0.05, "model.min_per_second": 1.0})) == set()
    )


def test_one_more_listener_leaves_the_others_as_they_are():
    before, after = keys_of(), keys_of(**{"listeners.n_listeners": 3})
    alone = ("recording", "clean", "quality", "design", "map")
    assert {name for name in before if kind(name) in alone and before[name] != after[name]} == set()
    assert set(after.keys() - before.keys()) == {f"{one}[03]" for one in (*alone, "surrogates", "unique")}


def test_without_decoys_the_candidates_keep_their_names_and_the_eeg_is_the_same():
    before, after = keys_of(), keys_of(**{"listeners.decoys": False})
    assert {kind(name) for name in before.keys() - after.keys()} == {
        "unheard-stimulus",
        "unheard-frames",
        "unheard-codes",
        "answer-key",
    }
    for name in after:
        if kind(name) in ("codes", "selection", "planting", "recording", "clean"):
            assert before[name] == after[name]


def test_a_files_content_counts_and_its_name_and_place_do_not(exported, tmp_path):
    before = load_study(exported, {}).plan.keys
    folder = tmp_path / "moved"
    folder.mkdir()
    for path in exported.parent.iterdir():
        if path.is_file():
            (folder / path.name).symlink_to(path)
    assert load_study(folder / exported.name, {}).plan.keys == before
    (folder / "sub-02_eeg.fif").unlink()
    (folder / "sub-02_eeg.fif").write_bytes((exported.parent / "sub-02_eeg.fif").read_bytes() + b"\0")
    after = load_study(folder / exported.name, {}).plan.keys
    assert {name for name in before if before[name] != after[name] and name.endswith("]")} >= {
        "recording[02]",
        "clean[02]",
    }
    assert before["recording[01]"] == after["recording[01]"]
    assert before["map[01]"] == after["map[01]"]


@pytest.mark.parametrize("name", ["sub-01", "sub[1]"])
def test_a_recordings_second_file_counts(tmp_path, name):
    for i in range(3):
        (tmp_path / f"s{i}.wav").write_bytes(b"sound")
    for ending in ("vhdr", "vmrk", "eeg"):
        (tmp_path / f"{name}.{ending}").write_bytes(ending.encode())
    listeners = {"kind": "files", "recordings": [{"file": f"{name}.vhdr", "subject": "01"}]}
    stimuli = {"kind": "files", "files": [f"s{i}.wav" for i in range(3)]}
    values = {**worlds.tiny_values(), "stimuli": stimuli, "listeners": listeners}
    config = worlds.write_config(tmp_path / "study.yaml", values)
    before = load_study(config, {}).plan.keys
    (tmp_path / f"{name}.eeg").write_bytes(b"other samples")
    after = load_study(config, {}).plan.keys
    assert changed(before, after) >= {"recording", "clean", "map"}
    assert before["codes[s0]"] == after["codes[s0]"]


def test_a_loaded_coder_takes_the_place_of_the_trained_one(tmp_path):
    values = {**worlds.tiny_values(), "sae": {"kind": "load", "path": "coder"}}
    (tmp_path / "coder").mkdir()
    (tmp_path / "coder" / "weights").write_bytes(b"1")
    config = worlds.write_config(tmp_path / "study.yaml", values)
    assert isinstance(load_study(config, {}).config.sae, LoadedSae)
    before = load_study(config, {}).plan.keys
    assert changed(keys_of(), before) == CODED
    (tmp_path / "coder" / "weights").write_bytes(b"2")
    assert changed(before, load_study(config, {}).plan.keys) == CODED


def test_the_written_configuration_reads_back_to_the_same_study(tmp_path):
    study = load_study(worlds.TINY, {})
    text = yaml.safe_dump(study.config.model_dump(mode="json"), sort_keys=False)
    (tmp_path / "again.yaml").write_text(text)
    assert load_study(tmp_path / "again.yaml", {}).plan.keys == study.plan.keys


SIX = {"stimuli.n_trials": 6}
CONTROLS = ("acoustic", "untrained", "random-sae", "neurons", "matched")


def test_controls_need_six_stories_and_two_listeners():
    assert "beside" not in keys_of()
    assert "beside" in keys_of(**SIX)
    assert "beside" not in keys_of(**SIX, **{"test.controls": []})


def test_a_control_adds_its_own_tasks_and_leaves_the_others_as_they_are():
    every, one = keys_of(**SIX), keys_of(**SIX, **{"test.controls": ["neurons"]})
    assert {name for name in one if every[name] != one[name]} == {"beside"}
    assert {kind(name) for name in every.keys() - one.keys()} == {
        *("random-coder", "matched-coder", "twin-frames", "twin-coder", "control-codes", "halves"),
    }
    halves = {name for name in one if kind(name) == "halves"}
    assert halves == {f"halves[{which}-{subject}]" for which in ("claim", "neurons") for subject in ("01", "02")}


@pytest.mark.parametrize(
    ("option", "value", "tasks"),
    [
        ("model.penalties", [1.0], {"halves", "beside"}),
        ("sae.k", 9, {"random-coder", "matched-coder", "twin-coder", "control-codes", "halves", "beside"}),
        ("cleaning.low", 0.5, {"halves", "beside"}),
        ("test.level", 0.1, set()),
        ("encoder.layer", 2, {"twin-frames", "random-coder", "matched-coder", "twin-coder", "control-codes", "halves",
                              "beside"}),
    ],
)  # fmt: skip
def test_an_option_changes_exactly_the_controls_that_depend_on_it(option, value, tasks):
    before, after = keys_of(**SIX), keys_of(**SIX, **{option: value})
    controls = {"twin-frames", "random-coder", "matched-coder", "twin-coder", "control-codes", "halves", "beside"}
    assert changed(before, after) & controls == tasks
