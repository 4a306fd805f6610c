"""What is measured, and on what? Sizes of the problem, and made-up data that stand on disk for every process alike."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from brainalign.core.design import Design, Trial
from brainalign.core.seeds import generator
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory

RATE = 64
FIRST_LAG = -6
_MEMORY = 64
_DRIVING = 4


@dataclass(frozen=True)
class Size:
    """How large the problem is, and what part of it slow peers are given.

    Attributes
    ----------
    seconds, n_trials, n_channels, n_lags, n_penalties
        Of every task.
    n_joint, n_single, n_rotated, n_rotations, n_whole, n_slice
        Features: of the joint model, of the block of single ones, rotated in full, rotations of each, features of a
        layer, and the slice of them that is run where the layer is extrapolated.
    sklearn_penalties, mne_folds, himalaya_frames, boosting_channels, boosting_frames
        What slow peers really do: penalties, fits, frames of each trial, channels.
    n_scaled
        Features whose maps, and whose rotations, are shared among workers.
    growth
        Features, channels, rotations and seconds from which the cost is doubled twice.
    repeats
        Runs of what is short; the fastest counts.
    judged
        Whether claims about times and memory are judged at this size.
    """

    seconds: int = 3600
    n_trials: int = 5
    n_channels: int = 64
    n_lags: int = 40
    n_penalties: int = 10
    n_joint: int = 16
    n_single: int = 64
    n_rotated: int = 8
    n_rotations: int = 1000
    n_whole: int = 6144
    n_slice: int = 64
    sklearn_penalties: int = 2
    mne_folds: int = 2
    himalaya_frames: int = 1536
    boosting_channels: int = 1
    boosting_frames: int = 9216
    n_scaled: tuple[int, int] = (1024, 128)
    growth: tuple[int, int, int, int] = (8, 16, 250, 900)
    repeats: int = 3
    judged: bool = True

    @property
    def lags(self) -> Lags:
        """The lag window."""
        return Lags(FIRST_LAG, FIRST_LAG + self.n_lags - 1, RATE)

    @property
    def frames(self) -> int:
        """Frames per trial, all trials being equally long (MNE's epochs must be)."""
        return self.seconds * RATE // self.n_trials

    @property
    def penalties(self) -> np.ndarray:
        """Candidates: sums of squares, as scikit-learn's ``alpha``, from weak to strong for this much data."""
        return np.geomspace(1e-4, 3e0, self.n_penalties) * self.frames * (self.n_trials - 1)

    @property
    def relative(self) -> np.ndarray:
        """Candidates of the same strength in the package's own unit."""
        return np.geomspace(1e-4, 3e0, self.n_penalties)


FULL = Size()
QUICK = Size(
    seconds=150, n_channels=8, n_lags=16, n_penalties=4, n_joint=4, n_single=8, n_rotated=2, n_rotations=60, n_whole=64,
    n_slice=16, himalaya_frames=300, boosting_frames=960, n_scaled=(128, 32), growth=(2, 4, 20, 30), repeats=1,
    judged=False,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Data:
    """Trials as they stand on disk.

    Attributes
    ----------
    x
        Per trial, features ``(n_frames, n_features)``, float32, dense or CSR.
    y
        Per trial, responses ``(n_frames, n_channels)``, float64.
    lags
        The lag window.
    """

    x: tuple[np.ndarray | sparse.csr_array, ...]
    y: tuple[np.ndarray, ...]
    lags: Lags

    def design(self) -> Design:
        """Return the trials as the package takes them (nothing is copied)."""
        names = tuple(f"f{i}" for i in range(self.x[0].shape[1]))
        trials = [
            Trial(f"story-{k}", Trajectory(x, TimeAxis(RATE, len(y)), names), y, np.ones(len(y), dtype=bool))
            for k, (x, y) in enumerate(zip(self.x, self.y, strict=True))
        ]
        n_channels = self.y[0].shape[1]
        channels = tuple(f"ch{i}" for i in range(n_channels))
        return Design(tuple(trials), self.lags, channels, np.zeros((n_channels, 3)))

    def shifts(self, n_rotations: int) -> np.ndarray:
        """Draw rotations; row 0 is the data."""
        rng, distance = generator(1, "benchmark shifts"), self.lags.n + _MEMORY
        drawn = [rng.integers(distance, len(y) - distance, size=1 + n_rotations) for y in self.y]
        shifts = np.stack(drawn, axis=1)
        shifts[0] = 0
        return shifts


def trial_lengths(size: Size, *, uneven: bool) -> list[int]:
    """Return frames per trial: all the same, or 12 trials of awkward lengths and as many frames in all."""
    if not uneven:
        return [size.frames] * size.n_trials
    total = size.frames * size.n_trials
    cuts = np.round(total * np.cumsum(np.linspace(0.8, 1.2, 12)) / 12).astype(int)
    return np.diff([0, *cuts[:-1], total]).tolist()


def write_data(
    folder: Path, size: Size, *, n_features: int, density: float | None = None, uneven: bool = False
) -> Path:
    """Make data and write them; return their folder.

    Responses are noise with a spectrum like the EEG's; one feature in eight drives a quarter of the channels, weakly.

    Parameters
    ----------
    folder
        Where the data's own folder stands.
    size
        Of the problem.
    n_features
        Number of features.
    density
        Share of non-zeros of sparse features; None for dense ones.
    uneven
        Whether there are 12 trials of uneven lengths.
    """
    name = f"{n_features}-{density}-{uneven}-{size.seconds}-{size.n_channels}"
    place = folder / name
    if place.exists():
        return place
    place.mkdir(parents=True)
    rng, lengths = generator(0, "benchmark data"), trial_lengths(size, uneven=uneven)
    x = _dense(rng, sum(lengths), n_features) if density is None else _sparse(rng, sum(lengths), n_features, density)
    driving = np.arange(0, n_features, 8)[:_DRIVING]
    heard = x[:, driving].toarray() if sparse.issparse(x) else x[:, driving]
    np.save(place / "y.npy", _responses(rng, heard, size.n_channels))
    if sparse.issparse(x):
        for part in ("data", "indices", "indptr"):
            np.save(place / f"x-{part}.npy", getattr(x, part))
    else:
        np.save(place / "x.npy", x)
    meta = {"lengths": lengths, "lags": [size.lags.first, size.lags.last], "n_features": n_features}
    (place / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    return place


def _dense(rng: np.random.Generator, n: int, n_features: int) -> np.ndarray:
    window = np.hanning(7)[1:-1]
    x: np.ndarray = np.empty((n, n_features), dtype=np.float32)
    for f in range(n_features):
        x[:, f] = np.convolve(rng.standard_normal(n), window / np.linalg.norm(window), mode="same")
    return x


def _sparse(rng: np.random.Generator, n: int, n_features: int, density: float) -> sparse.csr_array:
    count = rng.poisson(density * n * n_features)
    place = np.unique(rng.integers(0, n * n_features, size=count))
    values = (0.5 + rng.exponential(size=len(place))).astype(np.float32)
    return sparse.csr_array((values, (place // n_features, place % n_features)), shape=(n, n_features))


def _responses(rng: np.random.Generator, heard: np.ndarray, n_channels: int) -> np.ndarray:
    from scipy import signal

    kernel = np.concatenate([np.zeros(4), np.hanning(14), -0.5 * np.hanning(12)])
    reached = max(1, n_channels // 4)
    heard = (heard - heard.mean(axis=0)) / heard.std(axis=0)
    driven = signal.lfilter(kernel / np.linalg.norm(kernel), [1], heard, axis=0)
    y: np.ndarray = np.empty((len(heard), n_channels))
    for c in range(n_channels):
        noise = signal.lfilter([1], [1, -0.9], rng.standard_normal(len(heard)))
        y[:, c] = 3 + noise / noise.std()
        if c < reached:
            y[:, c] += 0.25 * driven @ rng.uniform(0.5, 1, heard.shape[1])
    return y


def read_data(
    place: Path, *, n_features: int | None = None, n_channels: int | None = None, n_frames: int | None = None
) -> Data:
    """Read data back, or the first features, channels and frames of each trial.

    Parameters
    ----------
    place
        The data's folder.
    n_features, n_channels, n_frames
        How many; None for all.
    """
    meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
    stops = np.cumsum(meta["lengths"])
    spans = [(stop - n, stop - n + min(n, n_frames or n)) for n, stop in zip(meta["lengths"], stops, strict=True)]
    y = np.load(place / "y.npy", mmap_mode="r")
    own = tuple(np.array(y[start:stop, :n_channels], dtype=np.float64) for start, stop in spans)
    lags = Lags(*meta["lags"], RATE)
    if (place / "x.npy").exists():
        x = np.load(place / "x.npy", mmap_mode="r")
        return Data(tuple(np.array(x[start:stop, :n_features]) for start, stop in spans), own, lags)
    parts = tuple(np.load(place / f"x-{part}.npy") for part in ("data", "indices", "indptr"))
    whole = sparse.csr_array(parts, shape=(sum(meta["lengths"]), meta["n_features"]))
    if n_features is not None and n_features < meta["n_features"]:
        whole = sparse.csr_array(whole[:, :n_features])
    return Data(tuple(whole[start:stop] for start, stop in spans), own, lags)
