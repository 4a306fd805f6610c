"""Where models of other listeners meet the test of what listeners share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from brainalign.core.design import Design
from brainalign.encoding.generic import flipped_listeners
from brainalign.encoding.generic_maps import flipped_listeners_maps
from brainalign.stats.generalise import flip_patterns, flip_test
from brainalign.stats.signflip import SignFlipTest


def shared_response_test(
    designs: Sequence[Design], *, n_permutations: int = 1000, seed: int = 0, **settings: Any
) -> SignFlipTest:
    """Test whether a joint model of the other listeners predicts listeners, per channel.

    Parameters
    ----------
    designs
        One per listener, at least three.
    n_permutations
        Patterns of flipped listeners; all ``2 ** (n_listeners - 1)`` if these are no more.
    seed
        Of the patterns.
    **settings
        As for `brainalign.encoding.generic.leave_one_listener_out`.

    Returns
    -------
    SignFlipTest
        ``observed`` is the listeners' mean on Fisher's scale, ``(n_channels,)``; corrected over channels.
    """
    signs, exact = flip_patterns(len(designs), n_permutations=n_permutations, seed=seed)
    return flip_test(np.concatenate(list(flipped_listeners(designs, signs, **settings))), exact=exact)


def shared_features_test(
    designs: Sequence[Design], *, n_permutations: int = 1000, seed: int = 0, **settings: Any
) -> SignFlipTest:
    """Test whether the others' models of one feature predict listeners, per feature and channel.

    Holds the scores of all patterns: ``8 (1 + B) n_listeners n_features n_channels`` bytes.

    Parameters
    ----------
    designs, n_permutations, seed
        As in `shared_response_test`.
    **settings
        As for `brainalign.encoding.generic_maps.leave_one_listener_out_maps`.

    Returns
    -------
    SignFlipTest
        ``(n_features, n_channels)``; corrected over both.
    """
    signs, exact = flip_patterns(len(designs), n_permutations=n_permutations, seed=seed)
    return flip_test(np.concatenate(list(flipped_listeners_maps(designs, signs, **settings)), axis=2), exact=exact)
