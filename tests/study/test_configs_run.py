"""Does every configuration for real data run from end to end, on a small replica of its dataset in its own layout?"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import yaml

from brainalign.core.errors import BrainalignError
from brainalign.encoders.hugging import load_encoder
from brainalign.pipeline.study import load_study
from tests.datasets.replicas import DATA
from tests.encoders.small import write_small
from tests.study import heads, replicas, worlds
from tests.study.conftest import Run
from tests.study.heads import Heads

WHISPER = DATA / "whisper_base_encoder"
CONFIGS = Path(__file__).parents[2] / "configs"
# What makes it small: a little encoder, a little autoencoder, few surrogates. All else is as the configuration says.
SMALL = {"sae.expansion": 3, "sae.k": 8, "sae.n_steps": 80, "sae.n_batch": 512, "test.n_permutations": 39}

SUBJECTS = ("001", "002", "003")

pytestmark = pytest.mark.skipif(not heads.SPEECH.exists(), reason="the real speech (shared/data) is not here")


def run(name: str, folder: Path, write: Callable[[Path, Heads], None], *, layer: int, **overrides: object) -> Run:
    """Run a configuration beside its data; the encoder lies in a folder of that name."""
    config = Path(shutil.copy(CONFIGS / f"{name}.yaml", folder))
    people = Heads(load_encoder(folder / "encoder"), layer, seconds=24 if name == "own-bids" else 12)
    write(folder, people)
    small = {**SMALL, "encoder.source": "encoder", "encoder.layer": layer, "out": folder / "out", **overrides}
    study = worlds.load_study(config, small)
    return Run(study, worlds.made(study))


@pytest.fixture(scope="module")
def ds004408(tmp_path_factory):
    def write(folder, people):
        replicas.write_ds004408(folder / "data" / "ds004408", people, subjects=SUBJECTS, n_runs=8)

    # Fewer sounds and runs, as the configuration says for a first try.
    sounds = yaml.safe_load((CONFIGS / "ds004408-hubert-sae.yaml").read_text("utf-8"))["stimuli"]["files"]
    few = {"stimuli.files": sounds[:8], "listeners.subjects": ["1-2"], "listeners.runs": ["1-8"]}
    overrides = {**few, "test.controls": ["acoustic", "neurons"]}
    folder = tmp_path_factory.mktemp("ds004408")
    write_small(folder / "encoder", "hubert")
    return run("ds004408-hubert-sae", folder, write, layer=2, **overrides)


@pytest.fixture(scope="module")
def audiosae(ds004408, tmp_path_factory):
    """The recipe on the same replica, by the lines that its configuration gives for the paper's own data."""
    folder = tmp_path_factory.mktemp("audiosae")
    config = Path(shutil.copy(CONFIGS / "audiosae-eeg.yaml", folder))
    data = ds004408.study.out_folder.parent
    (folder / "encoder").symlink_to(data / "encoder", target_is_directory=True)
    (folder / "ds004408").symlink_to(data / "data" / "ds004408", target_is_directory=True)
    names = [f"audio{number:02d}" for number in range(1, 6)]
    listeners = {
        "kind": "runs",
        "subjects": SUBJECTS,
        "file": "ds004408/sub-{subject}/eeg/sub-{subject}_task-listening_run-{run}_eeg.vhdr",
        "runs": {name: name.removeprefix("audio") for name in names},
        "onset": 0.0,
        "montage": "biosemi128",
    }
    small = {name: value for name, value in SMALL.items() if name.startswith("sae.")}
    small |= {"encoder.source": "encoder", "own.n_permutations": 19, "own.scheme": "pairing", "features.n_drawn": 20}
    stimuli = {"kind": "files", "files": [f"ds004408/stimuli/{name}.wav" for name in names]}
    study = load_study(config, {**small, "listeners": listeners, "stimuli": stimuli, "out": folder / "out"})
    worlds.made(study)
    return study


@pytest.fixture(scope="module")
def alice(tmp_path_factory):
    def write(folder, people):
        replicas.write_alice(folder / "data" / "alice", people, subjects=("S01", "S03"))

    # The real model, as a small random Whisper knows of nothing but the place in its window.
    folder = tmp_path_factory.mktemp("alice")
    (folder / "encoder").symlink_to(WHISPER.resolve(), target_is_directory=True)
    overrides = {"listeners.subjects": ["1", "3"], "sae.expansion": 1, "test.controls": ["acoustic", "neurons"]}
    return run("alice-whisper", folder, write, layer=4, **overrides)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    def write(folder, people):
        replicas.write_own_bids(folder / "my-study", people, subjects=("01", "02", "03"), n_sounds=6)

    folder = tmp_path_factory.mktemp("own")
    write_small(folder / "encoder", "hubert")
    return run("own-bids", folder, write, layer=2)


def require_followed(run: Run, *, n_trials: int) -> None:
    """Features of the speech were found, over the vertex, near the time at which these heads answer."""
    results = run.results
    assert all(len(design.trials) == n_trials for design in results.designs)
    found = results.found
    assert found, "these heads follow the speech"
    heights = dict(zip(results.maps[0].channels, results.maps[0].positions[:, 2], strict=True))
    median = np.median(list(heights.values()))
    assert np.mean([heights[row["channel"]] > median for row in found]) > 0.8
    latencies = [row["latency"] for row in found if row["latency"] is not None]
    assert abs(np.median(latencies) - heads.DELAY_S) < 0.06
    assert [item["misfits"] for item in results.hearing] == [[]] * len(results.designs)
    assert "Every listener heard every sound" in run.report.read_text("utf-8")


def test_ds004408_with_its_real_sidecars(ds004408):
    require_followed(ds004408, n_trials=8)
    rates = {float(design.lags.rate) for design in ds004408.results.designs}
    assert rates == {50.0}
    assert ds004408.results.test.channels[0] == "A1"
    assert {item["n_recordings"] for item in ds004408.results.hearing} == {8}


def test_audiosae_on_the_papers_own_layout(audiosae):
    summary = json.loads((audiosae.out_folder / "summary.json").read_text("utf-8"))
    assert summary["n_listeners"] == 3
    assert summary["n_features"] == 20
    assert summary["dof"] == 2
    assert len(summary["features"]) == 20
    assert "3 recorded" in (audiosae.out_folder / "report.html").read_text("utf-8")


def copy_of_alice(alice: Run, folder: Path) -> Path:
    made = alice.study.out_folder.parent
    shutil.copytree(made / "data", folder / "data")
    (folder / "encoder").symlink_to(WHISPER.resolve(), target_is_directory=True)
    return Path(shutil.copy(made / "alice-whisper.yaml", folder))


def test_alice_with_its_table_of_words(alice):
    require_followed(alice, n_trials=12)
    assert len(alice.results.test.channels) == 60
    assert "VEOG" not in alice.results.test.channels


def test_alices_onsets_agree_with_the_sound_that_was_recorded(alice):
    rows = [row for item in alice.results.sound_checks for row in item["rows"]]
    assert {(row["what"], row["fits"]) for row in rows} == {("onset", True), ("drift", True)}
    assert len(rows) == 2 * 12 * 2
    # The words' epochs are whole samples of 2 ms.
    assert max(abs(row["seconds"]) for row in rows if row["what"] == "onset") < 0.0015
    assert "The sound that was recorded agrees" in alice.report.read_text("utf-8")


def test_an_onset_that_is_wrong_is_told_and_not_moved(alice, tmp_path):
    config = copy_of_alice(alice, tmp_path)
    path = tmp_path / "data" / "alice" / "proc" / "S03.mat"
    trl = scipy.io.loadmat(path, simplify_cells=True)["proc"]["trl"]
    scipy.io.savemat(path, {"proc": {"trl": trl + [10, 10, 0]}})  # 20 ms
    overrides = {**SMALL, "encoder.source": "encoder", "listeners.subjects": ["3"], "out": tmp_path / "out"}
    study = worlds.load_study(config, overrides)
    store = worlds.Store(tmp_path / "store")
    worlds.execute(worlds.part_of(study.plan, ["sound-check[S03]"]), store, n_jobs=2)
    rows = store.get(study.plan.key("sound-check[S03]")).meta["rows"]
    onsets = [row for row in rows if row["what"] == "onset"]
    assert len(onsets) == 12
    assert not any(row["fits"] for row in onsets)
    assert all(abs(row["seconds"] + 0.020) < 0.0015 for row in onsets)


def test_own_recordings_in_bids(own):
    require_followed(own, n_trials=6)
    assert "beside" in own.summary


def test_a_listener_of_alice_recorded_in_part_is_refused_by_name(alice, tmp_path):
    config = copy_of_alice(alice, tmp_path)
    proc = tmp_path / "data" / "alice" / "proc" / "S03.mat"
    scipy.io.savemat(proc, {"proc": {"trl": np.zeros((7, 3))}})
    study = worlds.load_study(config, {**SMALL, "encoder.source": "encoder", "listeners.subjects": ["3"]})
    with pytest.raises(
        BrainalignError, match=r"S03.mat does not have an epoch for every word[\s\S]*leave this listener"
    ):
        worlds.execute(worlds.part_of(study.plan, ["clean[S03]"]), worlds.Store(tmp_path / "store"), n_jobs=1)
