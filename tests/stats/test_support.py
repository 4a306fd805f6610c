"""Are drifts seen where they inflate a null, and only there?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import fft, signal, sparse

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ValueProblem
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.stats.spectra import measure_drift, pooled_memory
from brainalign.stats.support import default_family, support

RATE = 50


def noise(rng, n, *, slope, high_pass, n_columns=4):
    """Gaussian noise with power 1/f^slope, cut from a longer stretch."""
    spectrum = fft.rfft(rng.standard_normal((6 * n, n_columns)), axis=0)
    frequencies = np.arange(1, len(spectrum)) / (6 * n) * RATE
    spectrum[0] = 0
    spectrum[1:] *= frequencies[:, None] ** (-slope / 2)
    values = fft.irfft(spectrum, n=6 * n, axis=0)
    if high_pass:
        values = signal.sosfiltfilt(signal.butter(2, high_pass, "highpass", fs=RATE, output="sos"), values, axis=0)
    return values[2 * n : 3 * n]


def make_design(rng, *, slope=2.0, x_pass=None, y_pass=None, n_trials=8, n=2000, names=None):
    trials = []
    for k in range(n_trials):
        x, y = noise(rng, n, slope=slope, high_pass=x_pass), noise(rng, n, slope=slope, high_pass=y_pass)
        features = Trajectory(x.astype(np.float32), TimeAxis(RATE, n), tuple("abcd"))
        trials.append(Trial(names[k] if names else f"s{k}", features, y, np.ones(n, dtype=bool)))
    return Design(tuple(trials), Lags(0, 10, RATE), tuple("wxyz"), np.zeros((4, 3)))


@pytest.mark.parametrize(
    ("passes", "level"),
    [((None, None), "refused"), ((0.5, 0.5), "good"), ((None, 0.5), "good"), ((0.02, 0.02), "doubtful")],
)
def test_drifts_on_both_sides_are_what_counts(rng, passes, level):
    design = make_design(rng, x_pass=passes[0], y_pass=passes[1])
    for family in ("circular-shift", "phase", "freedman-lane"):
        found = support(design, family)
        assert found.level == level
        assert found.ok == (level != "refused")
        assert (found.better == "pairing") == (level != "good" and family != "freedman-lane")
    assert measure_drift(design).level == level


def test_a_refusal_says_why_and_what_would_do(rng):
    found = support(make_design(rng), "circular-shift")
    assert not found.ok
    assert "takes a trial or longer" in found.reasons[0]
    assert found.better == "pairing"
    assert support(make_design(rng), "pairing").level == "good"
    few = support(make_design(rng, n_trials=3), "circular-shift")
    assert few.better == ""


def test_sparse_features_are_sampled_and_measured_like_dense_ones(rng):
    design = make_design(rng, x_pass=0.5, y_pass=0.5)
    trials = [replace(t, x=replace(t.x, values=sparse.csr_array(t.x.values))) for t in design.trials]
    assert measure_drift(replace(design, trials=tuple(trials))) == measure_drift(design)
    assert measure_drift(design, most_features=2).features >= 0


def test_unusable_frames_and_units_do_not_matter(rng):
    design = make_design(rng, y_pass=0.5)
    wild = [replace(t, y=np.where(np.arange(2000)[:, None] < 50, 1e6, t.y * 1e-5 + 7)) for t in design.trials]
    masked = [replace(t, mask=np.arange(2000) >= 50) for t in wild]
    found = measure_drift(replace(design, trials=tuple(masked)))
    assert abs(found.common - measure_drift(design).common) < 0.05


def test_a_dead_feature_shares_nothing(rng):
    design = make_design(rng)
    trials = [replace(t, x=replace(t.x, values=np.zeros((2000, 4), dtype=np.float32))) for t in design.trials]
    assert measure_drift(replace(design, trials=tuple(trials))).common == 0


def test_the_default_is_pairing_where_there_are_eight_stories_of_a_length(rng):
    eight, seven = make_design(rng, n=300), make_design(rng, n=300, n_trials=7)
    assert default_family([eight])[0] == "pairing"
    assert "because 8 are there, 8 are enough" in default_family([eight])[1]
    key, reason = default_family([eight, seven])
    assert key == "circular-shift"
    assert "7 stories are too few" in reason
    ragged = replace(eight, trials=(*eight.trials, *make_design(rng, n=100, n_trials=1, names=["t"]).trials))
    assert "of the frames" in default_family([ragged])[1]
    assert default_family([ragged])[0] == "circular-shift"
    with pytest.raises(ValueProblem, match="at least one listener"):
        default_family([])


def test_memory_is_that_of_the_process(rng):
    """An autoregression of 0.9 is below 0.1 after 22 frames, a little sooner on average over a window."""
    design = make_design(rng, slope=0)
    slow = [replace(t, y=signal.lfilter([1], [1, -0.9], t.y, axis=0)) for t in design.trials]
    assert 14 <= pooled_memory(replace(design, trials=tuple(slow))) <= 24
    assert pooled_memory(design) == 1
