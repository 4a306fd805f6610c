"""How would the statistic look if every story stood beside the response to another? Whole stories paired anew.

Nothing inside a story is touched: drifts, onsets, spectra and sparsity stay. What it costs is
the number of stories (K of them have K! pairings), and that trials are cut to one length.
Responses to a story that was heard m times move together, to a story that was heard m times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import permutations, product
from math import factorial, prod

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem
from brainalign.core.seeds import generator
from brainalign.stats.nulls.family import Draw, Family, Support, stories

LARGEST_LOSS = 0.25
FEWEST_STORIES = 8
_FEWEST_PAIRINGS = 20
_INSTEAD = "use 'circular-shift' (which needs high-passed data)"


def draw(design: Design, *, n_permutations: int, seed: int, n_listeners: int = 1) -> Draw:
    """Draw pairings uniformly from all there are; enumerate them where there are no more than asked for.

    Parameters
    ----------
    design
        One listener's.
    n_permutations, seed, n_listeners
        As every family's.

    Returns
    -------
    Draw
        Values ``(1 + B, n_trials)``: the trial whose response stands beside each trial's
        stimulus. Exact if they are all there are; B is then the number of other pairings.
    """
    _require_croppable(design)
    groups, n = _exchangeable(design), distinct_pairings(design)
    if n**n_listeners < _FEWEST_PAIRINGS:
        raise ValueProblem(
            "there are too few stories to pair anew: no p-value could reach 0.05",
            got=f"{n} distinct pairings of {len(stories(design))} stories",
            fix=_INSTEAD,
        )
    if n <= 1 + n_permutations and n_listeners == 1:
        orders = list(_all_orders(groups))
        told = [f"all {n} distinct pairings"]
    else:
        rng = generator(seed, "pairings", design.subject)
        # Uniform members of the group: the identity may come up again, and counts as a surrogate as large as the data.
        drawn = ([rng.permutation(len(group)) for group in groups] for _ in range(n_permutations))
        orders = [[np.arange(len(group)) for group in groups], *drawn]
        told = [f"{n_permutations} of {n:,} pairings" if n < 10**9 else f"{n_permutations} of over a billion pairings"]
    if lost_share(design):
        told.append(f"trials cut to the shortest, {lost_share(design):.1%} of the frames lost")
    values = np.array([_pairing(groups, order) for order in orders])
    return Draw(values, n <= 1 + n_permutations and n_listeners == 1, "; ".join(told))


def support(design: Design) -> Support:
    """Count stories and look at their lengths.

    Parameters
    ----------
    design
        One listener's.
    """
    refused, doubtful = [], []
    loss, n = lost_share(design), distinct_pairings(design)
    if n < _FEWEST_PAIRINGS:
        refused.append(f"{len(stories(design))} stories have {n} distinct pairings: no p-value could reach 0.05.")
    elif n < 10 * _FEWEST_PAIRINGS:
        doubtful.append(f"There are {n} distinct pairings: no listener alone could have a p-value below {1 / n:.2g}.")
    if loss > LARGEST_LOSS:
        refused.append(f"Cutting all trials to the shortest would lose {loss:.0%} of the frames.")
    return Support.from_findings(refused=refused, doubtful=doubtful, better="circular-shift")


def lost_share(design: Design) -> float:
    """Return the share of frames beyond the shortest trial's length.

    Parameters
    ----------
    design
        One listener's.
    """
    lengths = [trial.axis.n for trial in design.trials]
    return 1 - len(lengths) * min(lengths) / sum(lengths)


def distinct_pairings(design: Design) -> int:
    """Return how many pairings there are: orders of the stories heard equally often, multiplied.

    Parameters
    ----------
    design
        One listener's.
    """
    return prod(factorial(n) for n in Counter(map(len, stories(design).values())).values())


def _exchangeable(design: Design) -> list[np.ndarray]:
    """Return, for each number of times that stories were heard, their trials: ``(n_stories, n_times)``."""
    groups: dict[int, list[list[int]]] = {}
    for members in stories(design).values():
        groups.setdefault(len(members), []).append(members)
    return [np.array(group) for group in groups.values()]


def _pairing(groups: list[np.ndarray], orders: list[np.ndarray]) -> np.ndarray:
    row = np.empty(sum(group.size for group in groups), dtype=np.int64)
    for group, order in zip(groups, orders, strict=True):
        row[group] = group[order]
    return row


def _all_orders(groups: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yield every order of every group's stories, the identity first."""
    for orders in product(*(permutations(range(len(group))) for group in groups)):
        yield [np.array(order) for order in orders]


def _require_croppable(design: Design) -> None:
    loss = lost_share(design)
    if loss > LARGEST_LOSS:
        shortest = min(design.trials, key=lambda trial: trial.axis.n)
        raise ValueProblem(
            "trials differ too much in length to be paired anew",
            got=f"{loss:.0%} of the frames lie beyond the length of trial {shortest.name!r} ({shortest.axis.n} frames)",
            fix=f"drop the shortest trials, or {_INSTEAD}",
        )


PAIRING = Family(
    key="pairing",
    name="re-pairing of whole stories",
    assumption="Were there no effect, any story might as well have stood beside the response to any other: responses "
    "to different stories are exchangeable once trials are cut to one length.",
    kind="pairings",
    draw=draw,
    support=support,
)
