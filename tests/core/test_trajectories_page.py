"""docs/trajectories.md says what is so: its code, its table of controls, its numbers."""

import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from brainalign.audio.synth import synthesise_speech
from brainalign.core import export, slices
from brainalign.encoders.builtin import write_untrained_hubert

FENCE = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)
MODEL = '"facebook/hubert-base-ls960"'


@pytest.fixture(scope="module")
def page(root) -> str:
    return (root / "docs" / "trajectories.md").read_text(encoding="utf-8")


def test_the_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound = synthesise_speech("chapter1", seconds=2, seed=0)
    soundfile.write("chapter1.wav", sound.waveform, 16_000, subtype="FLOAT")
    code = "\n".join(FENCE.findall(page))
    assert code.count(MODEL) == 1
    # The small model has four blocks.
    code = code.replace(MODEL, repr(str(write_untrained_hubert(Path("model"), seed=0))))
    code = code.replace("[9]", "[4]").replace("layer9", "layer4")
    names: dict = {}
    exec(compile(code, "docs/trajectories.md", "exec"), names)
    frames = names["frames"]
    np.testing.assert_array_equal(names["whole"].values, frames.values)
    assert 0.2 <= names["minute"].axis.t0 < Fraction("0.22")
    assert names["minute"].axis.n == 30
    np.testing.assert_array_equal(names["few"].values, frames.values[10:40, [17, 3]])
    assert names["first"].axis == frames.axis.part(0, 20)
    assert Fraction(json.loads(names["raw"].info["description"])["t0"]) == frames.axis.t0
    assert names["of_layer"].size == names["often"].size == frames.n_features
    assert names["chosen"].n_features == int(np.ceil(frames.n_features / 10)) == names["noise"].n_features
    assert names["mixed"].n_features == 64
    half, full = (sum(p.stat().st_size for p in Path(name).iterdir()) for name in ("frames-half", "frames"))
    assert half < 0.6 * full


def test_the_limits_told_are_those_of_the_code(page):
    assert f"blocks of {slices._BLOCK_BYTES >> 20} MB" in page
    assert f"more than {export.MOST_BYTES >> 30} GiB" in page
