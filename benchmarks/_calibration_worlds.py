"""What is tested? Made-up recordings beside made-up stimuli, of which it is known what is related to what.

EEG: noise with power 1/f to 1/f^1.5 and alpha on top, high-passed at 1 Hz, mixed over channels. Stimuli: sparse ones
(single events), bursty ones (runs of events, then long silence) and envelope-like ones (smooth, skewed, high-passed).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import fft, signal

from brainalign.core.design import Design, Trial
from brainalign.core.seeds import generator
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory

RATE, N_TRIALS, N_FRAMES, N_LAGS = 50, 8, 500, 8
KINDS = ("sparse", "bursty", "envelope")
VOLTS = 1e-5
_HIGH_PASS = signal.butter(2, 1.0, "highpass", fs=RATE, output="sos")
_ALPHA = signal.butter(2, (8.0, 12.0), "bandpass", fs=RATE, output="sos")
_SYLLABLES = signal.butter(2, (1.0, 8.0), "bandpass", fs=RATE, output="sos")
_MARGIN = 150
KERNEL = np.array([0.0, 0.2, 0.7, 1.0, 0.6, -0.2, -0.5, -0.2])


@dataclass(frozen=True)
class Recipe:
    """How a world is made.

    Attributes
    ----------
    name
        Enters the seed.
    n_features, n_channels, n_listeners
        Features are sparse, bursty and envelope-like in turn; listeners hear the same.
    drifting
        Neither side is high-passed, and both are slow.
    waxing
        The alpha comes and goes, on all channels alike, as the bursts of bursty stimuli do.
    planted
        Numbers of the features that the first half of the channels respond to.
    gain
        Standard deviation of such a response, in that of the noise.
    uneven
        Standard deviation of listeners' gains, of which 1 is the mean.
    responders
        Listeners who respond, the first ones; their gains are raised so that the mean stays. 0: all.
    led
        By how much (standard deviations) an acoustic baseline drives responses, and features lean on it; 0: none.
    """

    name: str
    n_features: int = 24
    n_channels: int = 4
    n_listeners: int = 1
    drifting: bool = False
    waxing: bool = False
    planted: tuple[int, ...] = ()
    gain: float = 0.0
    uneven: float = 0.0
    responders: int = 0
    led: float = 0.0


@dataclass(frozen=True, eq=False)
class World:
    """A made-up study.

    Attributes
    ----------
    design
        Listeners' channels stand side by side: listener 0's, listener 1's, ...
    baseline
        What drives responses in worlds with ``led``, one trajectory per trial.
    kinds
        Number of each feature's kind, ``(n_features,)``.
    truth
        Where there is an effect, ``(n_features, n_channels)`` of one listener.
    """

    design: Design
    baseline: tuple[Trajectory, ...]
    kinds: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True, eq=False)
class Scene:
    """What all trials of a world share.

    Attributes
    ----------
    slope, alpha
        The noise's power falls as ``1 / f ** slope``, and how strong the alpha on top is.
    mixing
        From sources to channels, ``(n_listeners, n_channels, n_sources)``.
    gains
        Each listener's, 1 on average, ``(n_listeners,)``.
    """

    slope: float
    alpha: float
    mixing: np.ndarray
    gains: np.ndarray


def make_world(recipe: Recipe, number: int, *, seed: int) -> World:
    """Make one world; the same number gives the same bytes."""
    rng = generator(seed, "world", recipe.name, number)
    kinds = np.arange(recipe.n_features) % len(KINDS)
    truth = np.zeros((recipe.n_features, recipe.n_channels), dtype=bool)
    truth[list(recipe.planted), : recipe.n_channels // 2] = True
    scene = _scene(recipe, rng)
    parts = [_trial(recipe, rng, kinds=kinds, truth=truth, scene=scene, number=k) for k in range(N_TRIALS)]
    channels = tuple(f"c{i}" for i in range(recipe.n_channels * recipe.n_listeners))
    design = Design(
        tuple(trial for trial, _ in parts),
        Lags(0, N_LAGS - 1, RATE),
        channels,
        np.full((len(channels), 3), np.nan),
        subject=f"{recipe.name}-{number}",
    )
    return World(design, tuple(baseline for _, baseline in parts), kinds, truth)


def listeners(world: World, n: int) -> list[Design]:
    """Return one design per listener, of the same stimuli."""
    width = len(world.design.channels) // n
    parts = []
    for number in range(n):
        own = slice(number * width, (number + 1) * width)
        trials = tuple(replace(trial, y=trial.y[:, own]) for trial in world.design.trials)
        parts.append(
            replace(
                world.design,
                trials=trials,
                channels=world.design.channels[:width],
                positions=world.design.positions[:width],
                subject=f"{world.design.subject}-{number}",
            )
        )
    return parts


def first_features(world: World, n: int, *, start: int = 0) -> Design:
    """Return the world's design with some of its features only."""
    chosen = np.arange(start, start + n)
    return replace(
        world.design, trials=tuple(replace(trial, x=trial.x.select(chosen)) for trial in world.design.trials)
    )


def _scene(recipe: Recipe, rng: np.random.Generator) -> Scene:
    """Draw what all trials of a world share: the noise's slope, and how sources reach channels."""
    shape = (recipe.n_listeners, recipe.n_channels, recipe.n_channels)
    own = rng.standard_normal(shape)
    slope = rng.uniform(1.5, 2.0) if recipe.drifting else rng.uniform(1.0, 1.5)
    # Neighbours share most of their sources, as sensors do.
    mixing = own + np.roll(own, 1, axis=1) + rng.standard_normal((recipe.n_listeners, 1, recipe.n_channels))
    alpha = rng.uniform(0.3, 0.9)
    gains = np.maximum(0.0, 1 + recipe.uneven * rng.standard_normal(recipe.n_listeners))
    if recipe.responders:
        gains *= (np.arange(recipe.n_listeners) < recipe.responders) * recipe.n_listeners / recipe.responders
    return Scene(slope, alpha, mixing, gains)


def _trial(
    recipe: Recipe,
    rng: np.random.Generator,
    *,
    kinds: np.ndarray,
    truth: np.ndarray,
    scene: Scene,
    number: int,
) -> tuple[Trial, Trajectory]:
    bursts = _gate(rng, 1)[:, 0] if recipe.waxing else None
    x = np.empty((N_FRAMES, recipe.n_features))
    for kind, name in enumerate(KINDS):
        x[:, kinds == kind] = MAKERS[name](rng, int((kinds == kind).sum()), recipe)
    z = envelope(rng, 1, recipe)
    if recipe.led:
        # Events come as before, but grow with the baseline; envelopes share a part of it.
        lean = np.where(kinds == KINDS.index("envelope"), 0.0, 1.0)
        x = x * np.exp(0.7 * lean * z) + (1 - lean) * 0.75 * z
    y = _noise(rng, recipe, scene, bursts)
    y += recipe.led * evoked(z)
    for f in np.flatnonzero(truth.any(axis=1)):
        y += recipe.gain * evoked(x[:, [f]]) * np.outer(scene.gains, truth[f]).ravel()
    axis, names = TimeAxis(RATE, N_FRAMES), tuple(f"{KINDS[k]}-{i}" for i, k in enumerate(kinds))
    trial = Trial(
        f"story-{number}",
        Trajectory(x.astype(np.float32), axis, names),
        VOLTS * y,
        np.ones(N_FRAMES, dtype=bool),
    )
    return trial, Trajectory(z.astype(np.float32), axis, ("baseline",))


def evoked(x: np.ndarray) -> np.ndarray:
    """Return what columns evoke, of standard deviation 1; silence evokes nothing."""
    response = signal.lfilter(KERNEL, [1.0], x, axis=0)
    spread = response.std(axis=0)
    return (response - response.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _noise(rng: np.random.Generator, recipe: Recipe, scene: Scene, bursts: np.ndarray | None) -> np.ndarray:
    """Return EEG-like noise of standard deviation 1, ``(n_frames, n_listeners * n_channels)``."""
    shape = (N_FRAMES + 2 * _MARGIN, recipe.n_listeners * recipe.n_channels)
    sources = coloured(rng, *shape, slope=scene.slope)
    alpha = signal.sosfiltfilt(_ALPHA, rng.standard_normal(shape), axis=0)
    alpha /= alpha.std(axis=0)
    inside = slice(_MARGIN, _MARGIN + N_FRAMES)
    if bursts is not None:
        alpha[inside] *= 3 * signal.lfilter([0.1], [1, -0.9], bursts)[:, None]
    values = sources + scene.alpha * alpha
    if not recipe.drifting:
        values = signal.sosfiltfilt(_HIGH_PASS, values, axis=0)
    values = values[inside].reshape(N_FRAMES, recipe.n_listeners, recipe.n_channels)
    mixed = np.einsum("tls,lcs->tlc", values, scene.mixing).reshape(N_FRAMES, -1)
    return mixed / mixed.std(axis=0)


def coloured(rng: np.random.Generator, n: int, n_columns: int, *, slope: float) -> np.ndarray:
    """Return Gaussian noise of power ``1 / f ** slope`` and standard deviation near 1, not periodic."""
    long = 2 * n
    hertz = fft.rfftfreq(long, 1 / RATE)
    hertz[0] = hertz[1]
    parts = rng.standard_normal((2, len(hertz), n_columns))
    spectrum = (parts[0] + 1j * parts[1]) * hertz[:, None] ** (-slope / 2)
    values = fft.irfft(spectrum, n=long, axis=0)[:n]
    return values / values.std(axis=0)


def sparse_events(rng: np.random.Generator, n: int, recipe: Recipe) -> np.ndarray:
    """Return single events, in 3 % of the frames, of exponential size."""
    return (rng.random((N_FRAMES, n)) < 0.03) * rng.exponential(size=(N_FRAMES, n))


def bursty(rng: np.random.Generator, n: int, recipe: Recipe) -> np.ndarray:
    """Return runs of events, 0.4 s long and 2 s apart on average."""
    inside = _gate(rng, n)
    return inside * (rng.random((N_FRAMES, n)) < 0.6) * rng.exponential(size=(N_FRAMES, n))


def envelope(rng: np.random.Generator, n: int, recipe: Recipe) -> np.ndarray:
    """Return smooth, skewed, 1/f signals of standard deviation 1, as envelopes of speech are."""
    slow = coloured(rng, N_FRAMES + 2 * _MARGIN, n, slope=1.8 if recipe.drifting else 1.0)
    if not recipe.drifting:
        slow = signal.sosfiltfilt(_SYLLABLES, slow, axis=0)
    values = np.exp(0.7 * slow / slow.std(axis=0))
    if not recipe.drifting:
        values = signal.sosfiltfilt(_HIGH_PASS, values, axis=0)
    values = values[_MARGIN : _MARGIN + N_FRAMES]
    return (values - values.mean(axis=0)) / values.std(axis=0)


def _gate(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return 1 inside bursts of 20 frames on average, 0 in gaps of 100 on average, ``(n_frames, n)``."""
    gates = np.zeros((N_FRAMES, n))
    for column in range(n):
        gaps, lengths = rng.geometric(1 / 100, 30), rng.geometric(1 / 20, 30)
        edges = np.cumsum(np.stack([gaps, lengths], axis=1).ravel()) - rng.integers(0, 100)
        for start, stop in edges.reshape(-1, 2).clip(0, N_FRAMES):
            gates[start:stop, column] = 1.0
    return gates


MAKERS: dict[str, Callable[[np.random.Generator, int, Recipe], np.ndarray]] = {
    "sparse": sparse_events,
    "bursty": bursty,
    "envelope": envelope,
}
