"""Which nulls are there? By the names that configurations use."""

from __future__ import annotations

from brainalign.core.errors import unknown_name
from brainalign.stats.nulls.blocks import BLOCKS
from brainalign.stats.nulls.circular import CIRCULAR
from brainalign.stats.nulls.family import Family, Scheme
from brainalign.stats.nulls.freedman_lane import FREEDMAN_LANE
from brainalign.stats.nulls.pairing import PAIRING
from brainalign.stats.nulls.phase import PHASE

FAMILIES: dict[str, Family] = {family.key: family for family in (CIRCULAR, PAIRING, PHASE, BLOCKS, FREEDMAN_LANE)}

SIGN_FLIP = Scheme(
    key="sign-flip",
    name="sign flip across listeners",
    assumption="Were there no effect, a listener's score less its null's would be as likely to be negative as "
    "positive: scores of independent listeners are symmetric about zero.",
    kind="signs",
)

NULLS: dict[str, Scheme] = {**FAMILIES, SIGN_FLIP.key: SIGN_FLIP}


def get_family(key: str) -> Family:
    """Return a null that is drawn from one listener's design.

    >>> get_family("pairing").kind
    'pairings'
    """
    if key not in FAMILIES:
        raise unknown_name(key, among=FAMILIES, kind="null")
    return FAMILIES[key]
