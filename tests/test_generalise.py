"""What listeners share is found, joint and feature by feature; what they do not share is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from brainalign.core.design import Trial
from brainalign.generalise import shared_features_test, shared_response_test
from tests.encoding.test_generic import listeners


def test_a_shared_response_is_found_where_it_is(rng):
    designs = listeners(rng, n=6)
    found = shared_response_test(designs, penalties=(0.1, 10.0), n_folds=3)
    assert found.exact
    assert found.p_corrected[0] == 1 / 32
    assert (found.p_corrected[1:] > 0.05).all()
    alone = shared_features_test(designs, penalties=(0.1, 10.0), n_folds=3)
    assert alone.p_corrected.shape == (3, 4)
    assert np.argwhere(alone.p_corrected <= 0.05).tolist() == [[0, 0]]


def test_responses_of_opposite_sign_are_not_shared(rng):
    """Each listener follows the sound, half of them the other way round."""
    designs = listeners(rng, n=6)
    turned = [
        replace(design, trials=tuple(Trial(t.name, t.x, (-1) ** i * t.y, t.mask) for t in design.trials))
        for i, design in enumerate(designs)
    ]
    assert shared_response_test(turned, penalties=(1.0,), n_folds=3).p[0] > 0.5
