"""AudioSAE's recipe in parts: the split, whose choices are whose, what depends on what, files, and mistakes."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import mne
import numpy as np
import pytest
import soundfile
import yaml
from pydantic import BaseModel, ValidationError
from typer.testing import CliRunner

from brainalign.audio.synth import synthesise_speech
from brainalign.cli import app
from brainalign.core.design import Design
from brainalign.core.errors import ConfigProblem, MissingFile, UnknownName, ValueProblem
from brainalign.core.time import Lags
from brainalign.eeg.clean import RobustScale
from brainalign.pipeline.execute import execute
from brainalign.pipeline.recipes.audiosae.parameters import CHANGED, CHOICES, OPEN, STATED, Facts, parameters
from brainalign.pipeline.recipes.audiosae.schema import AudioSaeConfig, SplitPart
from brainalign.pipeline.recipes.audiosae.split import Piece, minutes, split_pieces
from brainalign.pipeline.selftest import selftest_plan
from brainalign.pipeline.store import Store
from brainalign.pipeline.study import load_study
from tests.study import worlds
from tests.study.worlds import kind

CONFIG = Path(__file__).with_name("audiosae.yaml")
RATE = Fraction(128)
STORY = 60 * 128  # frames of a minute


class TestSplit:
    """Which stretches choose the lags, and which are tested."""

    def test_whole_stories_in_order(self):
        development, test = split_pieces([10, 20, 30, 40], SplitPart(development=1), rate=RATE)
        assert development == [Piece(0, 0, 10)]
        assert test == [Piece(1, 0, 20), Piece(2, 0, 30), Piece(3, 0, 40)]
        assert split_pieces([10, 20, 30, 40], SplitPart(development=1, test=2), rate=RATE)[1] == test[:2]

    def test_minutes_cut_a_story_in_two_and_lose_nothing(self):
        split = SplitPart(by="minutes", development=1.5, test=1)
        development, test = split_pieces([STORY] * 3, split, rate=RATE)
        assert development == [Piece(0, 0, STORY), Piece(1, 0, STORY // 2)]
        assert test == [Piece(1, STORY // 2, STORY), Piece(2, 0, STORY // 2)]
        assert (minutes(development, RATE), minutes(test, RATE)) == (1.5, 1.0)

    def test_the_papers_own(self):
        split = SplitPart(by="minutes", development=6, test=9)
        development, test = split_pieces([3 * STORY] * 5, split, rate=RATE)
        assert [piece.story for piece in development] == [0, 1]
        assert [piece.story for piece in test] == [2, 3, 4]

    def test_more_than_there_is(self):
        with pytest.raises(ValueProblem, match="not enough sound for the split"):
            split_pieces([STORY], SplitPart(by="minutes", development=0.5, test=0.6), rate=RATE)
        with pytest.raises(ValueProblem, match="not enough sound for the split"):
            split_pieces([STORY], SplitPart(by="minutes", development=1.0), rate=RATE)


def options(model, prefix=""):
    for name in type(model).model_fields:
        inside = getattr(model, name)
        if isinstance(inside, BaseModel):
            yield from options(inside, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


FACTS = Facts(1000, 2000, 6144, 6.1, 9.2, ("A19",))
# No word of the paper's could be about these: names, folders, our own test, and made-up data.
NOT_THE_PAPERS = ("recipe", "name", "out", "store", "own.", "stimuli.", "listeners.", "sae.")


class TestMarks:
    """Whose choice is whose."""

    @pytest.fixture
    def config(self):
        return load_study(CONFIG, {}).config

    def test_every_option_that_matters_stands_in_the_result(self, config):
        named = {choice.name for choice in CHOICES}
        missing = {name for name in options(config) if not name.startswith(NOT_THE_PAPERS)} - named
        assert missing == set()
        assert len(named) == len(CHOICES)

    def test_what_the_paper_leaves_open(self, config):
        found = {row["parameter"]: row["mark"] for row in parameters(config, FACTS)}
        left_open = {
            *("eeg.filter", "eeg.order", "eeg.line", "eeg.bad_channels", "eeg.reference", "eeg.resampler"),
            *("features.activity", "features.frame_time", "features.upsampling", "seed", "encoder.revision"),
            "encoder.past_seconds",
            *("trf.regularization", "trf.tmin", "trf.tmax", "trf.kind"),
            *("split.by", "ttest.lags_from", "ttest.unit", "ttest.family", "stimuli"),
            *("median and quartiles over each recording, whole", "maximum over all stories, development and test"),
        }
        assert {name for name, mark in found.items() if mark == OPEN} == left_open

    def test_a_stated_choice_that_is_changed_says_so(self, config):
        def marks(facts=FACTS, **parts):
            return {row["parameter"]: row["mark"] for row in parameters(config.model_copy(update=parts), facts)}

        eeg = config.eeg
        assert marks()["eeg.high"] == STATED
        assert marks(eeg=eeg.model_copy(update={"high": 9.0}))["eeg.high"] == CHANGED
        assert marks()["features.n_drawn"] == STATED
        assert marks(replace(FACTS, n_drawn=8))["features.n_drawn"] == CHANGED
        assert marks()["eeg.electrode"] == STATED
        assert marks(replace(FACTS, electrodes=("Cz",)))["eeg.electrode"] == CHANGED
        assert (marks()["split.development"], marks(replace(FACTS, development=2.0))["split.development"]) == (
            STATED,
            CHANGED,
        )
        assert (marks()["encoder.layer"], marks()["listeners"], marks()["sae"]) == (CHANGED,) * 3
        real = config.encoder.model_copy(update={"source": "facebook/hubert-base-ls960", "layer": 12})
        assert marks(encoder=real)["encoder.source"] == marks(encoder=real)["encoder.layer"] == STATED

    def test_values_are_told_in_words(self, config):
        told = {row["parameter"]: row["value"] for row in parameters(config, FACTS)}
        assert told["eeg.line"] == "50"
        assert told["eeg.bad_channels"] == "yes"
        assert told["encoder.revision"] == "not given"
        assert told["split.test"] == "all other stories, 9.2 min"
        assert told["features.n_drawn"] == "1000 of 2000 active ones of 6144"


TESTED = {"surrogates", "null", "test", "comparison"}
RESPONDED = {"responses", "lag-tests"}
BESIDE = {"design", "null-choice"} | RESPONDED | TESTED
PREPARED = {"electrode"} | BESIDE
RECORDED = {"planting", "recording"} | PREPARED
DRAWN = {"selection", "features"} | RECORDED
CODED = {"coder", "coder-quality", "codes"} | DRAWN
CHANGES = [
    *[("name", "other", set()), ("out", "elsewhere", set()), ("store", "elsewhere", set())],
    ("seed", 1, {"stimulus", "frames"} | CODED),
    ("encoder.layer", 2, {"frames"} | CODED),
    ("sae.k", 9, CODED),
    ("listeners.planting.microvolts", 2.0, RECORDED),
    *[(f"eeg.{name}", value, PREPARED) for name, value in (("low", 0.5), ("high", 9.0), ("order", 4), ("line", []))],
    ("eeg.bad_channels", False, PREPARED),
    ("eeg.filter", "butterworth", PREPARED),
    ("eeg.reference", "none", PREPARED),
    ("eeg.resampler", "fft", PREPARED),
    ("eeg.electrode", ["Cz"], PREPARED),
    ("eeg.rate", 64, {"features"} | PREPARED),
    ("features.n_drawn", 7, DRAWN),
    ("features.min_per_second", 2.0, DRAWN),
    ("features.activity", "onsets", DRAWN),
    ("features.frame_time", "start", {"features"} | BESIDE),
    ("features.upsampling", "sinc", {"features"} | BESIDE),
    ("trf.tmin", 0.05, BESIDE),
    ("trf.tmax", 0.4, BESIDE),
    ("trf.regularization", 2.0, RESPONDED | {"comparison"}),
    ("trf.kind", "single", RESPONDED | {"comparison"}),
    ("split.by", "minutes", RESPONDED | {"comparison"}),
    ("split.development", 1, RESPONDED | {"comparison"}),
    ("split.test", 1, RESPONDED | {"comparison"}),
    ("ttest.unit", "story", RESPONDED | {"comparison"}),
    ("ttest.lags_from", "subject", {"lag-tests", "comparison"}),
    ("ttest.family", "each direction", {"lag-tests", "comparison"}),
    ("ttest.level", 0.1, {"comparison"}),
    ("own.level", 0.1, {"comparison"}),
    ("own.penalties", [1.0], {"null", "test", "comparison"}),
    ("own.n_folds", 4, {"null", "test", "comparison"}),
    ("own.scheme", "phase", {"null-choice"} | TESTED),
    ("own.n_permutations", 59, TESTED),
]
OF_THE_USUAL_STUDY = ("recipe", "stimuli.", "encoder.", "sae.", "listeners.")


def keys_of(**overrides):
    return load_study(CONFIG, overrides).plan.keys


@pytest.mark.parametrize(("option", "value", "tasks"), CHANGES, ids=[option for option, _, _ in CHANGES])
def test_an_option_changes_exactly_what_depends_on_it(option, value, tasks):
    before, after = keys_of(), keys_of(**{option: value})
    assert before.keys() == after.keys()
    assert {kind(name) for name in before if before[name] != after[name]} == tasks


def test_every_option_is_tested_here():
    config = load_study(CONFIG, {}).config
    own = {name for name in options(config) if not name.startswith(OF_THE_USUAL_STUDY)}
    assert own <= {option for option, _, _ in CHANGES}


def test_sounds_codes_and_recordings_are_the_usual_studys(tmp_path):
    """The same keys: what one made, the other need not make again."""
    values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    shared = {name: values[name] for name in ("seed", "stimuli", "encoder", "sae")}
    usual = load_study(worlds.write_config(tmp_path / "usual.yaml", {"name": "usual", **shared}))
    recipe = load_study(CONFIG, {})
    for task in recipe.plan:
        if kind(task.name) in ("stimulus", "frames", "coder", "codes"):
            assert recipe.plan.key(task.name) == usual.plan.key(task.name)


def test_the_truth_reaches_the_analysis_through_the_recordings_alone():
    plan = load_study(CONFIG, {}).plan
    assert {kind(task.name) for task in plan if "planting" in task.needs()} == {"recording"}
    kinds = {kind(task.name) for task in plan}
    assert not {"verdict", "answer-key", "candidates", "clean", "map", "unique", "findings"} & kinds


def test_a_self_test_of_the_recipes_own_test_can_be_laid_out():
    study = load_study(CONFIG, {})
    plan = selftest_plan(study, n_fakes=5, n_features=4)
    fakes = [task for task in plan if kind(task.name) == "fake"]
    assert len(fakes) == 15
    assert fakes[0].settings["penalties"] == study.config.own.penalties


N_RUNS, SECONDS, ONSET = 3, 14, 0.5


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    """Three listeners with a file per story, as BIDS has them, and a configuration that names them."""
    folder = tmp_path_factory.mktemp("runs")
    for i in range(N_RUNS):
        sound = synthesise_speech(f"audio{i + 1:02d}", seconds=SECONDS, seed=i)
        soundfile.write(folder / f"audio{i + 1:02d}.wav", sound.waveform, int(sound.axis.rate), subtype="FLOAT")
    cap = mne.channels.make_standard_montage("biosemi128")
    names = [*cap.ch_names[:20], "B1"]
    info = mne.create_info(names, 256, "eeg").set_montage(cap)
    rng = np.random.default_rng(0)
    for subject in ("001", "002", "003"):
        (folder / f"sub-{subject}").mkdir()
        for run in range(N_RUNS):
            values = 1e-5 * rng.standard_normal((len(names), 256 * (SECONDS + 2))).cumsum(axis=1) / 16
            raw = mne.io.RawArray(values, info, verbose="error")
            raw.save(folder / f"sub-{subject}" / f"run-{run + 1:02d}_eeg.fif", verbose="error")
    values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    listeners = {
        "kind": "runs",
        "subjects": ["001", "002", "003"],
        "file": "sub-{subject}/run-{run}_eeg.fif",
        "runs": {f"audio{i + 1:02d}": f"{i + 1:02d}" for i in range(N_RUNS)},
        "onset": ONSET,
    }
    sounds = {"kind": "files", "files": [f"audio{i + 1:02d}.wav" for i in range(N_RUNS)]}
    values |= {"stimuli": sounds, "listeners": listeners, "eeg": {"line": [], "bad_channels": False}}
    return worlds.write_config(folder / "study.yaml", values)


class TestRuns:
    """One file per listener and story."""

    def test_a_design_is_made_of_the_runs(self, laboratory, tmp_path):
        study = load_study(laboratory, {"out": tmp_path / "out"})
        store = Store(study.store_folder)
        execute(worlds.part_of(study.plan, ["design[002]"]), store, n_jobs=1)
        design = Design.unpack(store.get(study.plan.key("design[002]")))
        assert [trial.name for trial in design.trials] == ["audio01", "audio02", "audio03"]
        assert (design.channels, design.lags, design.subject) == (("Pz",), Lags(0, 64, 128), "002")
        raw = mne.io.read_raw_fif(laboratory.parent / "sub-002" / "run-02_eeg.fif", preload=True, verbose="error")
        raw.filter(1, 8, l_trans_bandwidth=1, h_trans_bandwidth=2, verbose="error")
        raw.set_eeg_reference("average", verbose="error")
        pz = RobustScale()(raw.pick(["A19"])).get_data()[0]
        trial = design.trials[1]
        expected = np.interp(trial.axis.times + ONSET, raw.times, pz)
        np.testing.assert_allclose(trial.y[:, 0], expected, atol=0.02)

    def test_every_run_is_a_task_of_its_own(self, laboratory):
        plan = load_study(laboratory, {}).plan
        names = {task.name for task in plan}
        assert {f"electrode[{s}-audio{i:02d}]" for s in ("001", "002", "003") for i in (1, 2, 3)} <= names
        assert not {name for name in names if name.startswith(("recording", "planting"))}

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"subjects": ["001", "002", "009"]}, "names a file that does not exist"),
            ({"file": "run-{run}_eeg.fif"}, "file must contain {subject}"),
            ({"subjects": ["001", "002", "002"]}, "name each listener once"),
            ({"runs": {"audio01": "01", "audio02": "02"}}, "no run for audio03"),
            ({"subjects": ["001", "002"]}, "at least 3"),
        ],
    )
    def test_files_that_do_not_fit(self, laboratory, change, told):
        values = yaml.safe_load(laboratory.read_text(encoding="utf-8"))
        config = laboratory.with_name("changed.yaml")
        worlds.write_config(config, {**values, "listeners": {**values["listeners"], **change}})
        with pytest.raises((MissingFile, ConfigProblem), match=told):
            load_study(config, {})

    def test_an_electrode_that_is_not_there_is_answered_with_those_that_are(self, laboratory, tmp_path):
        study = load_study(laboratory, {"out": tmp_path / "out", "eeg.electrode": ["Pz", "CPz"]})
        plan = worlds.part_of(study.plan, ["electrode[001-audio01]"])
        with pytest.raises(UnknownName, match=r"none of the electrodes asked for[\s\S]*Pz, CPz[\s\S]*A1, A2"):
            execute(plan, Store(study.store_folder), n_jobs=1)


def test_a19_is_where_biosemi_has_pz():
    places = {
        cap: mne.channels.make_standard_montage(cap).get_positions()["ch_pos"] for cap in ("biosemi64", "biosemi128")
    }
    np.testing.assert_allclose(places["biosemi64"]["Pz"], places["biosemi128"]["A19"], atol=1e-6)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"own.n_folds": 6}, "own.n_folds is 6 with 5 stories"),
        ({"split.development": 5}, "split needs more than the 5 stories"),
        ({"split.development": 1.5}, "stories are counted whole"),
        ({"eeg.high": 64.0}, "high below half the rate"),
        ({"trf.tmin": 0.6}, "tmin must not be above tmax"),
        ({"trf.regularization": 0.0}, "trf.regularization"),
        ({"features.upsampling": "linear"}, "'hold'"),
        ({"tfr": {}}, "did you mean 'trf'"),
    ],
)
def test_configurations_that_cannot_be_meant(overrides, told):
    with pytest.raises(ConfigProblem, match=told):
        load_study(CONFIG, overrides)


def test_a_recipe_that_nobody_knows(tmp_path):
    (tmp_path / "study.yaml").write_text("recipe: audiosae\nname: x\n", encoding="utf-8")
    found = CliRunner().invoke(app, ["run", str(tmp_path / "study.yaml")])
    assert found.exit_code == 2
    assert "audiosae-eeg" in found.stderr


def test_two_listeners_are_too_few():
    listeners = {"kind": "files", "recordings": [{"file": "1.fif", "subject": "1"}, {"file": "2.fif", "subject": "2"}]}
    with pytest.raises(ValidationError, match="at least three"):
        AudioSaeConfig.model_validate({"recipe": "audiosae-eeg", "name": "x", "listeners": listeners})
