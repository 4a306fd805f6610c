"""What does the study's test say about the same recordings beside sounds that were not playing?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from brainalign.core.artefact import Artefact
from brainalign.core.design import Design
from brainalign.core.seeds import generator
from brainalign.pipeline.stage import Stage


def run_fake(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Break the bond between sound and response, for all listeners alike, and test a few features as ever."""
    from brainalign import mapping
    from brainalign.stats.fakes import fake

    seed, number = settings["seed"], settings["number"]
    designs = [Design.unpack(item) for item in inputs["designs"]]
    order = generator(seed, "fake-features", number).permutation(designs[0].n_features)
    columns = np.sort(order[: settings["n_features"]])
    # One generator per listener, all alike: who heard the same stories gets the same ones exchanged.
    broken = [
        fake(design.select(columns), kind=settings["kind"], rng=generator(seed, "fake", number)) for design in designs
    ]
    n_permutations = settings["n_permutations"]
    draws = generator(seed, "fake-shifts", number).integers(2**31)
    key, _ = mapping.choose_null(designs, scheme=settings["scheme"])
    drawn = mapping.draw_group(broken, scheme=key, n_permutations=n_permutations, seed=int(draws))
    summary = mapping.null_summary(broken, drawn, penalties=settings["penalties"], n_folds=settings["n_folds"])
    test = mapping.null_test(broken[0], [summary], surrogates=drawn, seed=int(draws))
    meta = {"kind": settings["kind"], "scheme": test.scheme, "features": test.features}
    return Artefact("fake-test", meta, {"p": test.p, "p_corrected": test.p_corrected})


FAKE = Stage("fake", 2, run_fake)
