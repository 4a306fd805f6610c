"""Which channels do the others not predict? Random subsets of sensors, spherical splines, a vote over time."""

from __future__ import annotations

from dataclasses import dataclass

import mne
import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.core.seeds import generator
from brainalign.eeg.bad_channels import Limits, too_loud_or_quiet
from brainalign.eeg.guards import note, require_eeg, require_long_enough

N_TERMS = 50
STIFFNESS = 4
REGULARISATION = 1e-5
FEWEST = 12
# Robust z of the log variance from which on a channel predicts no other.
LOUD = 5.0


@dataclass(frozen=True)
class Ransac:
    """Mark EEG channels that random subsets of the others fail to predict for much of the time.

    In each window a channel is compared with the median of its predictions from many random subsets of the
    good sensors, which a few bad sensors among them cannot spoil. Channels already marked stay marked and
    predict nothing; neither do those that are far too loud. Sensors at the cap's rim are predicted worst.

    Parameters
    ----------
    n_subsets
        Random subsets.
    share
        Of the good sensors in a subset.
    min_correlation
        With the prediction, in a window.
    max_bad_share
        A channel is bad if more of its windows fall below that.
    window
        Seconds.
    seed
        Of the subsets.
    """

    n_subsets: int = 50
    share: float = 0.25
    min_correlation: float = 0.75
    max_bad_share: float = 0.4
    window: float = 5.0
    seed: int = 0

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy with the bad channels named in its info."""
        names = [name for name in require_eeg(raw) if name not in raw.info["bads"]]
        places = np.array([raw.info["chs"][raw.ch_names.index(name)]["loc"][:3] for name in names])
        if len(names) < FEWEST or not np.isfinite(places).all() or not places.any(axis=1).all():
            raise ValueProblem(
                f"Ransac needs at least {FEWEST} good sensors, each with a position",
                got=f"{len(names)} sensors",
                fix="give the recording a montage, or use BadChannels",
            )
        require_long_enough(raw, transition=1.0, step="Ransac")
        copy = raw.copy().pick(names).load_data(verbose="error")
        values = copy.filter(1.0, None, l_trans_bandwidth=1.0, verbose="error").get_data()
        size = min(values.shape[1], round(self.window * raw.info["sfreq"]))
        loud = too_loud_or_quiet(values, rate=raw.info["sfreq"], places=places, limits=Limits(LOUD, 0.0))
        operators = self._operators(places, np.flatnonzero(~loud))
        starts = range(0, values.shape[1] - size + 1, size)
        below = [_likeness(values[:, start : start + size], operators) < self.min_correlation for start in starts]
        shares = np.mean(below, axis=0)
        found = {name: share for name, share in zip(names, shares, strict=True) if share > self.max_bad_share}
        marked = raw.copy()
        marked.info["bads"] = [name for name in raw.ch_names if name in {*found, *raw.info["bads"]}]
        if found:
            note(marked, reasons={name: f"not predicted in {share:.0%} of the time" for name, share in found.items()})
        return marked

    def _operators(self, places: np.ndarray, predictors: np.ndarray) -> np.ndarray:
        """Return the weights, shape ``(n_subsets, n_channels, n_channels)``; no channel predicts itself."""
        rng = generator(self.seed, "ransac")
        n = len(places)
        operators = np.zeros((self.n_subsets, n, n))
        for operator in operators:
            chosen = rng.choice(predictors, size=max(4, round(self.share * predictors.size)), replace=False)
            operator[:, chosen] = spline_weights(places[chosen], places)
            operator[chosen] = np.nan
        return operators


def _likeness(values: np.ndarray, operators: np.ndarray) -> np.ndarray:
    """Correlate each channel with the median of its predictions, shape ``(n_channels,)``; 0 where it is silent."""
    with np.errstate(invalid="ignore"):
        found = np.zeros(len(values))
        for channel, own in enumerate(values):
            weights = operators[:, channel]
            weights = weights[np.isfinite(weights).all(axis=1)]
            if not len(weights):
                found[channel] = 1.0
                continue
            predicted = np.median(weights @ values, axis=0)
            length = np.linalg.norm(own - own.mean()) * np.linalg.norm(predicted - predicted.mean())
            found[channel] = (own - own.mean()) @ (predicted - predicted.mean()) / length if length else 0.0
    return found


def spline_weights(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the weights of a spherical-spline interpolation, shape ``(n_wanted, n_known)``.

    Parameters
    ----------
    known, wanted
        Sensor positions in metres in head coordinates, shape ``(n, 3)``; a sphere is fitted to all of them.
    """
    _, centre = _sphere(np.vstack([known, wanted]))
    one, other = (_unit(places - centre) for places in (known, wanted))
    inner = _spline(one @ one.T) + REGULARISATION * np.eye(len(one))
    across = _spline(other @ one.T)
    system = np.block([[inner, np.ones((len(one), 1))], [np.ones((1, len(one))), np.zeros((1, 1))]])
    right = np.hstack([across, np.ones((len(other), 1))])
    return np.asarray(np.linalg.solve(system, right.T).T[:, : len(one)])


def _spline(cosine: np.ndarray) -> np.ndarray:
    """Evaluate the spline's kernel, a sum of Legendre polynomials, at cosines of angles."""
    n = np.arange(1, N_TERMS + 1)
    factors = np.concatenate([[0.0], (2 * n + 1) / (n * (n + 1.0)) ** STIFFNESS / (4 * np.pi)])
    return np.polynomial.legendre.legval(np.clip(cosine, -1, 1), factors)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _sphere(places: np.ndarray) -> tuple[float, np.ndarray]:
    """Fit a sphere by least squares; return radius and centre in metres."""
    system = np.hstack([2 * places, np.ones((len(places), 1))])
    answer = np.linalg.lstsq(system, (places**2).sum(axis=1), rcond=None)[0]
    return float(np.sqrt(answer[3] + answer[:3] @ answer[:3])), answer[:3]
