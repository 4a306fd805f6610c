"""The benchmark of real coders keeps its halves apart, reads words where they are, and tells what it found."""

import json
import math

import numpy as np
import pytest

from benchmarks._sae_real_data import HELD_OUT_SPEAKERS, States, Word, sounds
from benchmarks._sae_real_data import Sound as Heard
from benchmarks._sae_real_tasks import FULL, QUICK, TASKS, Found, Probe, part_of
from benchmarks.sae_real import markdown, report_of, run, table
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory


@pytest.fixture
def spoken(rng):
    """Two speakers' strings of digits whose frames tell the digit: one is held out."""
    heard, items = [], []
    for speaker, held_out in (("a", False), ("b", False), ("c", True)):
        digits = np.tile(np.arange(10), 4)
        words = tuple(Word(int(digit), 3200 * i, 3200 * i + 2560) for i, digit in enumerate(digits))
        values = 0.1 * rng.standard_normal((400, 12))
        for word in words:
            values[word.start // 320 : word.stop // 320, word.digit] += 1
        stimulus = Stimulus(speaker, np.zeros(128_000), TimeAxis(16_000, 128_000))
        heard.append(Heard(stimulus, held_out, speaker, words))
        items.append(Trajectory(values, TimeAxis(50, 400), tuple(f"h{i}" for i in range(12))))
    return States(tuple(heard), {1: tuple(items)})


def test_a_probe_reads_the_held_out_words(spoken):
    probe = Probe.fitted(spoken, 1)
    assert [sound.speaker for sound in probe.sounds] == ["c"]
    frames = [np.asarray(item.values) for item in probe.frames]
    assert probe.accuracy(frames) == 1
    assert probe.accuracy([np.zeros_like(x) for x in frames]) == pytest.approx(0.1, abs=0.05)
    late = [np.roll(x, 10, axis=0) for x in frames]
    assert probe.accuracy(late) < 0.2


def test_halves_and_shares(spoken):
    assert (len(spoken.half(1, held_out=False)), len(spoken.half(1, held_out=True))) == (2, 1)
    assert spoken.seconds(held_out=False) == 16
    whole = spoken.layers[1] * 8
    assert len(part_of(whole, 1 / 4)) == 6
    assert part_of(whole, 1) == whole
    assert len(part_of(whole, 1e-6)) == 1


def test_real_speakers_and_utterances_are_in_one_half(root):
    data = root / ".." / "shared" / "data"
    if not (data / "fsdd").is_dir():
        pytest.skip("the real speech is not here (shared/data)")
    chosen = sounds(data, n_each=1, seed=0, quick=True)
    words = [sound for sound in chosen if sound.words]
    assert {sound.speaker for sound in words if sound.held_out} == set(HELD_OUT_SPEAKERS)
    assert sum(len(sound.words) for sound in words) == 60
    for sound in words:
        assert [word.stop <= after.start for word, after in zip(sound.words, sound.words[1:], strict=False)]
        assert sound.stimulus.axis.duration <= 30
    halves = {sound.speaker: sound.held_out for sound in chosen}
    assert all(halves[sound.speaker] == sound.held_out for sound in chosen)
    assert 0 < sum(sound.held_out for sound in chosen) < len(chosen)


def test_what_is_found_is_kept_judged_and_laid_out(spoken, tmp_path):
    found = Found(FULL, tmp_path, tmp_path, print)
    found.states = spoken
    found.add("layers", {"layer": 6, "coder": "SAE", "explained_variance": 0.87654321, "l0": math.nan})
    found.claim("x", 0.9, target=">= 0.85", ok=True)
    report = report_of(found, {"processor": "one", "load_at_start": 0.1}, 0.0)
    assert report["rows"] == [{"task": "layers", "layer": 6, "coder": "SAE", "explained_variance": 0.8765, "l0": None}]
    assert json.loads(json.dumps(report)) == report
    page = markdown(report)
    assert "| layer | coder | explained variance | l0 |" in page
    assert "| 6 | SAE | 0.8765 |  |" in page
    assert "| x | " in page
    assert table(report["rows"]).splitlines()[1].split() == ["6", "SAE", "0.8765"]


def test_a_quick_run_judges_nothing(tmp_path):
    found = Found(QUICK, tmp_path, tmp_path, print)
    found.claim("x", 0.1, target=">= 0.85", ok=False)
    assert found.claims[0]["ok"] is None


@pytest.mark.slow
def test_a_quick_run_does_every_task(root, tmp_path):
    data = root / ".." / "shared" / "data"
    if not (data / "whisper_base_encoder").is_dir():
        pytest.skip("the real encoder is not here (shared/data)")
    report = run(Found(QUICK, data, tmp_path, print), tasks=list(TASKS), keep=tmp_path / "report.json")
    assert {row["task"] for row in report["rows"]} == set(TASKS)
    kept = json.loads((tmp_path / "report.json").read_text())
    assert kept["rows"] == report["rows"]
    assert {claim["ok"] for claim in report["claims"]} == {None}
    # What was trained is taken from the cache by the next run, and gives the same numbers.
    again = run(Found(QUICK, data, tmp_path, print), tasks=["hours"])
    assert again["rows"] == [row for row in report["rows"] if row["task"] == "hours"]
