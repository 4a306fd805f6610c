"""How would every feature score if its stimulus were turned against the response? One listener's ring of shifts.

A rotation leaves the circular Gram matrix as it is and moves the cross-covariance by a
window, so one inverse transform per feature, channel and trial serves all rotations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from brainalign.core.design import Design
from brainalign.core.hashing import array_digest, digest
from brainalign.encoding.backend import Array, Backend
from brainalign.encoding.folds import assign_folds, by_fold
from brainalign.encoding.lookup import Layout, Lookup, ring_layout
from brainalign.encoding.memory import Compute, blocks
from brainalign.encoding.moments import fold_onto_ring, prepare_responses
from brainalign.encoding.nest import FoldMoments, Nest, build_nest, nest_bytes
from brainalign.encoding.scoring import PenaltyPer, Workspace, columns_at_once, on_device, pick
from brainalign.encoding.segments import ring_columns, ring_moments

_FEATURES = 16
_CHANNELS_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Ring(Lookup):
    """One listener's responses on the ring: a surrogate is a shift of each trial's stimulus.

    Attributes
    ----------
    layout
        How the model looks at the trials.
    spectra
        Per trial, the response's transform on the device, ``(n_channels, n_frequencies)``.
    n_fft
        Per trial, the transform's length.
    sums
        Sum of the response per fold and channel, ``(n_folds, n_channels)``: no rotation changes it.
    inverse_spread
        ``1 / sqrt(Syy)`` per fold and channel (0 for a constant one).
    """

    layout: Layout
    spectra: tuple[Array, ...]
    n_fft: tuple[int, ...]
    sums: np.ndarray
    inverse_spread: np.ndarray
    moving = False

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.sums)

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.sums.shape[1]

    @property
    def frames(self) -> int:
        """Frames of all trials, as transformed."""
        return sum(self.n_fft)

    @property
    def fixed_bytes(self) -> int:
        """Memory of the transformed responses."""
        return 2 * self.frames * self.n_channels * self.layout.itemsize

    @property
    def working_bytes(self) -> int:
        """Memory of one feature's correlations and one trial's transforms."""
        return (self.frames + 4 * max(self.n_fft)) * self.n_channels * self.layout.itemsize

    def products(self, columns: list[np.ndarray]) -> list[Array]:
        """Return one feature's circular cross-correlation with the response at every shift, per trial."""
        return ring_products(self, columns)

    def index(self, draws: np.ndarray, trial: int) -> np.ndarray:
        """Return the window of shifts that each rotation needs, ``(n_lags, n_rotations)``."""
        return (draws[None, :, trial] + self.layout.lags[:, None]) % self.layout.n_frames[trial]

    def levels(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return sums and inverse spread, the same under every rotation."""
        shape = (self.n_folds, len(draws), self.n_channels)
        return np.broadcast_to(self.sums[:, None], shape), np.broadcast_to(self.inverse_spread[:, None], shape)

    def only(self, channels: np.ndarray) -> Ring:
        """Return the ring of some channels."""
        return replace(
            self,
            spectra=tuple(spectrum[channels] for spectrum in self.spectra),
            sums=self.sums[:, channels],
            inverse_spread=self.inverse_spread[:, channels],
        )


def make_ring(
    design: Design, *, n_folds: int, dtype: type, basis: str | np.ndarray | None = None, device: str | None = None
) -> Ring:
    """Prepare one listener's responses once for all features."""
    folds = assign_folds([trial.name for trial in design.trials], n_folds)
    layout = ring_layout(design, folds, dtype=dtype, basis=basis, device=device)
    responses = prepare_responses(design, dtype=dtype)
    # An unusable frame is one at which the response is at its mean: it counts, unlike between silences.
    sums, n = by_fold(responses.sums, folds), by_fold(np.array(responses.n_frames, dtype=float), folds)
    return Ring(
        layout=layout,
        spectra=tuple(layout.backend.put(np.ascontiguousarray(spectrum.T)) for spectrum in responses.spectra),
        n_fft=responses.n_fft,
        sums=sums,
        inverse_spread=inverse_spread(by_fold(responses.squares, folds), sums, n=n[:, None]),
    )


def inverse_spread(squares: np.ndarray, sums: np.ndarray, *, n: np.ndarray) -> np.ndarray:
    """Return ``1 / sqrt(sum y^2 - (sum y)^2 / n)``, 0 for a constant response."""
    spread = np.sqrt(np.clip(squares - sums**2 / n, 0, None))
    return np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)


def ring_nest(layout: Layout, columns: list[np.ndarray], penalties: np.ndarray) -> Nest:
    """Decompose the training sets of a block of features (NumPy arrays, whatever the device)."""
    parts = zip(*(ring_moments(x, len(layout.lags)) for x in columns), strict=True)
    sxx, sx = (np.swapaxes(by_fold(np.array(part), layout.folds), 0, 1) for part in parts)
    if layout.basis is not None:
        sxx, sx = layout.basis.T @ sxx @ layout.basis, sx @ layout.basis
    n = by_fold(np.array(layout.n_frames, dtype=float), layout.folds)
    return build_nest(FoldMoments(n, sx, sxx), penalties, halves=layout.halves, dtype=layout.dtype)


def ring_products(ring: Ring, columns: list[np.ndarray]) -> list[Array]:
    """Return one feature's circular cross-correlation with the response at every shift, ``(n_frames, n_channels)``."""
    b, products = ring.layout.backend, []
    for x, spectrum, n_fft, n in zip(columns, ring.spectra, ring.n_fft, ring.layout.n_frames, strict=True):
        turned = b.rfft(b.put(x.astype(ring.layout.dtype)), n=n_fft).conj()
        products.append(fold_onto_ring(_turned_back(turned, spectrum, n_fft, b), n))
    return products


def _turned_back(turned: Array, spectrum: Array, n_fft: int, backend: Backend) -> Array:
    """Return the inverse transforms of ``turned * spectrum``, ``(n_fft, n_channels)``, a few channels at a time."""
    n_channels = len(spectrum)
    out = backend.empty((n_fft, n_channels), np.float32 if spectrum.itemsize == 8 else np.float64)
    for start in range(0, n_channels, _CHANNELS_AT_ONCE):
        stop = start + _CHANNELS_AT_ONCE
        # Products in rows of channels, transforms down columns: the order that memory likes best.
        out[:, start:stop] = backend.irfft((turned * spectrum[start:stop]).T, n=n_fft)
    return out


class Turner:
    """Scores surrogates of one feature, portion by portion, through buffers used again and again."""

    def __init__(self, lookup: Lookup, n_penalties: int) -> None:
        """Set the buffers up for a listener."""
        self.lookup = lookup
        self.rotations = max(1, columns_at_once(lookup.layout.halves, lookup.n_channels) // lookup.n_channels)
        self._make(self.rotations * lookup.n_channels, n_penalties)

    def _make(self, n_columns: int, n_penalties: int) -> None:
        lookup, layout = self.lookup, self.lookup.layout
        b, dtype = layout.backend, layout.dtype
        shape = (lookup.n_folds, 1, n_penalties, n_columns)
        self.space = Workspace(b, halves=layout.halves, shape=shape, dtype=dtype)
        window = (len(layout.lags), self.rotations, lookup.n_channels)
        self._window, self._sum = b.empty(window, dtype), b.empty(window, dtype)
        self._model = b.empty((layout.halves.n_lags, n_columns), dtype)
        self._basis = None if layout.basis is None else b.put(np.ascontiguousarray(layout.basis.T, dtype=dtype))
        self.space.raw[...] = 0
        if not lookup.moving:
            self._level(np.zeros((self.rotations, len(layout.n_frames)), dtype=int))

    def scores(
        self, nest: Nest, products: list[Array], draws: np.ndarray, *, per: PenaltyPer = "channel"
    ) -> np.ndarray:
        """Return held-out r averaged over folds, ``(n_draws, n_channels)``.

        Parameters
        ----------
        nest
            Of this feature, on the listener's device.
        products
            The feature's tables, from `Lookup.products`.
        draws
            A number per surrogate and trial, ``(n_draws, n_trials)``: for a ring, frames.
        per
            Who shares a penalty.
        """
        lookup = self.lookup
        out: np.ndarray = np.empty((len(draws), lookup.n_channels), dtype=lookup.layout.dtype)
        for start in range(0, len(draws), self.rotations):
            portion = draws[start : start + self.rotations]
            self._gather(products, portion)
            scores = self.space.run(nest, self._inverse_spread)
            r, _ = pick(scores, lookup.layout.backend, per=per, n_channels=lookup.n_channels)
            mean = lookup.layout.backend.get(r[:, 0].mean(0)).reshape(self.rotations, -1)
            out[start : start + len(portion)] = mean[: len(portion)]
        return out

    def _gather(self, products: list[Array], draws: np.ndarray) -> None:
        """Put each surrogate's cross-covariance into the workspace (a short portion repeats its last)."""
        lookup, b = self.lookup, self.lookup.layout.backend
        draws = draws[np.minimum(np.arange(self.rotations), len(draws) - 1)]
        for fold in range(lookup.n_folds):
            for number, k in enumerate(np.flatnonzero(lookup.layout.folds == fold)):
                b.take(products[k], lookup.index(draws, int(k)), self._window if number else self._sum)
                if number:
                    b.add(self._sum, self._window, out=self._sum)
            self._split(self._sum.reshape(len(lookup.layout.lags), -1), self.space.raw[fold, 0])
        if lookup.moving:
            self._level(draws)

    def _level(self, draws: np.ndarray) -> None:
        """Put the response's sums beside its cross-covariances, and its spread where the workspace is told of it."""
        b, dtype = self.lookup.layout.backend, self.lookup.layout.dtype
        sums, spread = self.lookup.levels(draws)
        self.space.raw[:, 0, :, -1] = b.put(sums.reshape(len(sums), -1).astype(dtype))[:, None]
        self._inverse_spread = b.put(spread.reshape(len(spread), -1).astype(dtype))

    def _split(self, window: Array, raw: Array) -> None:
        b, halves = self.lookup.layout.backend, self.lookup.layout.halves
        h = halves.height
        if self._basis is not None:
            window = b.matmul(self._basis, window, out=self._model)
        if halves.n_parts == 1:
            raw[0, :h] = window
            return
        first, mirrored = window[:h], _turned(window[-h:], b)
        b.add(first, mirrored, out=raw[0, :h])
        b.subtract(first, mirrored, out=raw[1, :h])


def _turned(array: Array, backend: Backend) -> Array:
    return array[::-1] if backend.name == "numpy" else array.flip(0)


@dataclass(frozen=True, eq=False)
class Turn:
    """Listeners whose stimuli are turned, or put beside other responses, feature by feature.

    Attributes
    ----------
    stimuli
        Per listener, the number of the first listener with the same trials, folds and lags.
    designs, lookups, draws
        Per listener.
    grid, per
        Penalties and who shares one.
    stop
        Exceedances after which a channel is left, or None.
    """

    stimuli: tuple[int, ...]
    designs: tuple[Design, ...]
    lookups: tuple[Lookup, ...]
    draws: tuple[np.ndarray, ...]
    grid: np.ndarray
    per: PenaltyPer
    stop: int | None

    def plan(self, compute: Compute) -> tuple[list[tuple[int, int]], int]:
        """Return blocks of features and how many to work on at once, within the budget."""
        largest = max(self.lookups, key=lambda item: item.frames)
        size, layout = largest.layout.itemsize, largest.layout
        results = sum(len(draws) for draws in self.draws) * largest.n_channels * size
        nest = nest_bytes(layout.halves, largest.n_folds, len(self.grid))
        nests = len(set(self.stimuli)) * (nest + 3 * 8 * largest.frames)
        # One feature's tables and the portion's buffers, whatever the block.
        working = largest.working_bytes + len(self.lookups) * 20_000_000
        fixed = sum(item.fixed_bytes for item in self.lookups)
        per_block = compute.block_size(nests + results, fixed=fixed + working, most=_FEATURES)
        return blocks(self.designs[0].n_features, per_block), compute.workers(
            working + per_block * (nests + results), fixed=fixed
        )

    def block(self, span: tuple[int, int]) -> Iterator[list[np.ndarray]]:
        """Yield every listener's scores, feature by feature."""
        columns = {i: ring_columns(self.designs[i], *span) for i in set(self.stimuli)}
        nests = {i: ring_nest(self.lookups[i].layout, columns[i], self.grid) for i in columns}
        turners = [Turner(lookup, len(self.grid)) for lookup in self.lookups]
        for f in range(span[1] - span[0]):
            here = {i: on_device(nests[i], self.lookups[i].layout.backend, f) for i in nests}
            yield [
                self._one(turner, here[i], [x[:, f] for x in columns[i]], draws)
                for turner, i, draws in zip(turners, self.stimuli, self.draws, strict=True)
            ]

    def _one(self, turner: Turner, nest: Nest, columns: list[np.ndarray], draws: np.ndarray) -> np.ndarray:
        products = turner.lookup.products(columns)
        if self.stop is None:
            return turner.scores(nest, products, draws, per=self.per)
        return stopped_scores(turner, nest, products, draws, per=self.per, stop=self.stop)


def same_stimuli(designs: Sequence[Design]) -> tuple[int, ...]:
    """Return, per listener, the number of the first one with the same stimuli in the same trials."""
    seen: dict[str, int] = {}
    if len(designs) == 1:
        return (0,)
    return tuple(seen.setdefault(_content(design), number) for number, design in enumerate(designs))


def _content(design: Design) -> str:
    content: list[Any] = [design.lags.to_json()]
    for trial in design.trials:
        values = trial.x.values
        arrays = [values] if isinstance(values, np.ndarray) else [values.data, values.indices, values.indptr]
        content.append([trial.name, *map(array_digest, arrays)])
    return digest(content)


def stopped_scores(
    turner: Turner, nest: Nest, products: list[Array], draws: np.ndarray, *, per: PenaltyPer, stop: int
) -> np.ndarray:
    """Score surrogates in rounds, leaving channels whose score was reached ``stop`` times (NaN from then on)."""
    lookup = turner.lookup
    out: np.ndarray = np.full((len(draws), lookup.n_channels), np.nan, dtype=lookup.layout.dtype)
    alive, start, stop_at = np.arange(lookup.n_channels), 0, 1 + 4 * stop
    reached = np.zeros(lookup.n_channels, dtype=int)
    while start < len(draws) and len(alive):
        part = turner.scores(nest, products, draws[start:stop_at], per=per)
        out[start:stop_at, alive] = part
        reached[alive] += (part[1 if start == 0 else 0 :] >= out[0, alive]).sum(axis=0)
        start, stop_at = stop_at, stop_at + (stop_at - start)
        hopeful = np.flatnonzero(reached[alive] < stop)
        # Channels that choose a penalty together stay together.
        if len(hopeful) == len(alive) or (per == "feature" and len(hopeful)):
            continue
        alive = alive[hopeful]
        if len(alive):
            products = [product[:, hopeful] for product in products]
            turner = Turner(turner.lookup.only(hopeful), len(nest.penalties))
    return out
