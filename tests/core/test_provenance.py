"""The chain of steps."""

from fractions import Fraction

from brainalign.core.hashing import canonical_json
from brainalign.core.provenance import Provenance


def test_a_step_is_added_and_the_chain_before_is_left_alone():
    first = Provenance().then("read", name="a.wav")
    second = first.then("encode", layer=9, rate=Fraction(50))
    assert [step.name for step in first.steps] == ["read"]
    assert [step.name for step in second.steps] == ["read", "encode"]
    assert first.steps[0].parameters == {"name": "a.wav"}
    assert second.steps[1].parameters == {"layer": 9, "rate": "50/1"}


def test_the_chain_survives_json():
    chain = Provenance().then("read", folder="x").then("clean", low=1.0, notch=(50, 100))
    assert Provenance.from_json(chain.to_json()) == chain
    assert canonical_json(Provenance.from_json(chain.to_json())) == canonical_json(chain)
