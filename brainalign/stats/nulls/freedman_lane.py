"""What would a feature add to a baseline by chance? The baseline's residual is rotated, its fit stays.

Freedman and Lane (1983). The surrogate response is ``fit + rotated residual``; both models are fitted to it again. The
draw is a circular shift's; `brainalign.encoding.unique.unique_rotated` scores it. Permuting the
response itself would also destroy what the baseline explains, and test another hypothesis.
"""

from __future__ import annotations

from dataclasses import replace

from brainalign.core.design import Design
from brainalign.stats.nulls import circular
from brainalign.stats.nulls.family import Draw, Family, Support


def draw(design: Design, *, n_permutations: int, seed: int, n_listeners: int = 1) -> Draw:
    """Draw rotations of the residual: those of the circular shift, for the same seed the same.

    Parameters
    ----------
    design
        One listener's.
    n_permutations, seed, n_listeners
        As every family's.
    """
    drawn = circular.draw(design, n_permutations=n_permutations, seed=seed, n_listeners=n_listeners)
    return replace(drawn, note=f"residuals of the baseline rotated; {drawn.note}")


def support(design: Design) -> Support:
    """Look at the data as for circular shifts; the residual drifts at most as the response does.

    Parameters
    ----------
    design
        One listener's.
    """
    found = circular.support(design)
    return replace(found, better="")


FREEDMAN_LANE = Family(
    key="freedman-lane",
    name="rotation of the baseline's residual (Freedman-Lane)",
    assumption="Were there no effect beyond the baseline's, what the baseline leaves of the response could stand "
    "anywhere within its trial; this holds when that residual and the feature are stationary within a trial.",
    kind="rotations",
    draw=draw,
    support=support,
)
