"""AudioSAE's recipe, run whole: its steps against a plain transcription, what it tells, and that it can be resumed."""

import json
import shutil
from dataclasses import dataclass
from html import escape
from pathlib import Path

import mne
import numpy as np
import pytest
from scipy import interpolate, stats

from brainalign.core.design import Design
from brainalign.core.recording import Recording
from brainalign.core.result import NullTest
from brainalign.core.trajectory import Trajectory
from brainalign.pipeline.execute import execute
from brainalign.pipeline.recipes.audiosae.telling import Results, tell
from brainalign.pipeline.recipes.base import RecipeStudy
from brainalign.pipeline.status import State, status
from brainalign.pipeline.store import Store
from brainalign.pipeline.study import load_study
from brainalign.report.page import render
from tests.report.browser import look, needs_browser
from tests.study import worlds
from tests.study.worlds import kind

CONFIG = Path(__file__).with_name("audiosae.yaml")
RATE, N_DEVELOPMENT = 128, 2
PLAIN = {"eeg.line": [], "eeg.bad_channels": False}


@dataclass(frozen=True)
class Done:
    """A recipe that was run to its end."""

    study: RecipeStudy
    told: str

    @property
    def store(self) -> Store:
        return Store(self.study.store_folder)

    @property
    def results(self) -> Results:
        return Results(self.study, self.store)

    @property
    def summary(self) -> dict:
        return json.loads((self.study.out_folder / "summary.json").read_text(encoding="utf-8"))

    def all(self, of: str) -> list:
        return [self.results.one(task.name) for task in self.study.plan if kind(task.name) == of]


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Done:
    """The tiny recipe, run in a terminal."""
    out = tmp_path_factory.mktemp("audiosae") / "out"
    found = worlds.in_terminal("run", CONFIG, "--out", out, "--jobs", 1)
    assert found.returncode == 0, found.stderr
    return Done(load_study(CONFIG, {"out": out}), found.stdout)


def changed(done: Done, folder: Path, **overrides) -> Done:
    """Run the recipe with options changed, from what is kept of the first run."""
    values = {name.replace("__", "."): value for name, value in overrides.items()}
    study = load_study(CONFIG, {"out": folder / "out", **values})
    store = worlds.twin(done.store, study.store_folder)
    execute(study.plan, store, n_jobs=1)
    return Done(study, "")


@pytest.fixture(scope="module")
def plain(done, tmp_path_factory) -> Done:
    return changed(done, tmp_path_factory.mktemp("plain"), **PLAIN)


@pytest.fixture(scope="module")
def weights(plain):
    mtrf = pytest.importorskip("mtrf", reason="the peers come with the extra 'bench'")
    x = _features(plain)
    shape = (2, x[0].shape[1], 65, len(plain.study.config.subjects))
    found = np.empty(shape)
    for subject, item in enumerate(plain.all("recording")):
        y = _responses(Recording.unpack(item), plain.all("codes"), [len(part) for part in x])
        for part, stories in enumerate((slice(0, N_DEVELOPMENT), slice(N_DEVELOPMENT, None))):
            for f in range(shape[1]):
                model = mtrf.TRF(direction=1)
                mine = [story[:, f : f + 1] for story in x[stories]]
                model.train(mine, y[stories], RATE, 0.0, 0.5, 1.0, verbose=False)
                found[part, f, :, subject] = model.weights[0, :, 0]
    return found


class TestTranscription:
    """The paper's steps, written down once more with NumPy, SciPy, MNE and mTRFpy alone."""

    def test_response_functions(self, plain, weights):
        for part, name in enumerate(("development", "test")):
            ours = plain.results.one(f"responses[{name}]").arrays["weights"][..., 0]
            # Cubic splines stand in for our interpolation, hence no closer.
            np.testing.assert_allclose(ours, weights[part], atol=2e-3 * np.abs(weights[part]).max())

    def test_tests(self, plain, weights):
        multitest = pytest.importorskip("statsmodels.stats.multitest", reason="an oracle")
        development, test = weights
        mean, tested = development.mean(axis=2), plain.results.lag_tests
        everyone, p = np.arange(len(mean)), []
        for side, lags in enumerate((mean.argmin(axis=1), mean.argmax(axis=1))):
            np.testing.assert_array_equal(tested.arrays["lags"][:, side, 0], lags)
            theirs = stats.ttest_1samp(test[everyone, lags], 0, axis=1, alternative=("less", "greater")[side])
            np.testing.assert_allclose(tested.arrays["t"][:, side], theirs.statistic, rtol=0.03, atol=0.02)
            p.append(theirs.pvalue)
        holm = multitest.multipletests(np.ravel(p), method="holm")[1].reshape(2, -1).T
        np.testing.assert_allclose(tested.arrays["p_adjusted"], holm, rtol=0.1, atol=1e-6)

    def test_from_the_designs_on_nothing_differs(self, done):
        """Without the interpolation between them, both are the same to rounding."""
        mtrf = pytest.importorskip("mtrf", reason="the peers come with the extra 'bench'")
        for subject, item in enumerate(done.all("design")):
            trials = Design.unpack(item).trials[N_DEVELOPMENT:]
            for f in range(trials[0].x.n_features):
                model = mtrf.TRF(direction=1)
                x = [trial.x.block(f, f + 1).astype(float) for trial in trials]
                model.train(x, [trial.y.astype(float) for trial in trials], RATE, 0.0, 0.5, 1.0, verbose=False)
                ours = done.results.one("responses[test]").arrays["weights"][f, :, subject, 0]
                np.testing.assert_allclose(ours, model.weights[0, :, 0], atol=1e-8 * np.abs(ours).max())


def _features(run: Done) -> list[np.ndarray]:
    """Step 4, 5 and 7: active at least once per second, divided by the maximum, held from 50 to 128 Hz."""
    codes = [Trajectory.unpack(item).block(0, 128) for item in run.all("codes")]
    columns = run.results.one("selection").arrays["columns"]
    together = np.concatenate(codes)
    per_second = (together != 0).sum(axis=0) / (len(together) / 50)
    assert np.all(per_second[columns] >= 1.0)
    assert run.results.one("selection").meta["n_active"] == (per_second >= 1.0).sum()
    scaled = [code[:, columns].astype(float) / together[:, columns].max(axis=0) for code in codes]
    n = [int((len(code) - 1) * RATE / 50) + 1 for code in codes]
    frames = [np.floor(np.arange(k) * 50 / RATE + 0.5).astype(int) for k in n]
    return [code[at] for code, at in zip(scaled, frames, strict=True)]


def _responses(recording: Recording, codes: list, lengths: list[int]) -> list[np.ndarray]:
    """Step 2, 3 and 5: Pz, 1 to 8 Hz, zero median, unit inter-quartile range, at 128 Hz from the first frame on."""
    eeg = np.array([kind == "eeg" for kind in recording.kinds])
    filtered = mne.filter.filter_data(
        recording.values[:, eeg].T.astype(float), RATE, 1, 8, l_trans_bandwidth=1, h_trans_bandwidth=2, verbose="error"
    )
    pz = (filtered - filtered.mean(axis=0))[np.array(recording.channels)[eeg].tolist().index("Pz")]
    low, middle, high = np.percentile(pz, [25, 50, 75])
    curve = interpolate.CubicSpline(recording.axis.times, (pz - middle) / (high - low))
    first = float(Trajectory.unpack(codes[0]).axis.t0)
    onsets = [float(recording.onset(f"story-{i + 1:02d}")) for i in range(len(lengths))]
    return [curve(onset + first + np.arange(n) / RATE)[:, None] for onset, n in zip(onsets, lengths, strict=True)]


class TestTelling:
    """Terminal, summary and report."""

    def test_the_planted_feature_is_found_and_the_tests_are_counted(self, done):
        summary, cells = done.summary, done.summary["agreement"]
        (planted,) = [row for row in summary["features"] if row["planted_ms"] is not None]
        assert planted["own_found"]
        assert cells["both"] + cells["own_only"] == sum(row["own_found"] for row in summary["features"])
        assert cells["both"] + cells["paper_only"] == sum(row["paper_found"] for row in summary["features"])
        assert sum(cells.values()) == summary["n_features"] == len(summary["features"]) == 8
        assert sum(row["agree"] for row in summary["features"]) == cells["both"] + cells["neither"]
        assert summary["dof"] == 4
        assert planted["feature"] == summary["planted"][0]["feature"]

    def test_rows_are_the_results(self, done):
        test, lags = NullTest.unpack(done.results.one("test")), done.results.lag_tests
        for row in done.summary["features"]:
            f = test.features.index(row["feature"])
            assert row["r"] == test.observed[f, 0]
            assert row["p_corrected"] == test.p_corrected[f, 0]
            assert (row["trough_p_holm"], row["peak_p_holm"]) == tuple(lags.arrays["p_adjusted"][f])
            assert row["paper_found"] == (min(row["trough_p_holm"], row["peak_p_holm"]) <= 0.05)
            assert row["peak_ms"] == pytest.approx(1000 * lags.arrays["lags"][f, 1, 0] / RATE)

    def test_both_tests_stand_side_by_side_in_the_terminal(self, done):
        assert "the paper's test: " in done.told and "our own test of the same features: " in done.told
        for words in ("ours: found", "ours: not found", "Held-out r", "Holm p", "left open by the paper, chosen here"):
            assert words in done.told
        assert max(map(len, done.told.splitlines()[:-2])) <= 140

    def test_the_page_has_every_section_every_feature_and_every_choice(self, done):
        html = (done.study.out_folder / "report.html").read_text(encoding="utf-8")
        for title in ("The answer", "Feature by feature", "Response functions", "Whose choices these are"):
            assert f">{title}</h2>" in html
        for row in done.summary["features"]:
            assert row["feature"] in html
        for row in done.summary["parameters"]:
            assert escape(row["parameter"]) in html
        assert str(done.study.out_folder.parent) not in html

    @needs_browser
    def test_a_browser_shows_it_without_a_word(self, done, tmp_path):
        seen = look(done.study.out_folder / "report.html", tmp_path)
        assert (seen.complaints, seen.pictures, seen.shown, seen.broken) == ([], 1, 1, 0)

    def test_the_same_results_give_the_same_page(self, done):
        pages = [render(tell(done.study, done.store, 1.0)[0]) for _ in range(2)]
        assert pages[0] == pages[1]

    def test_a_page_of_more_features_than_are_listed(self, done, monkeypatch):
        monkeypatch.setattr("brainalign.pipeline.recipes.audiosae.page.N_LISTED", 3)
        monkeypatch.setattr("brainalign.pipeline.recipes.audiosae.telling.N_LINES", 0)
        page, summary = tell(done.study, done.store, None)
        assert "The other 5 features" in render(page)
        assert any(line.startswith("... and ") for line in summary["headline"])


class TestResuming:
    """What is kept is used, and status and report know the recipe."""

    def test_a_second_run_makes_nothing(self, done):
        found = worlds.in_terminal("run", CONFIG, "--out", done.study.out_folder, "--jobs", 1)
        assert f"0 tasks made, {len(done.study.plan)} kept from before" in found.stderr
        assert found.stdout == done.told

    def test_what_is_lost_is_missed_and_made_again(self, done, tmp_path):
        store = worlds.twin(done.store, tmp_path / "store")
        for name in ("comparison", "responses[test]"):
            shutil.rmtree(store.path(done.study.plan.key(name)))
        left = {item.task for item in status(done.study.plan, store) if item.state is not State.DONE}
        assert left == {"comparison", "responses[test]"}
        assert set(execute(done.study.plan, store, n_jobs=1).made) == left
        worlds.assert_same_bytes(store.folder, done.store.folder)

    def test_the_report_is_written_again_from_what_is_kept(self, done, tmp_path):
        arguments = ("report", CONFIG, "--store", done.study.store_folder, "--out", tmp_path / "again")
        found = worlds.in_terminal(*arguments)
        assert found.returncode == 0, found.stderr
        again, first = (folder / "report.html" for folder in (tmp_path / "again", done.study.out_folder))
        assert again.read_bytes() == first.read_bytes()


class TestOptions:
    """Each way that the paper leaves open can be gone, and changes what it should."""

    def test_stories_as_units_are_more_observations_of_the_same(self, done, tmp_path):
        by_story = changed(done, tmp_path, ttest__unit="story", ttest__lags_from="subject")
        assert by_story.results.lag_tests.meta["dof"] == 5 * 3 - 1
        assert by_story.results.one("responses[test]").arrays["weights"].shape == (8, 65, 5, 3)
        assert np.ptp(by_story.results.lag_tests.arrays["lags"], axis=2).max() > 0

    def test_a_split_in_minutes_cuts_a_story(self, done, tmp_path):
        cut = changed(done, tmp_path, split__by="minutes", split__development=0.5, split__test=0.75)
        minutes = [cut.results.one(f"responses[{part}]").meta["minutes"] for part in ("development", "test")]
        assert minutes == pytest.approx([0.5, 0.75], abs=1e-3)
        assert (cut.results.facts.development, cut.results.facts.test) == tuple(minutes)

    @pytest.mark.parametrize(
        "options",
        [
            {"eeg__filter": "butterworth", "eeg__resampler": "fft", "features__upsampling": "polyphase"},
            {"eeg__filter": "butterworth-forward", "eeg__resampler": "polyphase", "features__upsampling": "sinc"},
            {"eeg__reference": ["TP7", "TP8"], "features__frame_time": "start", "trf__kind": "single"},
            {"eeg__reference": "none", "features__activity": "onsets", "ttest__family": "each direction"},
        ],
        ids=["fft", "forward", "start", "onsets"],
    )
    def test_other_answers_to_open_questions_find_the_same_feature(self, done, tmp_path, options):
        other = changed(done, tmp_path, **options)
        before = {row["feature"]: row["r"] for row in done.results.rows}
        after = {row["feature"]: row["r"] for row in other.results.rows}
        planted = [row["feature"] for row in other.results.planted]
        assert all(after[name] > 0.05 for name in planted)
        assert other.study.plan.key("comparison") != done.study.plan.key("comparison")
        assert before != after

    def test_frames_that_start_at_zero_are_a_first_centre_earlier(self, done, tmp_path):
        other = changed(done, tmp_path, features__frame_time="start")
        one, two = (Trajectory.unpack(run.all("features")[0]) for run in (done, other))
        assert one.axis.t0 - two.axis.t0 == Trajectory.unpack(done.all("codes")[0]).axis.t0
        assert two.axis.t0 == 0
        assert (one.values != two.values).nnz == 0
