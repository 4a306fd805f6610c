"""docs/encoders.md says what is so: its table of clocks, its lists of sites and types, and its code."""

import re
from fractions import Fraction

import numpy as np
import pytest
import soundfile

from brainalign.encoders.families import ENCODERS, REFUSED
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.sites import site_names
from tests.encoders.small import CONFIGS, write_small

FENCE = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)
CLOCK = re.compile(r"\| (\d+) \| (\d+) i(?: \+ ([\d.]+))? \| (\d+) \|$")


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs" / "encoders.md").read_text(encoding="utf-8")


def test_the_table_of_clocks_is_that_of_the_models(page, tmp_path):
    told = {}
    for line in page.splitlines():
        if found := CLOCK.search(line):
            told |= dict.fromkeys(re.findall(r"`([^`]+)`", line.split("|")[1]), found.groups())
    assert set(told) == set(ENCODERS)
    for kind in CONFIGS:
        write_small(tmp_path / kind, kind)
        clock = load_encoder(tmp_path / kind).clock
        rate, step, first, span = told[kind]
        assert (clock.rate, clock.span) == (int(rate), int(span))
        assert 1000 / clock.rate == int(step)
        assert abs(1000 * clock.first_centre - Fraction(first or 0)) < Fraction(1, 100)


def test_every_site_and_every_refused_type_is_told_of(page):
    told = set(re.findall(r"^\| `([a-z-]+)` \| (?:0|n|[01] to n) \|", page, flags=re.MULTILINE)) | {"mlp-first"}
    assert told == {name for family in ENCODERS.values() for name in site_names(family)}
    assert all(f"`{kind}`" in page for kind in REFUSED if "_" not in kind)


def test_the_code_runs(page, sound, untrained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("chapter1.wav", sound(2).waveform, 16_000, subtype="FLOAT")
    code = "\n".join(FENCE.findall(page))
    assert code.count('"facebook/hubert-base-ls960"') == 2
    # The small model has four blocks.
    code = code.replace("facebook/hubert-base-ls960", "MODEL").replace("9", "4")
    code = code.replace('"MODEL"', repr(str(untrained)))
    names: dict = {}
    exec(compile(code, "docs/encoders.md", "exec"), names)
    assert set(names["states"]) == {3, 4} and set(names["both"]) == {("mlp", 3), ("residual", 4)}
    np.testing.assert_array_equal(names["frames"].values, names["states"][4].values)
    assert names["past_only"].axis.rate == 10
    assert names["units"].n_features == 256
