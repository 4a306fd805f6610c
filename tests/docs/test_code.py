"""Does the code that the pages show do what they say?"""

import mne
import numpy as np
import pytest

import brainalign as ba

MODEL = 'model, layer = "facebook/hubert-base-ls960", 9'


def run(code: str, page) -> dict:
    names: dict = {}
    exec(compile(code, str(page), "exec"), names)
    return names


@pytest.fixture(scope="module")
def shown(files, root, blocks):
    """README.md's example, run where its files are; only the model is another, as it says it may be."""
    page = root / "README.md"
    (code,) = blocks(page, "python")
    assert code.count(MODEL) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(files.folder)
        return run(code.replace(MODEL, 'model, layer = "my-encoder", 2'), page)


class TestReadme:
    """The example of the front page."""

    def test_finds_the_feature_that_drives_the_recording(self, shown, files):
        maps = shown["maps"]
        (row,) = maps.strongest(1)
        assert maps.features[row] == files.planted
        assert maps.p_corrected[row].min() <= 0.05
        assert maps.channels[int(maps.r[row].argmax())] in {"FT7", "F7", "T7", "FC5", "F5"}

    def test_gives_the_arrays_it_names(self, shown):
        maps = shown["maps"]
        n_lags = shown["design"].lags.n
        assert maps.r.shape == maps.p.shape == maps.p_corrected.shape == (8, 64)
        assert maps.trf.shape == (8, n_lags, 64)

    def test_writes_the_files_it_names(self, shown, files):
        assert (files.folder / "maps.png").stat().st_size > 1000
        assert (files.folder / "maps.html").read_text(encoding="utf-8").startswith("<!")

    def test_three_stories_do_with_three_folds(self, shown):
        design = ba.Design(
            shown["design"].trials[:3], shown["design"].lags, shown["design"].channels, shown["design"].positions
        )
        assert ba.feature_maps(design.select([0]), n_folds=3).r.shape == (1, 64)


def test_the_estimators(root, blocks):
    page = root / "docs" / "estimators.md"
    names = run("\n".join(blocks(page, "python")), page)
    assert names["model"].coef_.shape == (2, 3, 26)
    assert names["r2"] > 0.1
    assert names["found"] == ["x1"]
    assert names["banded"].bands_ == ("acoustic", "model")
    assert names["stimulus"].shape == names["x"].shape


def test_the_preparation_of_a_recording(tmp_path, root, blocks, monkeypatch):
    """A BioSemi-like recording: no positions, EOG among the externals, integer triggers."""
    page = root / "docs" / "own-data.md"
    (code,) = blocks(page, "python")
    names = [*mne.channels.make_standard_montage("biosemi64").ch_names, *(f"EXG{i}" for i in range(1, 9)), "Status"]
    info = mne.create_info(names, 128.0, [*["eeg"] * 72, "stim"], verbose="error")
    signals = 1e-5 * np.random.default_rng(0).standard_normal((73, 128 * 40))
    signals[-1] = 0
    for code_of, second in ((1, 3), (2, 15), (3, 27), (9, 33)):
        signals[-1, 128 * second : 128 * second + 4] = code_of
    monkeypatch.chdir(tmp_path)
    mne.io.RawArray(signals, info, verbose="error").save("triggers_eeg.fif", verbose="error")
    assert '"sub-01.bdf"' in code
    run(code.replace('"sub-01.bdf"', '"triggers_eeg.fif"'), page)
    recording = ba.read_eeg("sub-01_eeg.fif")
    assert {name: [float(time) for time in times] for name, times in recording.onsets.items()} == {
        "chapter-01": [3.0],
        "chapter-02": [15.0],
        "chapter-03": [27.0],
    }
    assert np.isfinite(recording.positions[:64]).all()
    assert recording.kinds.count("eeg") == 64
    assert recording.kinds[recording.channels.index("EXG1")] == "eog"
