"""What does a test say where there is nothing to find? The same recordings beside sounds that were not playing.

Two ways to break the bond between sound and response, and to keep everything else that a
test could stumble over (spectra, sparsity, drifts, edges, the number and length of trials):
every story's features stand beside the response to another story, or run backwards.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.core.trajectory import Trajectory

KINDS = {
    "mismatched": "each response stands beside the features of a story that was not playing",
    "reversed": "each story's features run backwards",
    "mismatched and reversed": "each response stands beside the features of another story, run backwards",
}


def fake(design: Design, *, kind: str, rng: np.random.Generator) -> Design:
    """Return a design without any true relation between features and responses.

    Parameters
    ----------
    design
        A listener's.
    kind
        One of `KINDS`.
    rng
        Draws who stands beside whom.
    """
    if kind not in KINDS:
        raise unknown_name(kind, among=KINDS, kind="way to break the bond")
    broken = mismatched(design, rng=rng) if kind.startswith("mismatched") else design
    return backwards(broken) if kind.endswith("reversed") else broken


def mismatched(design: Design, *, rng: np.random.Generator) -> Design:
    """Put every response beside another story's features, both cut to the shorter's length.

    No story stays beside its own response; which one comes instead is drawn at random. Trials
    of one story get the features of one other, so that what is held out together stays so.

    Parameters
    ----------
    design
        Of at least two stories.
    rng
        Draws the pairs.
    """
    first = {trial.name: trial for trial in reversed(design.trials)}
    names = list(dict.fromkeys(trial.name for trial in design.trials))
    if len(names) < 2:
        raise ValueProblem(
            "one story cannot be put beside another's response",
            got=f"only {names[0]!r}",
            fix="use the kind 'reversed', or cut the recording into several stories",
        )
    partner = dict(zip(names, [names[i] for i in _derangement(len(names), rng)], strict=True))
    trials = tuple(_beside(first[partner[trial.name]].x, trial) for trial in design.trials)
    return replace(design, trials=trials, provenance=design.provenance.then("mismatched", partners=partner))


def backwards(design: Design) -> Design:
    """Run every trial's features backwards in time against its response.

    Parameters
    ----------
    design
        Sparse features stay sparse.
    """
    trials = tuple(
        Trial(trial.name, replace(trial.x, values=trial.x.values[::-1]), trial.y, trial.mask) for trial in design.trials
    )
    return replace(design, trials=trials, provenance=design.provenance.then("backwards"))


def _derangement(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a permutation that leaves nothing in its place (rejection: about e tries)."""
    while True:
        order = rng.permutation(n)
        if not np.any(order == np.arange(n)):
            return order


def _beside(features: Trajectory, trial: Trial) -> Trial:
    n = min(features.axis.n, trial.axis.n)
    x = Trajectory(features.values[:n], trial.axis.part(0, n), features.features, features.provenance)
    return Trial(trial.name, x, trial.y[:n], trial.mask[:n])
