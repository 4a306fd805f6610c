"""A trajectory keeps its clock and learns where it came from."""

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.sae.apply import apply_sae
from tests.sae.worlds import as_trajectory


def test_features_on_the_same_clock(make_coder, rng):
    coder, frames = make_coder(), as_trajectory(rng.standard_normal((30, 6)))
    features = apply_sae(coder, frames)
    assert features.is_sparse
    assert features.axis == frames.axis
    assert features.features[:2] == ("sae-0", "sae-1")
    assert features.n_features == coder.d_sae
    np.testing.assert_array_equal(features.values.toarray(), coder.encode(frames.values).toarray())
    step = features.provenance.steps[-1]
    assert step.name == "apply_sae"
    assert step.parameters["coder"] == coder.content


def test_method_and_prefix(make_coder, rng):
    frames = as_trajectory(rng.standard_normal((3, 6)))
    assert make_coder().apply(frames, prefix="hubert9-").features[-1] == "hubert9-19"


def test_part_of_a_trajectory_gives_part_of_the_features(make_coder, rng):
    coder, frames = make_coder(), as_trajectory(rng.standard_normal((1200, 6)))
    part = apply_sae(coder, frames.frames(500, 700))
    whole = apply_sae(coder, frames).frames(500, 700)
    assert part.axis == whole.axis
    np.testing.assert_array_equal(part.values.toarray(), whole.values.toarray())


def test_refuses_another_layer_and_its_own_output(make_coder, rng):
    coder = make_coder()
    with pytest.raises(ShapeMismatch, match="got: 7 features, the coder reads 6"):
        apply_sae(coder, as_trajectory(rng.standard_normal((3, 7))))
    features = apply_sae(coder, as_trajectory(rng.standard_normal((3, 6))))
    with pytest.raises(ValueProblem, match="sparse trajectory"):
        apply_sae(make_coder(d_in=20), features)
