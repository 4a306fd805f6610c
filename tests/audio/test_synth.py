"""Synthesised speech must have what a brain and a model would find in speech: rhythm, pitch, spectrum, pauses."""

import numpy as np
import pytest
from scipy import signal

from brainalign.audio.acoustic import acoustic
from brainalign.audio.phones import CONTROL_RATE, speak
from brainalign.audio.synth import synthesise_speech
from brainalign.core.errors import ValueProblem
from brainalign.core.seeds import generator
from brainalign.core.time import TimeAxis

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def sounds():
    return [synthesise_speech(f"trial-{seed}", seconds=30, seed=seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def envelopes(sounds):
    axis = TimeAxis(100, 2990)
    return [acoustic(sound, ["envelope"], axis=axis).values[:, 0] for sound in sounds]


def test_the_rhythm_peaks_between_3_and_7_hz(envelopes):
    """The modulation spectrum per octave peaks at the syllables' rate, as speech does (Ding et al., 2017)."""
    spectra = [signal.welch(envelope - envelope.mean(), 100, nperseg=1024) for envelope in envelopes]
    hertz, power = spectra[0][0], np.mean([p for _, p in spectra], axis=0)
    centres = np.geomspace(0.5, 32, 25)
    per_octave = [np.mean((power * hertz)[(hertz > c / 1.2) & (hertz < c * 1.2)]) for c in centres]
    assert 3 <= centres[np.argmax(per_octave)] <= 7


def test_the_spectrum_falls_as_a_voice_does(sounds):
    """Long-term spectra of speech fall by 5 to 15 dB per octave from 500 Hz to 4 kHz, and by 20 dB or so in all."""
    hertz, power = signal.welch(np.concatenate([sound.waveform for sound in sounds]), 16_000, nperseg=512)
    octaves = [10 * np.log10(power[(hertz >= low) & (hertz < 2 * low)].mean()) for low in (250, 500, 1000, 2000, 4000)]
    assert 10 < octaves[1] - octaves[4] < 35
    assert np.argmax(octaves) < 2


def test_there_are_pauses_between_phrases(envelopes):
    for envelope in envelopes:
        silent = envelope < 0.2 * np.percentile(envelope, 90)
        edges = np.flatnonzero(np.diff(np.r_[0, silent, 0]))
        pauses = (edges[1::2] - edges[::2]) / 100
        assert np.sum(pauses > 0.2) >= 5
        assert pauses.max() < 1.2
        assert 0.05 < silent.mean() < 0.4


def _pitch_of(sound, seconds=0.05):
    """Return the pitch of the loudest frames from their autocorrelation."""
    n = int(seconds * 16_000)
    frames = sound.waveform[: sound.axis.n // n * n].reshape(-1, n).astype(float)
    loud = frames[np.argsort(frames.std(axis=1))[-100:]]
    spectra = np.abs(np.fft.rfft(loud, 4 * n)) ** 2
    correlation = np.fft.irfft(spectra)[:, : 16_000 // 60]
    # Divided by the overlap, or short lags would always win.
    correlation /= 1 - np.arange(correlation.shape[1]) / n
    shortest = 16_000 // 400
    return 16_000 / (shortest + correlation[:, shortest:].argmax(axis=1))


def test_the_pitch_is_a_speakers(sounds):
    pitches = [_pitch_of(sound) for sound in sounds]
    for pitch in pitches:
        assert 70 < np.median(pitch) < 330
        assert np.std(np.log2(pitch)) > 0.03
    assert len({round(float(np.median(pitch))) for pitch in pitches}) == len(SEEDS)


def test_pitch_falls_over_a_phrase():
    tracks = speak(60.0, generator(3, "plan"))
    spoken = np.flatnonzero(tracks.voice > 0.1)
    phrases = [p for p in np.split(spoken, np.flatnonzero(np.diff(spoken) > 0.19 * CONTROL_RATE) + 1) if p.size > 1000]
    drops = [np.log2(tracks.pitch[p[:300]].mean() / tracks.pitch[p[-300:]].mean()) for p in phrases]
    assert len(phrases) > 8
    assert np.mean(drops) > 0.2


def test_the_same_seed_gives_the_same_bytes_under_any_name():
    one, other = (synthesise_speech(name, seconds=3, seed=5) for name in ("a", "b"))
    assert one.waveform.tobytes() == other.waveform.tobytes()
    assert one.content == other.content


def test_other_seeds_say_other_things(sounds, envelopes):
    assert len({sound.content for sound in sounds}) == len(SEEDS)
    assert np.abs(np.corrcoef(envelopes)[np.triu_indices(len(SEEDS), 1)]).max() < 0.15


def test_a_sound_need_not_begin_with_a_phrase():
    """Sounds that all began in one state would share their first second, and a model could learn just that."""
    starts = [speak(1.0, generator(seed, "plan")).voice[0] for seed in range(40)]
    assert 5 < sum(start > 0.1 for start in starts) < 35


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_length_peak_and_rate(rate):
    sound = synthesise_speech("a", seconds="1.25", seed=1, rate=rate)
    assert sound.axis == TimeAxis(rate, rate * 5 // 4)
    assert np.abs(sound.waveform).max() == pytest.approx(10 ** (-3 / 20))


def test_no_sound_and_too_low_rates_are_refused():
    with pytest.raises(ValueProblem, match=r"a higher rate[\s\S]*4000 Hz"):
        synthesise_speech("a", seconds=1, seed=0, rate=4000)
    with pytest.raises(ValueProblem, match="at least one sample"):
        synthesise_speech("a", seconds=0, seed=0)
