"""Does docs/acoustics.md tell the truth?"""

import re

import numpy as np
import pytest
import soundfile

from brainalign.audio.acoustic import acoustic
from brainalign.audio.baselines import BASELINES, read_name
from brainalign.audio.edges import EDGE_DELAY
from brainalign.audio.gammatone import GammatoneBank, delays
from brainalign.audio.synth import synthesise_speech
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis

RATE = 16_000
ROW = re.compile(r"^\| `(?P<name>[a-z0-9-]+)` \| (?P<count>\d+)", flags=re.MULTILINE)


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs" / "acoustics.md").read_text(encoding="utf-8")


def test_the_example_runs(page, tmp_path, monkeypatch):
    sound = synthesise_speech("chapter1", seconds=5, seed=1)
    soundfile.write(tmp_path / "chapter1.wav", sound.waveform, RATE)
    (tmp_path / "words.csv").write_text("word,onset,surprisal\nda,0.5,3.5\ndo,1.25,7\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names: dict = {}
    exec(compile(code, "acoustics.md", "exec"), names)
    predictors = names["predictors"]
    assert predictors.n_features == 8 + 8 + 2 + 2 and predictors.axis == names["axis"]
    assert predictors.features[-2:] == ("words", "words surprisal")
    assert predictors.values[:, -2:].sum(axis=0).tolist() == [2.0, 10.5]


def test_every_name_of_the_table_has_so_many_features(page):
    rows = {match["name"]: int(match["count"]) for match in ROW.finditer(page)}
    assert len(rows) == 11
    for name, count in rows.items():
        assert len(read_name(name).features) == count, name
    told = set(re.findall(r"`([a-z0-9-]+)`", page))
    assert {name for name in BASELINES if not re.search(r"\d", name)} <= told | {"gammatone-envelope-edges"}
    for name in ("mel-16-log", "gammatone-64", "gammatone-32-linear-onsets", "gammatone-envelope-edges"):
        assert name in told and read_name(name).features


def test_the_delays_that_it_gives(page):
    assert "13.4 ms at 96 Hz" in page
    assert GammatoneBank().centres(RATE)[0] == pytest.approx(96, abs=0.1)
    assert delays(np.array([96.0]))[0] == pytest.approx(13.4e-3, abs=5e-5)
    assert "7.84 ms" in page and float(EDGE_DELAY) == 7.84e-3


@pytest.mark.parametrize("rate", [50, 100])
def test_where_a_click_stands_on_a_slow_clock(rate):
    """Looked at through twenty clocks a twentieth of a frame apart: as good as one clock twenty times as fast."""
    waveform = np.zeros(2 * RATE)
    waveform[RATE] = 1.0
    click = Stimulus("click", waveform, TimeAxis(RATE, waveform.size))
    names = ["envelope", "hilbert-envelope", "mel", "gammatone-8", "gammatone-8-edges"]
    axes = [TimeAxis(rate, 3 * rate // 2, f"{i}/{20 * rate}") for i in range(20)]
    values = np.stack([acoustic(click, names, axis=axis).values for axis in axes], axis=1).reshape(30 * rate, -1)
    late = np.stack([axis.times for axis in axes], axis=1).ravel()[values.argmax(axis=0)] - 1
    assert np.abs(late[:10]).max() < 1e-3
    assert 1e-3 < late[10:13].max() < 4.5e-3 and abs(late[17]) < 1e-3
    assert late[18:].min() > -9e-3 and late[18:].max() < -4e-3
