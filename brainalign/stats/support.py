"""Can these data bear that null, and which one should be taken? Asked before any score is seen."""

from __future__ import annotations

from collections.abc import Sequence

from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem
from brainalign.stats.nulls.family import Support, stories
from brainalign.stats.nulls.pairing import FEWEST_STORIES, LARGEST_LOSS, lost_share
from brainalign.stats.nulls.registry import get_family


def support(design: Design, family: str) -> Support:
    """Look at one listener's design before a null is believed.

    Parameters
    ----------
    design
        One listener's trials.
    family
        A key of `brainalign.stats.nulls.registry.FAMILIES`.

    Returns
    -------
    Support
        Whether the null may be used, how far to trust it, why, and what would do instead: of the
        families for the same question, one whose own support is good, or "" where none is.
    """
    found = get_family(family).support(design)
    if not found.better or get_family(found.better).support(design).level == "good":
        return found
    return Support(found.ok, found.level, found.reasons)


def default_family(designs: Sequence[Design]) -> tuple[str, str]:
    """Choose between re-pairing of whole stories and circular shifts, from the stimuli alone.

    Parameters
    ----------
    designs
        One per listener.

    Returns
    -------
    key, reason : str
        The family, and a sentence that says why.
    """
    if not designs:
        raise ValueProblem("there must be at least one listener", got="none", fix="give one design per listener")
    fewest = min(len(stories(design)) for design in designs)
    if fewest < FEWEST_STORIES:
        return "circular-shift", (
            f"Circular shifts within trials, because {fewest} stories are too few to pair anew "
            f"(at least {FEWEST_STORIES} are needed)."
        )
    loss = max(lost_share(design) for design in designs)
    if loss > LARGEST_LOSS:
        return "circular-shift", (
            f"Circular shifts within trials, because cutting all trials to the shortest would lose {loss:.0%} "
            "of the frames."
        )
    kept = f", at a loss of {loss:.1%} of the frames" if loss else ""
    told = f"{fewest} are there, {FEWEST_STORIES} are enough"
    return "pairing", f"Re-pairing of whole stories, because {told}{kept}."
