"""Does every example run, offline, and say what it promises?"""

import runpy
from pathlib import Path

import pytest

from brainalign.sae.checkpoint import load_sae

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run an example in an empty folder and return what it printed, line by line."""
    monkeypatch.chdir(tmp_path)

    def example(name: str, *arguments: str) -> list[str]:
        monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return example


def test_all_are_tested():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "grid_search.py",
        "one_listener.py",
        "plant_and_find.py",
        "train_sae.py",
    }


class TestOneListener:
    """The envelope's response function."""

    def test_an_imaginary_listener_follows_the_rises(self, run, tmp_path):
        envelope, onset, report = run("one_listener.py")
        assert float(onset.split("r = ")[1].split()[0]) > float(envelope.split("r = ")[1].split()[0])
        assert "corrected p = 0.001" in onset
        assert (tmp_path / report.removeprefix("report: ")).is_file()

    def test_own_files(self, run, files):
        lines = run("one_listener.py", files.folder / "sub-01_eeg.fif", *files.stories)
        assert len(lines) == 3


def test_planted_features_come_first(run):
    _, first, second, third, *_ = run("plant_and_find.py")
    assert "planted: parietal_right" in first
    assert "planted: temporal_left" in second
    assert "planted" not in third


def test_a_search_finds_the_true_lags(run):
    grid, best, held_out, maps = run("grid_search.py")
    assert best == "best: lags 0 to 300 ms, tikhonov-1, penalty 0.1"
    assert float(held_out.split("r = ")[1].split()[0]) > 0.3
    kept, r = maps.split("; r of the pipeline: ")
    assert kept == "kept by FeatureMaps: onset"
    assert float(r) > 0.3
    assert grid.startswith("12 models")


def test_a_trained_autoencoder_can_be_loaded(run, tmp_path):
    *lines, folder = run("train_sae.py")
    assert float(lines[2].split(":")[1]) > 0.5
    assert load_sae(tmp_path / folder.removeprefix("sparse autoencoder: ")).d_sae == 256
