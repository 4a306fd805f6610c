"""A sine that was recorded is the same sine at the frames' times; what would alias is gone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from brainalign.align.grid import response_on_grid
from brainalign.core.errors import GridMismatch
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis


def _sines(hertz: list[float], *, rate: object = 128, seconds: int = 20) -> Recording:
    axis = TimeAxis(rate, int(seconds * Fraction(rate)))
    values = np.stack([np.sin(2 * np.pi * f * axis.times) for f in hertz], axis=1) * 1e-5
    names = tuple(f"E{i}" for i in range(len(hertz)))
    return Recording(values, axis, names, ("eeg",) * len(hertz), np.full((len(hertz), 3), np.nan), subject="07")


def test_sines_are_exact_between_samples() -> None:
    grid = TimeAxis(50, 500, Fraction(10, 3) + Fraction("0.01247"))
    found = response_on_grid(_sines([1.0, 7.3, 15.0]), grid)
    wanted = np.stack([np.sin(2 * np.pi * f * grid.times) for f in (1.0, 7.3, 15.0)], axis=1) * 1e-5
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=2e-3 * 1e-5)


def test_what_the_grid_cannot_hold_is_removed() -> None:
    found = response_on_grid(_sines([26.0, 40.0, 60.0]), TimeAxis(50, 700, 3))
    assert np.abs(found).max() < 1e-3 * 1e-5


def test_working_on_a_part_changes_nothing() -> None:
    recording, grid = _sines([3.0, 11.0], seconds=60), TimeAxis(50, 100, Fraction("30.00123"))
    near = Recording(
        recording.values[27 * 128 : 36 * 128],
        recording.axis.part(27 * 128, 36 * 128),
        recording.channels,
        recording.kinds,
        recording.positions,
    )
    np.testing.assert_array_equal(response_on_grid(recording, grid), response_on_grid(near, grid))


def test_same_clock_gives_the_samples_themselves() -> None:
    recording = _sines([5.0])
    found = response_on_grid(recording, recording.axis)
    np.testing.assert_array_equal(found, recording.values.astype(np.float32))


def test_a_grid_outside_says_which_stimulus_and_by_how_much() -> None:
    with pytest.raises(GridMismatch, match=r"'story' reaches outside the recording sub-07[\s\S]*1.98 s past its end"):
        response_on_grid(_sines([5.0]), TimeAxis(50, 100, Fraction("19.9922")), name="'story'")
    with pytest.raises(GridMismatch, match=r"0.5 s before its start"):
        response_on_grid(_sines([5.0]), TimeAxis(50, 100, "-0.5"))


def test_an_empty_grid_is_empty() -> None:
    assert response_on_grid(_sines([5.0]), TimeAxis(50, 0)).shape == (0, 1)
