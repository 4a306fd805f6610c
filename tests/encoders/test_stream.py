"""Long sounds on the disk: the same numbers, the same bytes after an interruption, in little memory."""

import json
from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.errors import UnreadableFile, ValueProblem
from brainalign.encoders.causal import Causal
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.stream import NOTE, encode_to
from brainalign.encoders.windows import Windowing

WANTED = [("residual", 2), ("mlp", 1)]


@pytest.fixture(scope="module")
def windowed(untrained):
    """One window at a time, whatever the budget could hold."""
    return replace(load_encoder(untrained, windowing=Windowing(6, 2)), memory=1)


class Interrupted(Exception):
    """As if the power had failed."""


def _stop_after(n_windows):
    calls = []

    def progress(done, total):
        calls.append((done, total))
        if len(calls) == n_windows + 1:
            raise Interrupted

    return progress


def _is_mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


def _bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_frames_on_the_disk_are_those_in_memory(windowed, sound, tmp_path):
    stimulus, told = sound(15), []
    found = encode_to(
        tmp_path / "a" / "b", windowed, stimulus=stimulus, wanted=WANTED, progress=lambda *n: told.append(n)
    )
    expected = windowed.encode_sites(stimulus, WANTED)
    assert list(found) == WANTED
    for key in WANTED:
        np.testing.assert_array_equal(found[key].values, expected[key].values)
        assert found[key].axis == expected[key].axis
        assert found[key].features == expected[key].features
        assert found[key].provenance == expected[key].provenance
        assert _is_mapped(found[key].values)
    n = expected[WANTED[0]].axis.n
    n_windows = expected[WANTED[0]].provenance.steps[-1].parameters["windows"]
    assert [total for _, total in told] == [n] * (1 + n_windows)
    assert told[-1][0] == n


@pytest.mark.parametrize("n_windows", [1, 3])
def test_a_killed_run_ends_with_the_bytes_of_one_that_was_not(windowed, sound, tmp_path, n_windows):
    stimulus = sound(15, seed=2)
    encode_to(tmp_path / "whole", windowed, stimulus=stimulus, wanted=WANTED)
    with pytest.raises(Interrupted):
        encode_to(tmp_path / "cut", windowed, stimulus=stimulus, wanted=WANTED, progress=_stop_after(n_windows))
    # Rows that were written and not noted are written again.
    spoilt = np.lib.format.open_memmap(tmp_path / "cut" / "mlp-1.npy", mode="r+")
    spoilt[json.loads((tmp_path / "cut" / NOTE).read_text())["frames"] :] = 7
    spoilt.flush()
    told = []
    encode_to(tmp_path / "cut", windowed, stimulus=stimulus, wanted=WANTED, progress=lambda *n: told.append(n))
    assert _bytes(tmp_path / "cut") == _bytes(tmp_path / "whole")
    # What is done is not run again.
    encode_to(tmp_path / "whole", windowed, stimulus=stimulus, wanted=WANTED, progress=_stop_after(1))
    assert len(told) == 1 + 6 - n_windows


def test_causal_frames_are_resumed_too(untrained, sound, tmp_path):
    causal = load_encoder(untrained, windowing=Causal(0.2, stride_frames=2, n_at_once=4))
    stimulus = sound(0.6)
    with pytest.raises(Interrupted):
        encode_to(tmp_path, causal, stimulus=stimulus, wanted=WANTED, progress=_stop_after(6))
    found = encode_to(tmp_path, causal, stimulus=stimulus, wanted=WANTED)
    for key, expected in causal.encode_sites(stimulus, WANTED).items():
        np.testing.assert_array_equal(found[key].values, expected.values)


def test_a_folder_of_other_frames_is_refused(windowed, encoder, sound, tmp_path):
    encode_to(tmp_path, windowed, stimulus=sound(1), wanted=WANTED)
    for options in (
        {"stimulus": sound(1, seed=9), "wanted": WANTED},
        {"stimulus": sound(1), "wanted": WANTED[:1]},
    ):
        with pytest.raises(ValueProblem, match=r"frames of another sound, encoder or choice[\s\S]*folder of its own"):
            encode_to(tmp_path, windowed, **options)


def test_damage_is_told(windowed, sound, tmp_path):
    options = {"stimulus": sound(1), "wanted": WANTED}
    encode_to(tmp_path, windowed, **options)
    path = tmp_path / "mlp-1.npy"
    np.save(path, np.load(path)[:-3])
    with pytest.raises(UnreadableFile, match=r"not all there[\s\S]*mlp-1.npy: 46 of 49"):
        encode_to(tmp_path, windowed, **options)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UnreadableFile, match=r"cannot be read back[\s\S]*mlp-1.npy"):
        encode_to(tmp_path, windowed, **options)
    (tmp_path / NOTE).write_text("{")
    with pytest.raises(UnreadableFile, match="the note on how far a run got is damaged"):
        encode_to(tmp_path, windowed, **options)


def test_another_memory_budget_goes_on_where_the_first_one_stopped(windowed, sound, tmp_path):
    """One window was done; of batches of three the rest is, and no frame is missing or twice there."""
    stimulus = sound(15, seed=3)
    expected = windowed.encode_sites(stimulus, WANTED)
    with pytest.raises(Interrupted):
        encode_to(tmp_path, windowed, stimulus=stimulus, wanted=WANTED, progress=_stop_after(1))
    rich, told = replace(windowed, memory="100MB"), []
    assert max(len(batch) for batch in rich._batches(stimulus)) > 1
    found = encode_to(tmp_path, rich, stimulus=stimulus, wanted=WANTED, progress=lambda *n: told.append(n))
    assert 2 <= len(told) < 6
    for key in WANTED:
        np.testing.assert_allclose(found[key].values, expected[key].values, atol=2e-5)


def test_a_piece_is_one_window_however_long_the_sound(windowed, sound):
    """What is held at once: the frames of one window."""
    sizes = [len(piece["residual", 1]) for piece in windowed.pieces(sound(40), [("residual", 1)])]
    assert sum(sizes) == windowed.clock.n_frames(40 * 16_000)
    assert max(sizes) <= 6 * 50
