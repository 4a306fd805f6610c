"""How would the statistic look against noise with the response's spectra? Phases drawn anew, the same for all channels.

Prichard and Theiler (1994): the transform Y_c(f) of channel c becomes Y_c(f) exp(i u(f)), with
u(f) uniform on the circle, one for all channels; u is 0 at frequency 0 and at Nyquist's. All
auto- and cross-spectra Y_c(f) conj(Y_d(f)), and so all circular covariances, stay exactly.

It fails where the response is more than its spectrum: bursts of alpha, gaps, artefacts and
steps are spread evenly over the trial, and with them whatever met a burst of the stimulus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from brainalign.core.design import Design
from brainalign.core.seeds import generator
from brainalign.stats.nulls.circular import stationarity
from brainalign.stats.nulls.family import Draw, Family, Responses, Support, responses_at_rest, stories, to_trials

_MOST_UNUSABLE = 0.05


def randomise_phases(signal: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Return a surrogate with the same auto- and cross-spectra.

    Parameters
    ----------
    signal
        Shape ``(n_frames, n_channels)``.
    rng
        Draws one phase per frequency, for all channels, from the slowest on.
    """
    n = len(signal)
    spectrum = fft.rfft(signal, axis=0)
    phases = rng.uniform(0, 2 * np.pi, len(spectrum))
    phases[0] = 0
    if n % 2 == 0:
        phases[-1] = 0
    return fft.irfft(spectrum * np.exp(1j * phases).astype(spectrum.dtype)[:, None], n=n, axis=0)


def draw(design: Design, *, n_permutations: int, seed: int, n_listeners: int = 1) -> Draw:
    """Draw seeds of surrogates, one per row; row 0 is the data and its number is not used.

    Parameters
    ----------
    design
        One listener's.
    n_permutations, seed, n_listeners
        As every family's; phases are never enumerated.

    Returns
    -------
    Draw
        Values ``(1 + B,)``, int64, for `responses`.
    """
    rng = generator(seed, "phases", design.subject)
    values = np.concatenate([[0], rng.integers(1, 2**62, n_permutations)])
    return Draw(values, False, "phases of each story's responses drawn anew, the same for all channels")


@dataclass(frozen=True, eq=False)
class _Phases:
    signals: list[np.ndarray]
    seeds: np.ndarray
    story: np.ndarray

    def __call__(self, number: int) -> list[np.ndarray]:
        if number == 0:
            return self.signals
        seed = int(self.seeds[number])
        pairs = zip(self.signals, self.story, strict=True)
        return [randomise_phases(signal, rng=np.random.default_rng([seed, int(i)])) for signal, i in pairs]


def responses(design: Design, values: np.ndarray) -> Responses:
    """Return the function that makes surrogate responses; unusable frames, at rest before, hold noise after.

    Parameters
    ----------
    design
        The one that was drawn for.
    values
        Of the draw.
    """
    story = to_trials(design, np.arange(len(stories(design))))
    return _Phases(responses_at_rest(design), values, story)


def support(design: Design) -> Support:
    """Look at drifts, as for circular shifts, and at gaps.

    Parameters
    ----------
    design
        One listener's.
    """
    doubtful, refused = stationarity(design)
    unusable = 1 - design.n_frames / sum(trial.axis.n for trial in design.trials)
    if unusable > _MOST_UNUSABLE:
        doubtful.append(f"{unusable:.0%} of the frames are unusable; surrogates would have no gaps there.")
    return Support.from_findings(refused=refused, doubtful=doubtful, better="pairing")


PHASE = Family(
    key="phase",
    name="phase randomisation of the response",
    assumption="Were there no effect, the response would be stationary Gaussian noise with the spectra and "
    "cross-spectra that it has, unrelated to the stimulus.",
    kind="responses",
    draw=draw,
    support=support,
    responses=responses,
)
