"""NumPy and torch give one answer; a device that is not there is refused."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.errors import ValueProblem
from brainalign.encoding.backend import get_backend
from brainalign.encoding.massunivariate import LagModel, feature_maps, rotated_scores
from brainalign.encoding.memory import Compute
from tests.encoding.designs import make_design

FIT = {"penalties": (0.1, 1.0, 10.0), "n_folds": 4}


def devices():
    torch = pytest.importorskip("torch")
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-10), (np.float32, 1e-6)])
@pytest.mark.parametrize("edges", ["zero", "circular"])
def test_maps_are_the_same_on_torch(rng, dtype, atol, edges):
    design = make_design(rng, n_features=4)
    here = feature_maps(design, dtype=dtype, edges=edges, **FIT)
    for device in devices():
        there = feature_maps(design, dtype=dtype, edges=edges, compute=Compute(device=device), **FIT)
        np.testing.assert_allclose(there.scores, here.scores, atol=atol)
        np.testing.assert_allclose(there.coef, here.coef, atol=atol * np.abs(here.coef).max())


@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-10), (np.float32, 1e-6)])
@pytest.mark.parametrize("model", [LagModel(), LagModel(penalty_per="feature"), LagModel(basis="spline-5")])
def test_rotations_are_the_same_on_torch(rng, dtype, atol, model):
    design = make_design(rng)
    shifts = np.vstack([np.zeros((1, 5), dtype=int), rng.integers(20, 250, (5, 5))])
    here = np.array(list(rotated_scores(design, shifts, dtype=dtype, model=model, **FIT)))
    for device in devices():
        compute = Compute(device=device)
        there = np.array(list(rotated_scores(design, shifts, dtype=dtype, model=model, compute=compute, **FIT)))
        np.testing.assert_allclose(there, here, atol=atol)


def test_an_unknown_device_is_refused():
    pytest.importorskip("torch")
    with pytest.raises(ValueProblem, match="cannot use this device"):
        get_backend("abacus")
