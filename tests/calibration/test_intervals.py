"""Do 95 % intervals hold the truth 95 times in 100, with signals that remember? Channels are the repetitions."""

import numpy as np
import pytest
from scipy import signal

from brainalign.core.design import Design, Trial
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.multivariate import fit_fixed
from brainalign.encoding.peaks import find_peaks
from brainalign.intervals import peak_intervals
from brainalign.stats.binomial import binomial_interval
from brainalign.stats.bootstrap import Resampling
from brainalign.stats.intervals import r_interval, share_interval

METHODS = ("percentile", "bca", "student")
BAND = signal.butter(2, [1, 8], "bandpass", fs=50, output="sos")
N_CHANNELS = 60


def autoregressive(rng, shape, pole=0.9):
    noise = rng.standard_normal((shape[0] + 100, *shape[1:]))
    return np.sqrt(1 - pole**2) * signal.lfilter([1], [1, -pole], noise, axis=0)[100:]


def band_passed(rng, shape):
    noise = signal.sosfilt(BAND, rng.standard_normal((shape[0] + 300, *shape[1:])), axis=0)[300:]
    return noise / np.sqrt(14 / 50)


WORLDS = {"band-passed": band_passed, "autoregressive": autoregressive}


def held(found, truth):
    return int(((found.low <= truth) & (truth <= found.high)).sum())


def require_coverage(hits, n, *, least):
    """Nominal 0.95 is not ruled out from above, nor ``least`` from below."""
    low, high = binomial_interval(hits, n, level=0.99)
    assert low <= 0.97, f"too wide: {hits} of {n}"
    assert high >= least, f"too narrow: {hits} of {n}"


def pairs_with(rng, make, r, *, n_trials=4, n_frames=1000):
    pairs = [make(rng, (n_frames, 2, N_CHANNELS)) for _ in range(n_trials)]
    return [pair[:, 0] for pair in pairs], [r * pair[:, 0] + np.sqrt(1 - r**2) * pair[:, 1] for pair in pairs]


def coverage_of_r(make, r, method, *, folds=None, n_worlds=5, **shape):
    hits = 0
    for world in range(n_worlds):
        x, y = pairs_with(np.random.default_rng([7, world]), make, r, **shape)
        resampling = Resampling(method=method, n_draws=600, seed=world)
        hits += held(r_interval(x, y, folds=folds, resampling=resampling), r)
    return hits, n_worlds * N_CHANNELS


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("kind", "r"), [("band-passed", 0.1), ("autoregressive", 0.5)])
def test_intervals_of_r(kind, r, method):
    require_coverage(*coverage_of_r(WORLDS[kind], r, method), least=0.95 if method == "student" else 0.94)


def test_intervals_of_a_mean_over_folds():
    hits, n = coverage_of_r(band_passed, 0.1, "student", folds=np.arange(4))
    require_coverage(hits, n, least=0.95)


def test_intervals_from_whole_trials():
    hits, n = coverage_of_r(autoregressive, 0.1, "student", n_trials=32, n_frames=100)
    require_coverage(hits, n, least=0.95)


def test_frames_taken_for_independent_give_intervals_that_are_too_narrow():
    x, y = pairs_with(np.random.default_rng(3), autoregressive, 0.5)
    hits = held(r_interval(x, y, resampling=Resampling(block=1, n_draws=300)), 0.5)
    assert binomial_interval(hits, N_CHANNELS, level=0.99)[1] < 0.8


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_of_a_share_of_the_ceiling(method):
    """The prediction is the signal and as much noise again: a share of sqrt(1/2)."""
    hits = 0
    for world in range(5):
        rng = np.random.default_rng([11, world])
        sounds = [band_passed(rng, (1000, 6, N_CHANNELS)) for _ in range(4)]
        predictions = [item[:, 0] + item[:, 1] for item in sounds]
        responses = [np.moveaxis(item[:, :1] + 1.5 * item[:, 2:], 1, 0) for item in sounds]
        found = share_interval(predictions, responses, resampling=Resampling(method=method, n_draws=600, seed=world))
        hits += held(found, np.sqrt(0.5))
    require_coverage(hits, 5 * N_CHANNELS, least=0.94)


LAGS = Lags(-3, 22, 50)
SECONDS = np.arange(20) / 50
KERNEL = np.exp(-0.5 * ((SECONDS - 0.124) / 0.04) ** 2) - 0.6 * np.exp(-0.5 * ((SECONDS - 0.23) / 0.05) ** 2)


def make_listener(rng, *, gain, n_trials=6, n_frames=1000):
    """A rectified slow sound, seen through a kernel, in noise of each channel's own."""
    trials = []
    for number in range(n_trials):
        x = np.abs(autoregressive(rng, (n_frames, 1), pole=0.8))
        y = gain * signal.lfilter(KERNEL, [1], x, axis=0) / 2 + autoregressive(rng, (n_frames, len(gain)))
        trajectory = Trajectory(x.astype(np.float32), TimeAxis(50, n_frames), ("sound",))
        trials.append(Trial(f"story-{number}", trajectory, y, np.ones(n_frames, dtype=bool)))
    channels = tuple(f"c{number}" for number in range(len(gain)))
    return Design(tuple(trials), LAGS, channels, np.zeros((len(gain), 3)))


@pytest.fixture(scope="module")
def true_peak():
    """Latency and height per unit of gain of what ridge tends to, with a relative penalty of 0.1."""
    rng = np.random.default_rng(1)
    long = make_listener(rng, gain=np.full(20, 3.0), n_trials=10, n_frames=20_000)
    peaks = find_peaks(fit_fixed(long, 0.1).coef.swapaxes(1, 2), LAGS)
    return float(peaks.latency.mean()), float(peaks.amplitude.mean()) / 3


@pytest.mark.parametrize("method", METHODS)
def test_intervals_of_latency_and_amplitude(true_peak, method):
    """Strong responses: an interval around a peak that is not there has no truth to hold."""
    latency, amplitude, hits, gain = *true_peak, np.zeros(2, dtype=int), np.full(40, 0.5)
    for world in range(4):
        design = make_listener(np.random.default_rng([5, world]), gain=gain)
        found = peak_intervals(design, 0.1, resampling=Resampling(method=method, n_draws=300, seed=world))
        hits += held(found.latency, latency), held(found.amplitude, 0.5 * amplitude)
    for number in hits:
        require_coverage(int(number), 160, least=0.94)
