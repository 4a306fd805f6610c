"""The further cleaning steps do what they say: against MNE itself, and against what was planted."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import mne
import numpy as np
import pytest

from brainalign.align.build import align
from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.eeg.clean import (
    PRESETS,
    BadSegments,
    BandPass,
    Detrend,
    Interpolate,
    Laplacian,
    LineNoise,
    MarkBad,
    OcularIca,
    OcularProjection,
    OcularRegression,
    Ransac,
    Reference,
    RestReference,
    SpectralLine,
    clean,
    preset,
)
from brainalign.eeg.ransac import spline_weights
from brainalign.eeg.simulate import NoiseLevels, planted_bad_channels, simulate_listener

RATE = 128


def listener(*, seed: int = 0, seconds: int = 60, **levels: object) -> mne.io.RawArray:
    return simulate_listener([], {"a": 3}, seconds=seconds, seed=seed, subject="01", noise=NoiseLevels(**levels))


def relative(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


class TestAgainstMne:
    """The same steps written directly in MNE give the same numbers."""

    def test_the_default(self):
        raw = listener(bad_channels=1)
        bad = planted_bad_channels(NoiseLevels(bad_channels=1), subject="01", seed=0)
        ours = clean(Recording.from_mne(raw), "trf-default")
        direct = raw.copy().notch_filter(
            [50], picks=["eeg", "eog"], notch_widths=1, trans_bandwidth=0.5, verbose="error"
        )
        direct.info["bads"] = list(bad)
        both = [i for i, kind in enumerate(raw.get_channel_types()) if kind in ("eeg", "eog")]
        direct.filter(1, 15, picks=both, l_trans_bandwidth=1, h_trans_bandwidth=3.75, verbose="error")
        direct.interpolate_bads(verbose="error").set_eeg_reference("average", verbose="error")
        mne.preprocessing.EOGRegression(picks="eeg", picks_artifact="eog").fit(direct).apply(direct, copy=False)
        assert relative(ours.values.T, direct.get_data(picks="eeg")) < 1e-6

    @pytest.mark.parametrize("name", ["minimal", "audiosae"])
    def test_other_presets(self, name):
        raw = listener(seconds=30)
        ours = clean(Recording.from_mne(raw), name)
        assert ours.bads == ()
        direct = raw.copy().pick("eeg")
        edges = {"minimal": (0.5, None, 0.5, "auto"), "audiosae": (1, 8, 1, 2)}[name]
        direct.filter(*edges[:2], l_trans_bandwidth=edges[2], h_trans_bandwidth=edges[3], verbose="error")
        values = direct.set_eeg_reference("average", verbose="error").get_data()
        if name == "audiosae":
            low, middle, high = np.percentile(values, [25, 50, 75], axis=1, keepdims=True)
            values = (values - middle) / (high - low)
        assert relative(ours.values.T, values) < 1e-6

    def test_spectral_lines(self):
        raw = listener(seconds=30)
        direct = raw.copy().notch_filter(
            [50], ["eeg", "eog"], method="spectrum_fit", filter_length="10s", p_value=0.05, verbose="error"
        )
        assert relative(SpectralLine()(raw).get_data(), direct.get_data()) < 1e-6

    def test_broderick(self):
        raw = listener(seconds=30)
        ours = clean(Recording.from_mne(raw), "broderick2018")
        direct = raw.copy().pick("eeg").filter(1, 8, l_trans_bandwidth=1, h_trans_bandwidth=2, verbose="error")
        direct.set_eeg_reference(["P9", "P10"], verbose="error").resample(128, verbose="error")
        assert relative(ours.values.T, direct.get_data()) < 1e-6

    def test_current_source_density_is_mnes_and_reaches_the_trials(self):
        raw = listener(seconds=30)
        ours = clean(Recording.from_mne(raw), [BandPass(), Laplacian()])
        direct = raw.copy().filter(
            1, 15, picks="eeg", l_trans_bandwidth=1, h_trans_bandwidth=3.75, verbose="error"
        )  # fmt: skip
        direct = mne.preprocessing.compute_current_source_density(direct, verbose="error")
        assert relative(ours.values.T, direct.get_data(picks="csd")) < 1e-6
        assert set(ours.kinds) == {"csd"}
        design = align(Trajectory(np.ones((500, 1), np.float32), TimeAxis(50, 500), ("x",)), ours, onset=2)
        assert len(design.channels) == 64

    def test_splines(self):
        raw = BandPass()(listener(seconds=10))
        raw.info["bads"] = ["CP3", "Fz"]
        places = np.array([channel["loc"][:3] for channel in raw.info["chs"][:64]])
        good = np.array([name not in raw.info["bads"] for name in raw.ch_names[:64]])
        values = raw.get_data(picks="eeg")
        ours = spline_weights(places[good], places[~good]) @ values[good]
        direct = Interpolate()(raw).get_data(picks=["Fz", "CP3"])
        order = [name for name in raw.ch_names if name in ("Fz", "CP3")]
        np.testing.assert_allclose(
            ours, direct[[("Fz", "CP3").index(name) for name in order]], atol=0.02 * direct.std()
        )


class TestReferences:
    def test_infinity_is_nearer_to_the_truth_than_the_average(self):
        truth = BandPass()(listener(blink_microvolts=0, line_microvolts=0, sensor_microvolts=0.1))
        recorded = truth.copy().set_eeg_reference(["Cz"], verbose="error")
        at_infinity = truth.get_data(picks="eeg")
        errors = [np.std(step(recorded).get_data(picks="eeg") - at_infinity) for step in (RestReference(), Reference())]
        assert errors[0] < errors[1]
        assert errors[0] < 0.7 * np.std(recorded.get_data(picks="eeg") - at_infinity)

    def test_mastoids_are_the_pair_that_there_is(self):
        raw = listener(seconds=20)
        np.testing.assert_array_equal(Reference("mastoids")(raw).get_data(), Reference(("P9", "P10"))(raw).get_data())
        with pytest.raises(UnknownName, match="no pair of mastoid"):
            Reference("mastoids")(raw.copy().pick(["Fz", "Cz"]))

    def test_a_vertex_called_a1_is_no_earlobe(self):
        raw = listener(seconds=5).pick(["Fz", "Cz", "Pz", "Oz"])
        with pytest.raises(UnknownName, match="no pair of mastoid"):
            Reference("mastoids")(raw.copy().rename_channels({"Fz": "A1", "Cz": "A2", "Pz": "A3"}))
        ears = raw.copy().rename_channels({"Fz": "A1", "Cz": "A2"})
        assert np.abs(Reference("mastoids")(ears).get_data(["A1", "A2"]).sum(axis=0)).max() < 1e-15

    @pytest.mark.parametrize("step", [RestReference(), Laplacian()])
    def test_bad_channels_must_be_gone(self, step):
        raw = listener(seconds=20)
        raw.info["bads"] = ["Oz"]
        with pytest.raises(ValueProblem, match="interpolate them first"):
            step(raw)


class TestEyes:
    @pytest.mark.parametrize("step", [OcularIca(), OcularIca(eyes=("Fp1", "Fp2"))])
    def test_blinks_go_and_the_rest_stays(self, step):
        band = BandPass(low=1.0, high=15.0)
        with_blinks, without = band(listener(seed=2)), band(listener(seed=2, blink_microvolts=0))
        left = step(with_blinks).get_data(picks="eeg") - without.get_data(picks="eeg")
        were = with_blinks.get_data(picks="eeg") - without.get_data(picks="eeg")
        front = [with_blinks.ch_names.index(name) for name in ("Fp1", "Fp2", "Fpz")]
        back = [with_blinks.ch_names.index(name) for name in ("Pz", "Oz", "CP3")]
        assert np.var(left[front]) < 0.15 * np.var(were[front])
        assert np.var(left[back]) < 0.1 * np.var(without.get_data()[back])

    def test_projected_out_blinks_no_longer_follow_the_eyes(self):
        raw = BandPass()(listener(seed=2))
        eyes, front = raw.get_data(picks="eog")[0], [raw.ch_names.index(name) for name in ("Fp1", "Fp2", "Fpz")]
        after = OcularProjection()(raw).get_data()
        before = [abs(np.corrcoef(raw.get_data()[row], eyes)[0, 1]) for row in front]
        assert min(before) > 0.6
        assert max(abs(np.corrcoef(after[row], eyes)[0, 1]) for row in front) < 0.3
        back = raw.ch_names.index("Oz")
        assert np.corrcoef(after[back], raw.get_data()[back])[0, 1] > 0.99
        assert np.linalg.matrix_rank(after[:64]) == np.linalg.matrix_rank(raw.get_data()[:64]) - 1

    def test_what_was_removed_is_written_down(self):
        recording = Recording.from_mne(listener(seed=2))
        steps = clean(recording, [BandPass(), OcularIca()]).provenance.steps
        assert len(steps[-1].parameters["removed"]) == 1
        assert steps[-1].parameters["correlations"][0] > 0.8
        assert steps[-1].parameters["converged"] in (True, False)
        assert "removed" not in steps[-2].parameters

    def test_without_eyes(self):
        raw = listener(seconds=20).pick("eeg")
        with pytest.raises(ValueProblem, match="nothing shows the eyes"):
            OcularIca()(raw)
        with pytest.raises(ValueProblem, match="no channel VEOG"):
            OcularProjection(eyes=("VEOG",))(raw)
        with pytest.raises(ValueProblem, match="too few blinks"):
            OcularProjection()(listener(seconds=20, blinks_per_minute=0.0))


class TestBadChannels:
    @pytest.mark.parametrize("seed", range(3))
    def test_ransac_finds_the_planted_ones_and_no_other(self, seed):
        noise = NoiseLevels(bad_channels=3)
        raw = LineNoise()(listener(seed=seed, bad_channels=3))
        assert tuple(Ransac()(raw).info["bads"]) == planted_bad_channels(noise, subject="01", seed=seed)
        assert Ransac()(LineNoise()(listener(seed=seed))).info["bads"] == []

    def test_given_ones(self):
        raw = listener(seconds=5)
        raw.info["bads"] = ["Oz"]
        assert MarkBad(["Cz"])(raw).info["bads"] == sorted(["Oz", "Cz"], key=raw.ch_names.index)
        with pytest.raises(UnknownName, match="not in the recording"):
            MarkBad(("nowhere",))(raw)


class TestBadSegments:
    def _spoilt(self) -> mne.io.RawArray:
        raw = BandPass()(listener(line_microvolts=0))
        raw._data[:, 20 * RATE : 22 * RATE] *= 40
        return raw

    def test_a_movement_is_marked_and_nothing_is_changed(self):
        raw = self._spoilt()
        marked = BadSegments()(raw)
        np.testing.assert_array_equal(marked.get_data(), raw.get_data())
        spans = Recording.from_mne(marked).bad_spans
        assert len(spans) == 1
        assert [float(time) for time in spans[0]] == pytest.approx([19.9, 22.1], abs=0.02)
        assert Recording.from_mne(BadSegments()(BandPass()(listener(blink_microvolts=150.0)))).bad_spans == ()

    def test_it_reaches_the_trials_and_time_stays_exact(self):
        recording = replace(Recording.from_mne(self._spoilt()), onsets={"a": (Fraction(10, 3),)})
        moved = replace(recording, axis=recording.axis.moved(7), onsets={"a": (Fraction(10, 3) + 7,)})
        cleaned = clean(moved, [BadSegments(), Reference(), OcularRegression()])
        note = cleaned.provenance.steps[-3].parameters
        assert note["n_bad_segments"] == 1
        assert note["kept_share"] == pytest.approx(1 - 2.2 / 60, abs=0.002)
        features = Trajectory(np.ones((2500, 1), np.float32), TimeAxis(50, 2500, "0.0125"), ("x",))
        trial = align({"a": features}, cleaned).trials[0]
        times = features.axis.times + 10 / 3
        np.testing.assert_array_equal(trial.mask, (times < 19.899) | (times > 22.1))
        assert trial.axis == features.axis

    def test_spans_travel(self, tmp_path):
        spans = ((Fraction(1, 3), Fraction(1, 2)), (Fraction(2), Fraction(9, 4)))
        before = replace(Recording.from_mne(listener(seconds=10)), bad_spans=spans)
        assert Recording.unpack(before.pack()).bad_spans == spans
        back = Recording.from_mne(before.to_mne()).bad_spans
        np.testing.assert_allclose(np.array(back, dtype=float), np.array(spans, dtype=float), atol=2e-6)
        assert set(before.to_mne().annotations.description) == {"a", "BAD_span"}

    def test_a_limit_in_microvolts(self):
        raw = BandPass()(listener(blink_microvolts=0, line_microvolts=0))
        raw._data[3, 30 * RATE] += 1e-3
        spans = Recording.from_mne(BadSegments(peak_microvolts=500)(raw)).bad_spans
        assert [float(time) for time in spans[0]] == pytest.approx([29.9, 31.1], abs=0.02)
        with pytest.raises(ValueProblem, match="at least four windows"):
            BadSegments(window=20)(raw)


class TestTheRest:
    def test_a_trend_goes_and_bad_stretches_do_not_bend_it(self):
        raw = listener(seconds=20)
        slope = 1e-3 * np.linspace(-1, 1, raw.n_times)
        bent = raw.copy()
        bent._data += slope
        bent._data[:, 500:700] += 1.0
        bent.set_annotations(mne.Annotations([500 / RATE], [199 / RATE], ["BAD_jump"]))
        straight = Detrend()(bent).get_data()
        expected = Detrend()(raw).get_data()
        assert np.abs(straight - expected)[:, :500].max() < 5e-6
        np.testing.assert_allclose(Detrend(0)(raw).get_data().mean(axis=1), 0, atol=1e-18)
        with pytest.raises(ValueProblem, match="order of 0 or more"):
            Detrend(-1)(raw)

    def test_presets(self):
        assert set(PRESETS) == {"trf-default", "audiosae", "broderick2018", "minimal"}
        with pytest.raises(UnknownName, match="cleaning preset"):
            preset("trf")

    def test_lines_go_and_neighbours_stay(self):
        raw = listener(line_microvolts=20.0)
        after = SpectralLine()(raw)
        power = [np.abs(np.fft.rfft(item.get_data(picks="eeg"), axis=1)) ** 2 for item in (raw, after)]
        hertz = np.fft.rfftfreq(raw.n_times, 1 / RATE)
        assert power[1][:, hertz == 50].sum() < 1e-3 * power[0][:, hertz == 50].sum()
        others = np.abs(hertz - 50) > 1
        np.testing.assert_allclose(power[1][:, others].sum(), power[0][:, others].sum(), rtol=1e-3)
        with pytest.raises(ValueProblem, match="a spectral line must lie"):
            SpectralLine((80,))(raw)
