"""Each waveform is run once, whatever it is called."""

import weakref

import numpy as np
import pytest

from brainalign.core.provenance import Provenance
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.encoders.many import encode_many


def _again(stimulus, name, **changes):
    return Stimulus(name, stimulus.waveform.copy(), **({"axis": stimulus.axis} | changes))


@pytest.fixture
def passes(encoder):
    """What the first block was given, pass by pass."""
    seen = []
    handle = encoder.blocks[0].register_forward_hook(lambda *_: seen.append(1))
    yield seen
    handle.remove()


def test_a_sound_played_often_runs_once_and_all_come_in_order(encoder, sound, passes):
    one, other = sound(0.5, seed=1), sound(0.7, seed=2)
    stimuli = [one, other, _again(one, "again"), other, _again(one, "and again")]
    found = list(encode_many(encoder, stimuli, layers=[2, 1]))
    assert len(passes) == 2
    for stimulus, states in zip(stimuli, found, strict=True):
        expected = encoder.encode(stimulus, [2, 1])
        assert list(states) == [2, 1]
        for layer in (1, 2):
            np.testing.assert_array_equal(states[layer].values, expected[layer].values)
            assert states[layer].axis == expected[layer].axis
            assert states[layer].provenance == expected[layer].provenance
    assert np.shares_memory(found[0][1].values, found[4][1].values)


def test_the_same_samples_on_another_clock_or_with_another_history_are_told_apart(encoder, sound, passes):
    one = sound(0.4)
    late = _again(one, "late", axis=TimeAxis(16_000, one.axis.n, "1/2"))
    cleaned = _again(one, "cleaned", provenance=Provenance().then("clean", by="hand"))
    first, second, third = (item[1] for item in encode_many(encoder, [one, late, cleaned], layers=[1]))
    assert len(passes) == 2
    assert second.axis == first.axis.moved("1/2")
    assert [step.name for step in third.provenance.steps] == ["clean", "encode"]
    assert [step.name for step in first.provenance.steps] == ["encode"]


def test_other_sites_are_heard_too(encoder, sound):
    (units,) = encode_many(encoder, [sound(0.4)], layers=[3], site="mlp")
    assert units[3].features[0] == "layer3-mlp-0"


def test_what_is_not_asked_for_again_is_let_go(encoder, sound):
    one, other = sound(0.4, seed=1), sound(0.4, seed=2)
    states = encode_many(encoder, [one, other, one], layers=[1])
    first, second = next(states)[1], next(states)[1]
    watched = [weakref.ref(item.values) for item in (first, second)]
    del first, second
    last = next(states)[1]
    assert watched[1]() is None
    np.testing.assert_array_equal(last.values, encoder.encode(one, [1])[1].values)
