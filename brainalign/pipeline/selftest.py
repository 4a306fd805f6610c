"""Does the study's test keep its promise on the study's own data? Tests of what cannot be there, counted.

The recordings are the user's, cleaned and aligned as in the study; the sounds beside them
are not the ones that were playing (`brainalign.stats.fakes`). The same test is run on many
such data sets, and how often it finds something is set against how often it may.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from brainalign.pipeline.plan import Plan
from brainalign.pipeline.stage import Task
from brainalign.pipeline.stages import control
from brainalign.pipeline.store import Store
from brainalign.pipeline.study import AnyStudy
from brainalign.stats.fakes import KINDS
from brainalign.stats.realised import Rate, family_rates, single_rates

N_PERMUTATIONS = 99
LEVELS = (0.05, 0.01)


@dataclass(frozen=True)
class Outcome:
    """What one way of breaking the bond gave.

    Attributes
    ----------
    kind
        Which way.
    rates
        Of single tests and of whole families.
    """

    kind: str
    rates: tuple[Rate, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is found more often than it may."""
        return all(rate.holds for rate in self.rates)


def selftest_plan(study: AnyStudy, *, n_fakes: int, n_features: int) -> Plan:
    """Lay out the self-test of a study: its work up to the designs, and the fakes.

    Parameters
    ----------
    study
        Its results are used where they are made already.
    n_fakes
        Data sets per way of breaking the bond.
    n_features
        Features tested in each, drawn anew.
    """
    designs = tuple(task.name for task in study.plan if task.name.startswith("design["))
    model = study.config.model
    settings = {
        "seed": study.config.seed,
        "n_features": n_features,
        "n_permutations": N_PERMUTATIONS,
        "scheme": study.plan["null-choice"].settings["scheme"],
        "penalties": model.penalties,
        "n_folds": model.n_folds,
    }
    fakes = [
        Task(
            f"fake[{kind.replace(' ', '-')}-{number + 1:03d}]",
            control.FAKE,
            settings={**settings, "kind": kind, "number": number},
            inputs={"designs": designs},
        )
        for kind in KINDS
        for number in range(n_fakes)
    ]
    return Plan(f"{study.name}-selftest", [*_up_to(study.plan, designs), *fakes])


def outcomes(plan: Plan, store: Store) -> list[Outcome]:
    """Read the realised rates of a finished self-test.

    Parameters
    ----------
    plan
        From `selftest_plan`.
    store
        Where its results are kept.
    """
    made = [store.get(plan.key(task.name)) for task in plan if task.stage is control.FAKE]
    found = []
    for kind in KINDS:
        parts = [part for part in made if part.meta["kind"] == kind]
        p, corrected = (np.array([part.arrays[name] for part in parts]) for name in ("p", "p_corrected"))
        found.append(Outcome(kind, (*single_rates(p, levels=LEVELS), *family_rates(corrected, levels=LEVELS[:1]))))
    return found


def lines(found: list[Outcome]) -> Iterator[str]:
    """Put the outcome in words, a line each.

    Parameters
    ----------
    found
        From `outcomes`.
    """
    for outcome in found:
        yield f"{outcome.kind}: {KINDS[outcome.kind]}"
        for rate in outcome.rates:
            verdict = "holds" if rate.holds else "FOUND TOO OFTEN"
            interval = f"99 % interval {100 * rate.low:.1f} to {100 * rate.high:.1f}, {rate.n} data sets"
            yield f"  {rate.name} at {rate.level:g}: {100 * rate.rate:.1f} % ({interval}): {verdict}"


def _up_to(plan: Plan, names: tuple[str, ...]) -> list[Task]:
    """Return the tasks that some tasks are made from, and these."""
    kept: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept.add(name)
            waiting += plan[name].needs()
    return [task for task in plan if task.name in kept]
