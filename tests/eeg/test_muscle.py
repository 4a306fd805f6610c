"""Muscles: the planted ones go or are masked, exactly as MNE itself would do it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import mne
import numpy as np
import pytest

from brainalign.align.build import align
from brainalign.core.errors import ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.eeg.clean import STEPS, BandPass, MuscleIca, MuscleSegments, Reference, clean
from brainalign.eeg.components import learn_components
from brainalign.eeg.simulate import NoiseLevels, simulate_listener

RATE, SECONDS = 320, 40
SENSITIVE = MuscleSegments(threshold=2.5, shortest_good=0.5)
BURSTS = ((8.0, 9.5), (22.25, 23.0), (31.0, 33.0))
JAW = ("T7", "FT7")


def listener(*, rate: int = RATE) -> mne.io.RawArray:
    noise = NoiseLevels(blink_microvolts=0, line_microvolts=0)
    return simulate_listener([], {"a": 3}, seconds=SECONDS, seed=4, subject="01", rate=rate, noise=noise)


def bursts() -> np.ndarray:
    """White noise above 20 Hz within the bursts, unit rms in them, shape ``(n_samples,)``."""
    rng = np.random.default_rng(0)
    hiss = mne.filter.filter_data(rng.standard_normal(RATE * SECONDS), RATE, 20, None, verbose="error")
    times = np.arange(hiss.size) / RATE
    on = np.any([(times >= start) & (times < stop) for start, stop in BURSTS], axis=0)
    return hiss * on


def with_jaw(microvolts: float = 40.0) -> mne.io.RawArray:
    raw = listener()
    for name, share in zip(JAW, (1.0, 0.25), strict=True):
        raw._data[raw.ch_names.index(name)] += share * microvolts * 1e-6 * bursts()
    return raw


def with_clenching(microvolts: float = 40.0) -> mne.io.RawArray:
    """Both temples and the forehead at once, each with a hiss of its own."""
    raw, rng = listener(), np.random.default_rng(1)
    for name in ("T7", "T8", "FT7", "FT8", "TP7", "TP8", "F7", "F8", "AF7", "AF8", "C5", "C6"):
        hiss = rng.standard_normal(raw.n_times) * (bursts() != 0)
        raw._data[raw.ch_names.index(name)] += microvolts * 1e-6 * hiss
    return raw


class TestComponents:
    def test_the_jaw_goes_and_the_rest_stays(self):
        clean_raw, spoilt = listener(), with_jaw()
        after = MuscleIca()(spoilt)
        rows = [spoilt.ch_names.index(name) for name in JAW]
        inside = bursts() != 0
        were = (spoilt.get_data() - clean_raw.get_data())[rows][:, inside]
        left = (after.get_data() - clean_raw.get_data())[rows][:, inside]
        assert np.var(left[0]) < 0.1 * np.var(were[0])
        back = [spoilt.ch_names.index(name) for name in ("Pz", "Oz", "CP4", "Fz")]
        changed = (after.get_data() - clean_raw.get_data())[back]
        assert np.var(changed) < 0.05 * np.var(clean_raw.get_data()[back])

    def test_it_is_mnes(self):
        raw = with_jaw()
        raw.info["bads"] = ["PO8"]
        step = MuscleIca(n_components=12)
        names = [name for name in raw.ch_names if name not in ("PO8", "VEOG")]
        copy = raw.copy().filter(1.0, None, picks=names, verbose="error")
        ica = learn_components(copy, names, n_components=12, seed=0)
        found, scores = ica.find_bads_muscle(copy, verbose="error")
        assert 0 < len(found) <= step.most
        direct = ica.apply(raw.copy(), exclude=found, verbose="error").get_data()
        ours = step(raw).get_data()
        assert np.abs(ours - direct).max() <= 1e-6 * np.abs(direct).max()
        np.testing.assert_array_equal(ours[raw.ch_names.index("PO8")], raw.get_data(picks="PO8")[0])
        noted = clean(Recording.from_mne(raw), [step]).provenance.steps[-1].parameters
        assert sorted(noted["removed"]) == sorted(found)
        assert noted["scores"] == sorted((round(float(scores[i]), 4) for i in found), reverse=True)

    def test_at_most_so_many(self):
        raw = with_jaw()
        fewer = clean(Recording.from_mne(raw), [MuscleIca(n_components=12, most=1)]).provenance.steps[-1].parameters
        assert len(fewer["removed"]) == 1
        none = MuscleIca(n_components=12, threshold=1.0)(raw)
        assert np.abs(none.get_data() - raw.get_data()).max() < 1e-9

    def test_without_positions(self):
        raw = listener()
        raw.info["chs"][3]["loc"][:3] = np.nan
        with pytest.raises(ValueProblem, match=r"needs sensor positions[\s\S]*1 channels without one"):
            MuscleIca()(raw)


class TestSegments:
    def test_bursts_are_marked_and_not_a_sample_is_changed(self):
        raw = with_clenching()
        marked = SENSITIVE(raw)
        np.testing.assert_array_equal(marked.get_data(), raw.get_data())
        spans = [[float(time) for time in span] for span in Recording.from_mne(marked).bad_spans]
        assert len(spans) == len(BURSTS)
        np.testing.assert_allclose(spans, BURSTS, atol=0.2)
        # Without muscles, what channels share by themselves passes the threshold for a moment at most.
        quiet = Recording.from_mne(MuscleSegments()(listener())).bad_spans
        assert sum(float(stop - start) for start, stop in quiet) < 0.005 * SECONDS

    def test_they_are_mnes(self):
        raw = with_clenching()
        raw.info["bads"] = ["PO8"]
        direct, _ = mne.preprocessing.annotate_muscle_zscore(
            raw.copy().pick([name for name in raw.ch_names if name not in ("PO8", "VEOG")]),
            threshold=3.0,
            ch_type="eeg",
            filter_freq=(60, 120),
            verbose="error",
        )
        ours = MuscleSegments(threshold=3.0, band=(60, 120))(raw).annotations
        ours = ours[[name == "BAD_muscle" for name in ours.description]]
        assert len(ours) == len(direct) > 0
        np.testing.assert_allclose(ours.onset, direct.onset, rtol=1e-6)
        np.testing.assert_allclose(ours.duration, direct.duration, rtol=1e-6)

    def test_they_reach_the_trials_and_time_stays_exact(self):
        recording = replace(Recording.from_mne(with_clenching()), onsets={"a": (Fraction(10, 3),)})
        cleaned = clean(recording, [SENSITIVE, BandPass(), Reference()])
        assert cleaned.axis == recording.axis
        noted = cleaned.provenance.steps[-3].parameters
        assert noted["n_muscle_segments"] == len(BURSTS)
        features = Trajectory(np.ones((1800, 1), np.float32), TimeAxis(50, 1800, "0.0125"), ("x",))
        trial = align({"a": features}, cleaned).trials[0]
        times = features.axis.times + 10 / 3
        for start, stop in BURSTS:
            assert not trial.mask[(times > start + 0.1) & (times < stop - 0.1)].any()
            assert trial.mask[(times > stop + 0.3) & (times < stop + 1.0)].all()


def test_where_the_high_frequencies_are_gone():
    slow = listener(rate=128)
    with pytest.raises(ValueProblem, match=r"MuscleSegments looks for muscles[\s\S]*110 to 140 Hz; 128 samples"):
        MuscleSegments()(slow)
    with pytest.raises(ValueProblem, match=r"MuscleIca looks for muscles[\s\S]*before the band-pass"):
        MuscleIca()(BandPass(1.0, 15.0)(slow))
    with pytest.raises(ValueProblem, match="two rising frequencies"):
        MuscleSegments(band=(140, 110))


def test_they_can_be_chosen_by_name():
    assert STEPS["muscle_ica"](most=2) == MuscleIca(most=2)
    assert STEPS["muscle_segments"](band=[60, 100]) == MuscleSegments(band=(60.0, 100.0))
