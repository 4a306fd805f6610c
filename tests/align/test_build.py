"""A planted delay comes back to a fraction of a millisecond, and mistakes are named."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from brainalign.align.build import align
from brainalign.core.errors import GridMismatch, ShapeMismatch, UnknownName, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.eeg.simulate import (
    NO_VARIATION,
    PLANTED_SITES,
    SILENT,
    PlantedSource,
    ResponseKernel,
    simulate_listener,
)

FRAMES = TimeAxis(50, 1500, "0.01247")
ONSETS = {"first": Fraction(10, 3), "second": Fraction("36.00271"), "third": Fraction("70.0001")}


def _drive(stimulus: str, *, axis: TimeAxis = FRAMES) -> np.ndarray:
    rng = np.random.default_rng(sorted(ONSETS).index(stimulus))
    return np.where(rng.random(axis.n) < 0.08, rng.random(axis.n), 0.0)


def _features(stimulus: str, *, extra: int = 3, axis: TimeAxis = FRAMES) -> Trajectory:
    values = np.zeros((axis.n, 1 + extra), dtype=np.float32)
    values[:, 0] = _drive(stimulus, axis=axis)
    return Trajectory(sparse.csr_array(values), axis, tuple(f"f{i}" for i in range(1 + extra)))


def _listener(
    latency: float, *, rate: object = 128, axis: TimeAxis = FRAMES, heard: TimeAxis | None = None
) -> Recording:
    """Return a noise-free listener; ``heard`` is the frame clock that the brain really had (drift)."""
    site = PLANTED_SITES["central"]
    drives = {name: (_drive(name, axis=axis), heard or axis) for name in ONSETS}
    kernel = ResponseKernel(latency=latency, width=0.12)
    source = PlantedSource("s", drives, kernel, site.position, site.orientation)
    raw = simulate_listener(
        [source], ONSETS, seconds=105, seed=0, subject="01", rate=rate, noise=SILENT, variation=NO_VARIATION
    )
    recording = Recording.from_mne(raw, subject="01")
    return Recording(**{**vars(recording), "onsets": {name: (time,) for name, time in ONSETS.items()}})


def _delay(x: np.ndarray, y: np.ndarray, *, rate: float) -> float:
    """Measure by how many seconds y follows x: the peak of the deconvolved answer, on a fine grid."""
    n = 1 << int(np.ceil(np.log2(2 * x.size)))
    drive, answer = np.fft.rfft(x, n), np.fft.rfft(y, n)
    transfer = np.conj(drive) * answer / (np.abs(drive) ** 2 + 1e-3 * np.mean(np.abs(drive) ** 2))
    hertz = np.fft.rfftfreq(n, 1 / rate)
    times = np.arange(0.0, 0.5, 1e-4)
    kept = hertz < 0.36 * rate
    course = (np.exp(2j * np.pi * np.outer(times, hertz[kept])) @ transfer[kept]).real
    return float(times[np.argmax(course)])


@pytest.mark.parametrize("latency", [0.13, 0.1617, 0.2])
def test_planted_latency_comes_back_within_a_millisecond(latency: float) -> None:
    design = align({name: _features(name) for name in ONSETS}, _listener(latency))
    cz = design.channels.index("Cz")
    for trial in design.trials:
        found = _delay(trial.x.block(0, 1)[:, 0], trial.y[:, cz], rate=50)
        assert found == pytest.approx(latency, abs=5e-4)


@pytest.mark.parametrize(
    ("rate", "axis"),
    [(500, FRAMES), (Fraction(1000, 7), FRAMES), (128, TimeAxis("62.5", 1800, "0.007")), (128, TimeAxis(160, 4000, 0))],
    ids=["500 Hz", "1000/7 Hz", "62.5 frames", "frames faster than the EEG"],
)
def test_any_two_rates_meet(rate: object, axis: TimeAxis) -> None:
    latency = 0.1617
    design = align({name: _features(name, axis=axis) for name in ONSETS}, _listener(latency, rate=rate, axis=axis))
    assert design.trials[0].axis == axis
    found = _delay(
        design.trials[0].x.block(0, 1)[:, 0],
        design.trials[0].y[:, design.channels.index("Cz")],
        rate=float(axis.rate),
    )
    assert found == pytest.approx(latency, abs=1e-3)


def test_drift_is_undone() -> None:
    drift = Fraction(1, 1000)  # 30 ms over the 30 s of a trial
    heard = TimeAxis(FRAMES.rate / (1 + drift), FRAMES.n, FRAMES.t0 * (1 + drift))
    recording = _listener(0.15, heard=heard)
    features = {name: _features(name) for name in ONSETS}
    right, wrong = align(features, recording, drift=drift), align(features, recording)
    straight = align(features, _listener(0.15))
    cz = right.channels.index("Cz")

    def late_half(trial: object) -> float:
        return _delay(trial.x.block(0, 1)[750:, 0], trial.y[750:, cz], rate=50)

    assert late_half(right.trials[0]) == pytest.approx(late_half(straight.trials[0]), abs=5e-4)
    assert late_half(wrong.trials[0]) - late_half(straight.trials[0]) > 0.01
    assert right.trials[0].axis == FRAMES


def test_sparse_features_are_neither_densified_nor_copied_wrongly() -> None:
    features = {name: _features(name) for name in ONSETS}
    design = align(features, _listener(0.15))
    assert all(trial.x.is_sparse for trial in design.trials)
    for trial in design.trials:
        np.testing.assert_array_equal(trial.x.values.toarray(), features[trial.name].values.toarray())


def test_response_is_float32_volts_of_brain_channels_only() -> None:
    design = align({name: _features(name) for name in ONSETS}, _listener(0.15), lags=(-0.1, 0.5))
    assert design.trials[0].y.dtype == np.float32
    assert 1e-7 < np.abs(design.trials[0].y).max() < 1e-4
    assert len(design.channels) == 64
    assert "VEOG" not in design.channels
    assert (design.lags.first, design.lags.last, design.lags.rate) == (-5, 25, 50)
    assert design.subject == "01"
    assert design.provenance.steps[-1].parameters["onsets"]["first"] == ["10/3"]


def test_trials_stand_in_the_order_of_hearing_and_repeats_are_trials_of_one_name() -> None:
    recording = _listener(0.15)
    onsets = {"second": (Fraction(1), Fraction(70)), "first": (Fraction(36),), "coffee": (Fraction(2),)}
    heard = Recording(**{**vars(recording), "onsets": onsets})
    design = align({name: _features(name) for name in ("first", "second")}, heard)
    assert [trial.name for trial in design.trials] == ["second", "first", "second"]
    assert not np.allclose(design.trials[0].y, design.trials[2].y)


def test_trim_cuts_both_ends_and_keeps_the_grid() -> None:
    recording = _listener(0.15)
    features = {name: _features(name) for name in ONSETS}
    mask = np.arange(FRAMES.n) % 3 > 0
    whole = align(features, recording)
    cut = align(features, recording, trim=0.51, mask=dict.fromkeys(ONSETS, mask))
    for long, short in zip(whole.trials, cut.trials, strict=True):
        assert short.axis == FRAMES.part(26, FRAMES.n - 26)
        np.testing.assert_array_equal(short.y, long.y[26:-26])
        np.testing.assert_array_equal(short.x.block(0, 4), long.x.block(0, 4)[26:-26])
        np.testing.assert_array_equal(short.mask, mask[26:-26])
        assert long.mask.all()


def test_one_trajectory_needs_an_onset_or_a_name() -> None:
    recording, features = _listener(0.15), _features("second")
    by_name = align(features, recording, name="second")
    by_onset = align(features, recording, onset=ONSETS["second"])
    np.testing.assert_array_equal(by_name.trials[0].y, by_onset.trials[0].y)
    assert (by_name.trials[0].name, by_onset.trials[0].name) == ("second", "stimulus")
    both = align(features, recording, onset={"talk": 40.0}, name="talk")
    assert both.trials[0].name == "talk"
    with pytest.raises(UnknownName, match=r"1 of 1 stimuli have no onset[\s\S]*give onset="):
        align(features, recording)


def test_mistakes_are_explained() -> None:
    recording = _listener(0.15)
    features = {name: _features(name) for name in ONSETS}
    with pytest.raises(UnknownName, match=r"2 of 5 stimuli have no onset[\s\S]*got: fifth, fourth"):
        align({**features, "fourth": features["first"], "fifth": features["first"]}, recording)
    with pytest.raises(GridMismatch, match=r"'first' reaches outside[\s\S]*got: 5 s past its end"):
        align(features["first"], recording, name="first", onset=80)
    with pytest.raises(GridMismatch, match=r"1.988 s before its start"):
        align(features["first"], recording, name="first", onset=-2)
    with pytest.raises(ValueProblem, match="one onset cannot serve several"):
        align(features, recording, onset=3.0)
    with pytest.raises(ValueProblem, match="must leave something of 'first'"):
        align(features, recording, trim=15)
    with pytest.raises(ValueProblem, match="goes with a single trajectory"):
        align(features, recording, name="first")
    with pytest.raises(ShapeMismatch, match="mask of 'first'"):
        align(features, recording, mask={"first": np.ones(3, dtype=bool)})
    with pytest.raises(UnknownName, match="names stimuli without features"):
        align(features, recording, mask={"frist": np.ones(FRAMES.n, dtype=bool)})
    with pytest.raises(ValueProblem, match="no features to align"):
        align({}, recording)
    with pytest.raises(ValueProblem, match="one rate"):
        align({**features, "third": _features("third", axis=TimeAxis(40, 800))}, recording)


def test_bad_channels_and_recordings_without_brain_are_refused() -> None:
    recording, features = _listener(0.15), _features("first")
    with pytest.raises(ValueProblem, match=r"bad channels[\s\S]*got: Oz"):
        align(features, Recording(**{**vars(recording), "bads": ("Oz",)}), name="first")
    with pytest.raises(ValueProblem, match="no brain channels"):
        align(features, Recording(**{**vars(recording), "kinds": ("misc",) * 65}), name="first")
