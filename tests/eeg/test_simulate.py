"""What was planted is what comes out: in time, in place and in size."""

from __future__ import annotations

import warnings
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import signal

from brainalign.core.errors import GridMismatch, ShapeMismatch, UnknownName, ValueProblem
from brainalign.core.time import TimeAxis
from brainalign.eeg.simulate import (
    NO_VARIATION,
    PLANTED_SITES,
    SILENT,
    NoiseLevels,
    PlantedSource,
    ResponseKernel,
    planted_bad_channels,
    sensor_names,
    sensor_pattern,
    simulate_listener,
)

FRAMES = TimeAxis(50, 500, "0.01247")
KERNEL = ResponseKernel(latency=0.15, width=0.08, undershoot=0.4)


def _source(site: str = "central", **changes: object) -> PlantedSource:
    rng = np.random.default_rng(5)
    drive = np.where(rng.random(FRAMES.n) < 0.1, rng.random(FRAMES.n), 0.0)
    place = PLANTED_SITES[site]
    parts = {
        "name": site,
        "drives": {"story": (drive, FRAMES)},
        "kernel": KERNEL,
        "position": place.position,
        "orientation": place.orientation,
        "peak_microvolts": 2.0,
    }
    return PlantedSource(**{**parts, **changes})


def _silent_listener(source: PlantedSource, *, onset: object = Fraction(4, 3), **changes: object) -> np.ndarray:
    options = {"seconds": 15, "seed": 0, "subject": "01", "noise": SILENT, "variation": NO_VARIATION, **changes}
    raw = simulate_listener([source], {"story": onset}, **options)
    return raw.get_data()[:64].T * 1e6


@pytest.mark.parametrize("undershoot", [0.0, 0.9])
def test_kernel_peaks_at_one_at_its_latency_and_starts_after_zero(undershoot: float) -> None:
    kernel = ResponseKernel(latency=0.1234, width=0.1, undershoot=undershoot)
    times = np.linspace(-0.5, 1.5, 200_001)
    values = kernel(times)
    assert kernel(np.array([0.1234])) == pytest.approx(1.0, abs=1e-15)
    assert np.abs(values).max() == pytest.approx(1.0, abs=1e-9)
    assert times[np.argmax(np.abs(values))] == pytest.approx(0.1234, abs=1e-5)
    np.testing.assert_allclose(values[(times < 0) | (times > kernel.end)], 0, atol=1e-30)
    assert values.min() == pytest.approx(-undershoot, abs=1e-6)
    # full width at half maximum
    assert kernel(np.array([0.1234 - 0.05, 0.1234 + 0.05])) == pytest.approx([0.5, 0.5])


def test_impossible_kernels_are_refused() -> None:
    with pytest.raises(ValueProblem, match="at most its latency"):
        ResponseKernel(latency=0.05, width=0.08)
    with pytest.raises(ValueProblem, match="smaller than the peak"):
        ResponseKernel(latency=0.1, width=0.08, undershoot=1.0)


def test_one_frame_is_answered_by_the_kernel_at_exact_times() -> None:
    drive = np.zeros(FRAMES.n)
    drive[[7, 300]] = 1.0, -0.5
    onset = 1.23456
    data = _silent_listener(_source(drives={"story": (drive, FRAMES)}), onset=onset)
    clock = np.arange(len(data)) / 128
    wanted = KERNEL(clock - onset - (0.01247 + 7 / 50)) - 0.5 * KERNEL(clock - onset - (0.01247 + 300 / 50))
    channel = data[:, sensor_names().index("Cz")]
    scale = (channel @ wanted) / (wanted @ wanted)
    np.testing.assert_allclose(channel, scale * wanted, atol=1e-9 * abs(scale))


def test_moving_an_onset_by_a_fraction_of_a_sample_moves_the_response_by_as_much() -> None:
    source = _source(kernel=ResponseKernel(latency=0.2, width=0.15))
    early, late = (
        _silent_listener(source, onset=onset)[:, 47] for onset in (Fraction(2), Fraction(2) + Fraction(3, 1280))
    )
    spectrum_early, spectrum_late = np.fft.rfft(early), np.fft.rfft(late)
    hertz = np.fft.rfftfreq(early.size, 1 / 128)
    low = (hertz > 0.2) & (hertz < 4) & (np.abs(spectrum_early) > 0.05 * np.abs(spectrum_early).max())
    delay = -np.angle(spectrum_late[low] / spectrum_early[low]) / (2 * np.pi * hertz[low])
    np.testing.assert_allclose(delay, 3 / 1280, atol=2e-5)


def test_strength_is_the_rms_at_the_best_sensor_over_the_trials() -> None:
    data = _silent_listener(_source(), onset=2.0)
    referenced = data - data.mean(axis=1, keepdims=True)
    rms = np.sqrt(np.mean(referenced[256 : 256 + 1282] ** 2, axis=0))
    assert rms.max() == pytest.approx(2.0, rel=2e-3)
    pattern = sensor_pattern(PLANTED_SITES["central"].position, PLANTED_SITES["central"].orientation)
    assert sensor_names()[int(rms.argmax())] == sensor_names()[int(np.abs(pattern).argmax())] == "Cz"
    np.testing.assert_allclose(np.abs(np.corrcoef(referenced.T @ referenced[:, 47], pattern)[0, 1]), 1, atol=1e-9)


@pytest.mark.parametrize("site", sorted(PLANTED_SITES))
def test_sites_have_patterns_that_sum_to_zero_and_mirror_each_other(site: str) -> None:
    place = PLANTED_SITES[site]
    pattern = sensor_pattern(place.position, place.orientation)
    assert pattern.shape == (64,)
    assert abs(pattern.sum()) < 1e-12
    assert np.linalg.norm(place.orientation) == pytest.approx(1)
    mirrored = sensor_pattern(
        (-place.position[0], *place.position[1:]), (-place.orientation[0], *place.orientation[1:])
    )
    pairs = {"T7": "T8", "Fp1": "Fp2", "P9": "P10", "C3": "C4", "Cz": "Cz", "PO7": "PO8"}
    names = sensor_names()
    for left, right in pairs.items():
        assert mirrored[names.index(right)] == pytest.approx(pattern[names.index(left)], abs=2e-3)


def test_same_seed_same_bytes_and_other_listeners_differ() -> None:
    def simulate(**changes: object) -> np.ndarray:
        options = {"seconds": 15, "seed": 1, "subject": "01", "noise": NoiseLevels(bad_channels=1), **changes}
        return simulate_listener([_source()], {"story": 1.5}, **options).get_data()

    one = simulate()
    assert one.tobytes() == simulate().tobytes()
    assert one.tobytes() != simulate(seed=2).tobytes()
    assert one.tobytes() != simulate(subject="02").tobytes()


def test_listeners_vary_a_little_in_pattern_and_strength() -> None:
    usual = {"variation": replace(NO_VARIATION, position_millimetres=3.0, angle_degrees=5.0, gain=0.2)}
    listeners = [_silent_listener(_source(), subject=f"{i:02d}", **usual) for i in range(6)]
    tops = np.array([np.sqrt(np.mean(item**2, axis=0)) for item in listeners])
    assert (np.corrcoef(tops)[0, 1:] > 0.8).all()
    assert 0.03 < np.std(np.log(tops.max(axis=1))) < 0.6


def test_levels_of_noise_are_as_asked() -> None:
    def only(**levels: object) -> np.ndarray:
        noise = replace(SILENT, **levels)
        return simulate_listener([], {}, seconds=120, seed=3, subject="01", noise=noise).get_data() * 1e6

    def rms(data: np.ndarray) -> np.ndarray:
        return np.sqrt(np.mean(data**2, axis=-1))

    assert rms(only(sensor_microvolts=1.5)[:64]) == pytest.approx(1.5, rel=0.05)
    assert np.sqrt(np.mean(only(pink_microvolts=10.0)[:64] ** 2)) == pytest.approx(10, rel=0.1)
    hum = only(line_microvolts=3.0)[:64]
    assert rms(hum).mean() == pytest.approx(3, rel=0.1)
    assert rms(hum).std() > 0.3
    alpha = only(alpha_microvolts=5.0)[:64]
    assert rms(alpha).max() == pytest.approx(5, rel=1e-6)
    assert sensor_names()[int(rms(alpha).argmax())] in {"O1", "Oz", "O2", "POz", "PO3", "PO4", "Pz", "P1", "P2"}
    blinks = only(blink_microvolts=100.0, blinks_per_minute=15.0)
    assert sensor_names()[int(blinks[:64].max(axis=1).argmax())] in {"Fp1", "Fp2", "Fpz"}
    peaks, _ = signal.find_peaks(blinks[64], height=50, distance=40)
    assert 15 <= len(peaks) <= 45  # 30 expected in two minutes
    assert np.median(blinks[64][peaks]) == pytest.approx(250, rel=0.2)


def test_background_falls_as_one_over_f_and_alpha_stays_in_its_band() -> None:
    noise = replace(SILENT, pink_microvolts=10.0, exponent=1.2)
    data = simulate_listener([], {}, seconds=200, seed=4, subject="01", noise=noise).get_data()[:64] * 1e6
    hertz, power = signal.welch(data, 128, nperseg=1024)
    band = (hertz > 1) & (hertz < 50)
    slope = np.polyfit(np.log(hertz[band]), np.log(power.mean(axis=0)[band]), 1)[0]
    assert slope == pytest.approx(-1.2, abs=0.1)
    alpha = simulate_listener([], {}, seconds=60, seed=4, subject="01", noise=replace(SILENT, alpha_microvolts=5.0))
    hertz, power = signal.welch(alpha.get_data()[:64], 128, nperseg=512)
    inside = power[:, (hertz > 6.5) & (hertz < 13.5)].sum()
    assert inside / power.sum() > 0.97


def test_switching_one_noise_off_leaves_the_others_alone() -> None:
    options = {"seconds": 30, "seed": 9, "subject": "01"}
    everything = simulate_listener([], {}, **options).get_data()
    unblinking = simulate_listener([], {}, noise=NoiseLevels(blink_microvolts=0), **options).get_data()
    difference = (everything - unblinking)[:64] * 1e6
    assert np.linalg.matrix_rank(difference, tol=1e-6) == 1
    assert difference.max() > 50


def test_loose_electrodes_are_huge_and_known() -> None:
    noise = NoiseLevels(bad_channels=2)
    raw = simulate_listener([], {}, seconds=30, seed=7, subject="01", noise=noise)
    names = planted_bad_channels(noise, subject="01", seed=7)
    assert len(names) == 2
    spread = dict(zip(raw.ch_names, raw.get_data().std(axis=1), strict=True))
    good = np.median([spread[name] for name in sensor_names() if name not in names])
    assert all(spread[name] > 5 * good for name in names)
    assert raw.info["bads"] == []


def test_annotations_are_the_stimuli() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw = simulate_listener([], {"b": 3.5, "a": Fraction(7)}, seconds=10, seed=0, subject="01", noise=SILENT)
    assert raw.annotations.description.tolist() == ["b", "a"]
    assert raw.annotations.onset.tolist() == [3.5, 7.0]
    assert raw.get_channel_types() == ["eeg"] * 64 + ["eog"]


def test_mistakes_are_explained() -> None:
    with pytest.raises(GridMismatch, match="'story' does not fit"):
        _silent_listener(_source(), seconds=5)
    with pytest.raises(UnknownName, match="no stimulus that is heard"):
        simulate_listener([_source()], {"other": 0}, seconds=15, seed=0, subject="01")
    with pytest.raises(ValueProblem, match="never active"):
        _silent_listener(_source(drives={"story": (np.zeros(FRAMES.n), FRAMES)}))
    with pytest.raises(ValueProblem, match="different names"):
        simulate_listener([_source(), _source()], {"story": 0}, seconds=15, seed=0, subject="01")
    with pytest.raises(ValueProblem, match=r"inside the brain[\s\S]*not millimetres"):
        _source(position=(0.0, 30.0, 50.0))
    with pytest.raises(ValueProblem, match="length one"):
        _source(orientation=(0.0, 0.0, 2.0))
    with pytest.raises(ShapeMismatch, match="drive of 'central' by 'story'"):
        _source(drives={"story": (np.zeros(3), FRAMES)})
    with pytest.raises(ValueProblem, match="negative"):
        NoiseLevels(pink_microvolts=-1)
    with pytest.raises(ValueProblem, match="hum above half"):
        simulate_listener([], {}, seconds=5, seed=0, subject="01", rate=64)


def test_no_seed_puts_a_noise_dipole_outside_the_brain():
    """Occipital dipoles are drawn from a box whose corners lie outside the brain: one listener in fifty met one."""
    for seed in range(150):
        raw = simulate_listener([], {"story": 0}, seconds=4, seed=seed, subject="01")
        assert np.isfinite(raw.get_data()).all()
