"""Which independent components is a recording made of? Learnt once, for the eyes and for the muscles alike."""

from __future__ import annotations

import warnings

import mne
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from brainalign.eeg.guards import note

SEED_LIMIT = 2**32
MOST_ROUNDS = 300
TOLERANCE = 1e-3


def learn_components(
    copy: mne.io.BaseRaw, channels: list[str], *, n_components: int | float, seed: int
) -> mne.preprocessing.ICA:
    """Learn independent components outside bad stretches (FastICA).

    Parameters
    ----------
    copy
        High-passed at 1 Hz or so: drifts make poor components.
    channels
        Good ones only.
    n_components
        How many, or the share of the variance that they must hold.
    seed
        Of their start.
    """
    ica = mne.preprocessing.ICA(
        n_components,
        method="fastica",
        max_iter=MOST_ROUNDS,
        random_state=seed % SEED_LIMIT,
        fit_params={"tol": TOLERANCE},
        verbose="error",
    )
    with mne.use_log_level("error"), warnings.catch_warnings():
        # Components of Gaussian background never settle; those of eyes and muscles do. It is noted, not shown.
        warnings.simplefilter("ignore", ConvergenceWarning)
        ica.fit(copy, picks=channels, reject_by_annotation=True)
    return ica


def without_components(
    raw: mne.io.BaseRaw, ica: mne.preprocessing.ICA, taken: list[int], **reasons: np.ndarray
) -> mne.io.BaseRaw:
    """Return a copy without some components, and note which and why.

    Parameters
    ----------
    raw
        The recording; it stays as it was.
    ica
        From `learn_components`.
    taken
        Their numbers.
    **reasons
        What spoke for taking each, by name.
    """
    cleaned = raw.copy().load_data(verbose="error")
    ica.apply(cleaned, exclude=taken, verbose="error")
    told = {name: [round(float(value), 4) for value in values] for name, values in reasons.items()}
    settled = bool(ica.n_iter_ < MOST_ROUNDS)
    note(cleaned, n_learnt=int(ica.n_components_), converged=settled, removed=taken, **told)
    return cleaned
