"""Which sensors are neighbours? MNE's triangulation of the scalp."""

from __future__ import annotations

from collections.abc import Sequence

import mne
import numpy as np
from scipy import sparse
from scipy.spatial import QhullError

from brainalign.core.errors import ValueProblem

_FEWEST = 4


def channel_adjacency(channels: Sequence[str], positions: np.ndarray) -> sparse.csr_array:
    """Return which EEG sensors are neighbours, bool, ``(n_channels, n_channels)``, each its own neighbour.

    Parameters
    ----------
    channels
        Names.
    positions
        Head coordinates in metres, ``(n_channels, 3)``.
    """
    missing = [name for name, place in zip(channels, positions, strict=True) if not np.isfinite(place).all()]
    if missing or len(channels) < _FEWEST:
        raise ValueProblem(
            f"neighbours need at least {_FEWEST} sensors, each with a position",
            got=f"{len(channels)} sensors; without a position: {', '.join(missing[:4]) or 'none'}",
            fix="set a montage, and leave out channels that are not on the head",
        )
    info = mne.create_info(list(channels), 1.0, "eeg", verbose="error")
    places = dict(zip(channels, np.asarray(positions, dtype=float), strict=True))
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"), verbose="error")
    try:
        with mne.use_log_level("error"):
            matrix, names = mne.channels.find_ch_adjacency(info, "eeg")
    except (QhullError, RuntimeError, ValueError) as error:
        raise ValueProblem(
            "these sensor positions cannot be triangulated",
            got=str(error).strip().splitlines()[0],
            fix="check the montage: positions that coincide or lie on a line have no neighbours",
        ) from error
    order = [names.index(name) for name in channels]
    return sparse.csr_array(matrix.tocsr()[order][:, order].astype(bool))
