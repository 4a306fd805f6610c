"""The level asked for is the level got, and a sound's draw depends on nothing but itself."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from brainalign.audio.augment import Augmentation, augment, mix
from brainalign.core.errors import GridMismatch, ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis


def sound(rng, name="speech", *, n=4000, level=0.1, rate=16000):
    return Stimulus(name, level * rng.standard_normal(n).clip(-3, 3), TimeAxis(rate, n))


def decibels(x, y):
    return 10 * np.log10(np.mean(np.square(x, dtype=float)) / np.mean(np.square(y, dtype=float)))


@pytest.mark.parametrize("snr", [-5.0, 0.0, 13.7])
@pytest.mark.parametrize("n", [1500, 9000])
def test_the_ratio_is_the_one_asked_for(rng, snr, n):
    speech, noise = sound(rng, level=0.05), sound(rng, "rain", n=n, level=0.2)
    mixed = mix(speech, noise, snr_db=snr, start=1234)
    assert decibels(speech.waveform, mixed.waveform - speech.waveform) == pytest.approx(snr, abs=1e-3)
    assert mixed.axis == speech.axis
    assert mixed.name == speech.name


def test_a_short_noise_begins_again(rng):
    speech = replace(sound(rng), waveform=np.full(4000, 0.1))
    noise = sound(rng, "rain", n=1000, level=0.01)
    added = mix(speech, noise, snr_db=20, start=250).waveform - speech.waveform
    np.testing.assert_allclose(added[:750] / noise.waveform[250:], added[0] / noise.waveform[250], rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(added[:3000], added[1000:], atol=1e-7)


def test_what_would_clip_is_made_quieter_and_keeps_its_ratio(rng):
    speech, noise = sound(rng, level=0.33), sound(rng, "rain", level=0.33)
    mixed = mix(speech, noise, snr_db=0)
    assert np.abs(mixed.waveform).max() == pytest.approx(1)
    quieter = mixed.provenance.steps[-1].parameters["quieter"]
    assert quieter < 1
    assert decibels(speech.waveform, mixed.waveform / quieter - speech.waveform) == pytest.approx(0, abs=1e-3)


def test_the_sound_itself_is_left_as_it_was(rng):
    speech, noise = sound(rng), sound(rng, "rain")
    before = speech.waveform.copy()
    mix(speech, noise, snr_db=0)
    np.testing.assert_array_equal(speech.waveform, before)


@pytest.fixture
def augmentation(rng):
    return Augmentation(noise=[sound(rng, f"noise {i}") for i in range(5)], music=[sound(rng, "tune", n=700)])


def steps(stimulus):
    return [step.parameters for step in stimulus.provenance.steps]


def test_as_many_sounds_are_changed_as_the_chances_say_at_levels_spread_evenly(rng, augmentation):
    n = 3000
    speech = sound(rng, n=64)
    heard = [augment(replace(speech, name=f"s{i}"), augmentation, seed=3) for i in range(n)]
    tunes = {item.content for item in augmentation.music}
    by_kind = [
        [step for item in heard for step in steps(item) if (step["other"] in tunes) == music] for music in (0, 1)
    ]
    for found, chance in zip(by_kind, (0.05, 0.025), strict=True):
        assert stats.binomtest(len(found), n, chance).pvalue > 1e-3
        levels = [step["snr_db"] for step in found]
        assert stats.kstest(levels, stats.uniform(0, 20).cdf).pvalue > 1e-3
    assert len({step["other"] for step in by_kind[0]}) == 5
    untouched = [item for item in heard if not steps(item)]
    assert all(np.array_equal(item.waveform, speech.waveform) for item in untouched)


def test_a_draw_depends_on_seed_name_and_pass_only(rng, augmentation):
    always = replace(augmentation, p_noise=1.0, p_music=1.0)
    speech = sound(rng)
    one = augment(speech, always, seed=0)
    augment(replace(speech, name="another"), always, seed=0)
    np.testing.assert_array_equal(augment(speech, always, seed=0).waveform, one.waveform)
    assert len(steps(one)) == 2
    for other in (
        augment(speech, always, seed=1),
        augment(speech, always, seed=0, draw=1),
        augment(replace(speech, name="x"), always, seed=0),
    ):
        assert not np.array_equal(other.waveform, one.waveform)


def test_noise_is_drawn_alike_whether_there_is_music_or_not(rng, augmentation):
    always = replace(augmentation, p_noise=1.0)
    speech = sound(rng)
    assert steps(augment(speech, replace(always, music=()), seed=5))[0] == steps(augment(speech, always, seed=5))[0]


def test_refuses_what_cannot_be_mixed(rng):
    speech = sound(rng)
    with pytest.raises(GridMismatch, match="'rain': 8000 Hz"):
        mix(speech, sound(rng, "rain", rate=8000), snr_db=0)
    with pytest.raises(ValueProblem, match="'silence' is all zero"):
        mix(speech, sound(rng, "silence", level=0), snr_db=0)
    with pytest.raises(ValueProblem, match="'speech' is all zero"):
        mix(sound(rng, level=0), speech, snr_db=0)
    with pytest.raises(ValueProblem, match="p_music is a probability"):
        Augmentation(p_music=2)
    with pytest.raises(ValueProblem, match="lowest first"):
        Augmentation(snr=(20, 0))
