"""The gammatone bank: who answers to which tone, how much, and exactly when."""

import numpy as np
import pytest
from scipy import signal

from brainalign.audio.bank import band_magnitudes
from brainalign.audio.fine import QUIETEST, compress, fine_axis, rises
from brainalign.audio.gammatone import (
    GammatoneBank,
    bank_for,
    delays,
    erb,
    erb_number,
    gammatone,
    hertz_of,
    in_bands,
)
from brainalign.audio.hilbert import HilbertBand
from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis

RATE = 16_000
RATES = [8_000, 16_000, 22_050, 44_100]


def _sound(waveform, rate=RATE):
    return Stimulus("test", np.asarray(waveform, dtype=np.float32), TimeAxis(rate, len(waveform)))


def _tone(hertz, rate=RATE, seconds=0.5, amplitude=0.1):
    return _sound(amplitude * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate), rate)


def test_the_erb_scale_is_glasberg_and_moores():
    """Their paper's own figures: 24.7 Hz + 10.8 % of the frequency; the number of ERBs grows by 1 per ERB."""
    np.testing.assert_allclose(erb(np.array([0.0, 1000.0, 4000.0])), [24.7, 132.639, 456.456])
    np.testing.assert_allclose(hertz_of(erb_number(np.geomspace(20, 20_000, 50))), np.geomspace(20, 20_000, 50))
    hertz = np.array([100.0, 1000.0, 5000.0])
    np.testing.assert_allclose(erb_number(hertz + erb(hertz) / 2) - erb_number(hertz - erb(hertz) / 2), 1, atol=0.01)


def test_a_filter_is_a_gammatone(rng):
    """The real part of the causal filter is ``t ** 3 * exp(-2 * pi * b * t) * cos(2 * pi * f * t)``."""
    bank = GammatoneBank(n_filters=8, delay="causal")
    filters = bank.filters(RATE)
    assert filters.first == 0
    seconds = np.arange(filters.taps.shape[1]) / RATE
    for centre, taps in zip(bank.centres(RATE), filters.taps, strict=True):
        expected = (
            seconds**3 * np.exp(-2 * np.pi * 1.019 * erb(centre) * seconds) * np.cos(2 * np.pi * centre * seconds)
        )
        assert abs(np.corrcoef(taps.real, expected)[0, 1]) > 1 - 1e-9


def test_its_bandwidth_is_one_erb():
    """The equivalent rectangular bandwidth of the response, measured: power over peak power."""
    bank = GammatoneBank(n_filters=8)
    response = np.abs(np.fft.fft(bank.filters(RATE).taps, 1 << 16)) ** 2
    measured = response.sum(axis=1) / response.max(axis=1) * RATE / (1 << 16)
    np.testing.assert_allclose(measured[:-1], erb(bank.centres(RATE))[:-1], rtol=0.01)


@pytest.mark.parametrize("rate", RATES)
def test_scipys_gammatone_agrees(rate):
    """SciPy's fourth-order FIR gammatone of the same centre has the same magnitude response near its centre."""
    bank = GammatoneBank(n_filters=6, high=3000.0)
    for centre, taps in zip(bank.centres(rate), bank.filters(rate).taps, strict=True):
        theirs, _ = signal.gammatone(centre, "fir", order=4, numtaps=rate // 8, fs=rate)
        hertz = centre + np.linspace(-1, 1, 21) * erb(centre)
        ours = np.abs(np.exp(-2j * np.pi * np.outer(hertz, np.arange(taps.size)) / rate) @ taps)
        other = np.abs(np.exp(-2j * np.pi * np.outer(hertz, np.arange(theirs.size)) / rate) @ theirs)
        np.testing.assert_allclose(ours / ours[10], other / other[10], rtol=0.02)


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_in_the_middle_of_a_filter_gives_its_amplitude(rate):
    bank = GammatoneBank(n_filters=16)
    for i in (0, 5, 10, 15):
        values, axis = bank(_tone(bank.centres(rate)[i], rate))
        settled = values[axis.n // 2 : -axis.n // 4]
        assert settled.mean(axis=0).argmax() == i
        np.testing.assert_allclose(settled[:, i], 0.1, rtol=0.01)


def test_power_is_mean_square():
    bank = GammatoneBank(n_filters=16, envelope="power")
    values, axis = bank(_tone(bank.centres(RATE)[8]))
    np.testing.assert_allclose(values[axis.n // 2 : -axis.n // 4, 8], 0.1**2 / 2, rtol=0.02)


@pytest.mark.parametrize("n_bands", [8, 16, 32])
def test_a_tone_excites_the_band_it_lies_in(n_bands):
    edges = GammatoneBank(n_filters=n_bands).edges(RATE)
    for band in range(0, n_bands, 3):
        hertz = hertz_of(erb_number(edges[band : band + 2]).mean())
        loudest = gammatone(_tone(hertz), n_bands=n_bands).values[60:160].mean(axis=0).argmax()
        assert loudest == band


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("at", [4_000, 4_003, 5_217])
def test_a_click_stands_at_its_own_sample_in_every_band(rate, at):
    """Without averaging, each filter's envelope peaks at the click's very sample."""
    waveform = np.zeros(8_000)
    waveform[at] = 1.0
    filters = GammatoneBank().filters(rate)
    for taps in filters.taps:
        envelope = np.abs(signal.fftconvolve(waveform, taps))
        assert envelope.argmax() + filters.first == at


@pytest.mark.parametrize("at", [8_000, 8_013, 8_039])
def test_and_at_its_own_hop_once_averaged(at):
    waveform = np.zeros(RATE)
    waveform[at] = 1.0
    values, axis = GammatoneBank()(_sound(waveform))
    # An envelope falls more slowly than it rises, so averaging moves its peak, by half a millisecond at most.
    assert np.abs(axis.times[values.argmax(axis=0)] - at / RATE).max() <= float(axis.step) / 2 + 0.5e-3


def test_uncompensated_envelopes_are_late_by_what_is_documented():
    waveform = np.zeros(RATE)
    waveform[8_000] = 1.0
    bank = GammatoneBank(n_filters=8, delay="causal", rate=4_000)
    values, axis = bank(_sound(waveform))
    late = axis.times[values.argmax(axis=0)] - 0.5
    np.testing.assert_allclose(late, delays(bank.centres(RATE)), atol=1e-3)
    assert delays(np.array([96.0])) == pytest.approx(0.0134, abs=1e-4)
    assert not values[axis.times < 0.494].any() or values[axis.times < 0.494].max() < 1e-6


def test_a_causal_bank_knows_nothing_of_what_comes(rng):
    """Two sounds that part at 0.5 s give the same values until 5 ms before: half the averaging window."""
    one, other = rng.standard_normal((2, RATE)) * 0.1
    other[: RATE // 2] = one[: RATE // 2]
    (a, axis), (b, _) = (GammatoneBank(delay="causal")(_sound(x)) for x in (one, other))
    before = axis.times < 0.495
    np.testing.assert_allclose(a[before], b[before], atol=1e-6)
    assert np.abs(a - b)[axis.times > 0.51].max() > 1e-3


def test_blocks_leave_no_trace(rng):
    """Values do not depend on where the sound was cut into blocks: a sound moved by whole hops gives the same."""
    noise = rng.standard_normal(6 * RATE) * 0.1
    values, axis = GammatoneBank(n_filters=8)(_sound(noise))
    moved, _ = GammatoneBank(n_filters=8)(_sound(np.concatenate([np.zeros(40 * 331), noise])))
    np.testing.assert_allclose(moved[331 : 331 + axis.n], values, atol=2e-6)


@pytest.mark.parametrize("filters", [GammatoneBank(n_filters=5), HilbertBand()])
def test_magnitudes_agree_with_a_plain_convolution(filters, rng):
    noise = rng.standard_normal(3_000) * 0.1
    chosen = filters.filters(RATE)
    values, axis = band_magnitudes(_sound(noise), chosen, rate=400)
    window = np.blackman(163)[1:-1]
    window /= window.sum()
    for i, taps in enumerate(chosen.taps):
        full = np.pad(np.abs(np.convolve(noise, taps)), 4_000)
        averages = np.convolve(full, window, mode="same")[4_000 - chosen.first :][: 40 * axis.n : 40]
        np.testing.assert_allclose(values[:, i], averages, atol=2e-6)


def test_ten_times_the_amplitude(rng):
    noise = rng.standard_normal(RATE) * 0.05
    quiet, loud = (gammatone(_sound(gain * noise)).values for gain in (1, 10))
    np.testing.assert_allclose(loud, 10**0.6 * quiet, rtol=1e-4)
    quiet, loud = (gammatone(_sound(gain * noise), envelope="power").values for gain in (1, 10))
    np.testing.assert_allclose(loud, 10**0.6 * quiet, rtol=1e-4)
    quiet, loud = (gammatone(_sound(gain * noise), compression="linear").values for gain in (1, 10))
    np.testing.assert_allclose(loud, 10 * quiet, rtol=1e-4)
    quiet, loud = (gammatone(_sound(gain * noise), compression="log", n_bands=32).values for gain in (1, 10))
    assert np.median(loud - quiet) == pytest.approx(np.log(10), abs=0.02)


def test_compressions():
    amplitude = np.array([0.0, QUIETEST, 1.0])
    np.testing.assert_allclose(compress(amplitude, "power"), [0, 2.0**-9, 1])
    np.testing.assert_allclose(compress(amplitude, "log"), [0, np.log(2), np.log1p(2.0**15)])
    np.testing.assert_allclose(compress(amplitude**2, "power", power=True), [0, 2.0**-9, 1])
    np.testing.assert_allclose(compress(amplitude**2, "log", power=True), [0, np.log(2), np.log1p(2.0**30)])
    np.testing.assert_array_equal(compress(amplitude, "linear"), amplitude)
    with pytest.raises(UnknownName, match="did you mean 'linear'"):
        compress(amplitude, "liner")


def test_rises_are_half_of_the_derivative():
    axis = TimeAxis(100, 101)
    up_and_down = np.concatenate([np.arange(51), np.arange(49, -1, -1)])[:, None] / 100
    np.testing.assert_allclose(rises(up_and_down, axis)[1:50], 1.0)
    np.testing.assert_array_equal(rises(up_and_down, axis)[50:], 0)


def test_silence_and_one_sample():
    assert not gammatone(_sound(np.zeros(RATE))).values.any()
    assert gammatone(_sound(np.array([0.5]))).values.shape == (1, 8)
    assert np.isfinite(gammatone(_sound(np.array([0.5]))).values).all()


def test_bands_are_means_of_32_filters_or_more():
    assert [bank_for(n).n_filters for n in (1, 5, 8, 24, 32, 64)] == [32, 35, 32, 48, 32, 64]
    np.testing.assert_array_equal(in_bands(np.arange(8.0)[None], 2), [[1.5, 5.5]])


def test_names_and_clock(rng):
    sound = _sound(rng.standard_normal(RATE) * 0.1)
    bands = gammatone(sound, n_bands=4)
    assert bands.features == tuple(f"gammatone-4-{i}" for i in (1, 2, 3, 4))
    assert bands.axis == fine_axis(sound)
    assert bands.provenance.steps[-1].name == "gammatone"


def test_the_hilbert_envelope_of_a_modulated_tone_is_its_modulation():
    seconds = np.arange(RATE) / RATE
    modulation = 1 + 0.5 * np.sin(2 * np.pi * 8 * seconds)
    values, axis = HilbertBand()(_sound(0.2 * modulation * np.sin(2 * np.pi * 1000 * seconds) + 0.3))
    inside = slice(20, -20)
    expected = 0.2 * (1 + 0.5 * np.sin(2 * np.pi * 8 * axis.times))
    np.testing.assert_allclose(values[inside, 0], expected[inside], rtol=0.01)


def test_what_cannot_be_done_is_refused():
    sound = _sound(np.zeros(100))
    with pytest.raises(ValueProblem, match=r"1 to 128"):
        gammatone(sound, n_bands=0)
    with pytest.raises(ValueProblem, match=r"a limited number[\s\S]*got: 129 bands"):
        gammatone(sound, n_bands=129)
    with pytest.raises(ValueProblem, match=r"no room for frequency bands[\s\S]*5000 to 4000 Hz"):
        gammatone(sound, low=5000, high=4000)
    with pytest.raises(ValueProblem, match=r"no room[\s\S]*in a sound of 100 Hz[\s\S]*a higher rate"):
        gammatone(_sound(np.zeros(100), rate=100))
    with pytest.raises(UnknownName, match="did you mean 'hilbert'"):
        gammatone(sound, envelope="hilber")
    with pytest.raises(UnknownName, match=r"treatment of delays[\s\S]*causal, compensated"):
        gammatone(sound, delay="none")
    with pytest.raises(UnknownName, match=r"compression[\s\S]*linear, log, power"):
        gammatone(sound, compression="sqrt")
    with pytest.raises(ValueProblem, match="needs a filter"):
        GammatoneBank(n_filters=0)
