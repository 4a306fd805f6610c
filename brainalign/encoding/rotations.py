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
from brainalign.encoding.backend import Array, Backend, get_backend
from brainalign.encoding.basis import is_mirrored, lag_basis
from brainalign.encoding.folds import assign_folds, by_fold
from brainalign.encoding.memory import Compute, blocks
from brainalign.encoding.moments import fold_onto_ring, prepare_responses
from brainalign.encoding.nest import FoldMoments, Halves, Nest, build_nest, nest_bytes
from brainalign.encoding.scoring import PenaltyPer, Workspace, columns_at_once, on_device, pick
from brainalign.encoding.segments import ring_columns, ring_moments

_FEATURES = 16
_CHANNELS_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Ring:
    """One listener's responses on the ring, and how the lagged model looks at them.

    Attributes
    ----------
    lags, folds, n_frames
        Lag numbers, the fold and the frames of each trial.
    spectra
        Per trial, the response's transform on the device, ``(n_channels, n_frequencies)``.
    n_fft
        Per trial, the transform's length.
    sums
        Sum of the response per fold and channel, ``(n_folds, n_channels)``.
    inverse_spread
        ``1 / sqrt(Syy)`` per fold and channel (0 for a constant one).
    basis, halves
        The lag basis or None, and whether even and odd halves part.
    backend, dtype
        Where, and how precisely.
    """

    lags: np.ndarray
    folds: np.ndarray
    n_frames: tuple[int, ...]
    spectra: tuple[Array, ...]
    n_fft: tuple[int, ...]
    sums: np.ndarray
    inverse_spread: np.ndarray
    basis: np.ndarray | None
    halves: Halves
    backend: Backend
    dtype: type

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.sums)

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.sums.shape[1]

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
    backend = get_backend(device)
    folds = assign_folds([trial.name for trial in design.trials], n_folds)
    responses = prepare_responses(design, dtype=dtype)
    # An unusable frame is one at which the response is at its mean: it counts, unlike between silences.
    sums, n = by_fold(responses.sums, folds), by_fold(np.array(responses.n_frames, dtype=float), folds)
    spread = np.sqrt(np.clip(by_fold(responses.squares, folds) - sums**2 / n[:, None], 0, None))
    matrix = lag_basis(basis, design.lags)
    n_unknowns = design.lags.n if matrix is None else matrix.shape[1]
    return Ring(
        lags=design.lags.samples,
        folds=folds,
        n_frames=responses.n_frames,
        spectra=tuple(backend.put(np.ascontiguousarray(spectrum.T)) for spectrum in responses.spectra),
        n_fft=responses.n_fft,
        sums=sums,
        inverse_spread=np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0),
        basis=matrix,
        halves=Halves(n_unknowns, 2 if is_mirrored(matrix) else 1),
        backend=backend,
        dtype=dtype,
    )


def ring_nest(ring: Ring, columns: list[np.ndarray], penalties: np.ndarray) -> Nest:
    """Decompose the training sets of a block of features (NumPy arrays, whatever the device)."""
    parts = zip(*(ring_moments(x, len(ring.lags)) for x in columns), strict=True)
    sxx, sx = (np.swapaxes(by_fold(np.array(part), ring.folds), 0, 1) for part in parts)
    if ring.basis is not None:
        sxx, sx = ring.basis.T @ sxx @ ring.basis, sx @ ring.basis
    n = by_fold(np.array(ring.n_frames, dtype=float), ring.folds)
    return build_nest(FoldMoments(n, sx, sxx), penalties, halves=ring.halves, dtype=ring.dtype)


def ring_products(ring: Ring, columns: list[np.ndarray]) -> list[Array]:
    """Return one feature's circular cross-correlation with the response at every shift, ``(n_frames, n_channels)``."""
    b, products = ring.backend, []
    for x, spectrum, n_fft, n in zip(columns, ring.spectra, ring.n_fft, ring.n_frames, strict=True):
        turned = b.rfft(b.put(x.astype(ring.dtype)), n=n_fft).conj()
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
    """Scores rotations of one feature, portion by portion, through buffers used again and again."""

    def __init__(self, ring: Ring, n_penalties: int) -> None:
        """Set the buffers up for a ring."""
        self.ring = ring
        self.rotations = max(1, columns_at_once(ring.halves, ring.n_channels) // ring.n_channels)
        n_columns = self.rotations * ring.n_channels
        self._make(n_columns, n_penalties)

    def _make(self, n_columns: int, n_penalties: int) -> None:
        ring, b = self.ring, self.ring.backend
        n_rotations = n_columns // ring.n_channels
        self.space = Workspace(b, halves=ring.halves, shape=(ring.n_folds, 1, n_penalties, n_columns), dtype=ring.dtype)
        window = (len(ring.lags), n_rotations, ring.n_channels)
        self._window, self._sum = b.empty(window, ring.dtype), b.empty(window, ring.dtype)
        self._model = b.empty((ring.halves.n_lags, n_columns), ring.dtype)
        self._basis = None if ring.basis is None else b.put(np.ascontiguousarray(ring.basis.T, dtype=ring.dtype))
        tiled: np.ndarray = np.tile(ring.inverse_spread.astype(ring.dtype), (1, n_rotations))
        self._inverse_spread = b.put(tiled)
        self.space.raw[...] = 0
        sums: np.ndarray = np.tile(ring.sums.astype(ring.dtype), (1, n_rotations))
        self.space.raw[:, 0, :, -1] = b.put(sums)[:, None]

    def scores(
        self, nest: Nest, products: list[Array], shifts: np.ndarray, *, per: PenaltyPer = "channel"
    ) -> np.ndarray:
        """Return held-out r averaged over folds, ``(n_rotations, n_channels)``.

        Parameters
        ----------
        nest
            Of this feature, on the ring's device.
        products
            From `ring_products`.
        shifts
            Frames per rotation and trial, ``(n_rotations, n_trials)``.
        per
            Who shares a penalty.
        """
        out: np.ndarray = np.empty((len(shifts), self.ring.n_channels), dtype=self.ring.dtype)
        for start in range(0, len(shifts), self.rotations):
            portion = shifts[start : start + self.rotations]
            self._gather(products, portion)
            scores = self.space.run(nest, self._inverse_spread)
            r, _ = pick(scores, self.ring.backend, per=per, n_channels=self.ring.n_channels)
            mean = self.ring.backend.get(r[:, 0].mean(0)).reshape(self.rotations, -1)
            out[start : start + len(portion)] = mean[: len(portion)]
        return out

    def _gather(self, products: list[Array], shifts: np.ndarray) -> None:
        """Put each rotation's window of the cross-correlation into the workspace (a short portion repeats its last)."""
        ring, b = self.ring, self.ring.backend
        shifts = shifts[np.minimum(np.arange(self.rotations), len(shifts) - 1)]
        for fold in range(ring.n_folds):
            for number, k in enumerate(np.flatnonzero(ring.folds == fold)):
                at = (shifts[None, :, k] + ring.lags[:, None]) % ring.n_frames[k]
                b.take(products[k], at, self._window if number else self._sum)
                if number:
                    b.add(self._sum, self._window, out=self._sum)
            self._split(self._sum.reshape(len(ring.lags), -1), self.space.raw[fold, 0])

    def _split(self, window: Array, raw: Array) -> None:
        b, h = self.ring.backend, self.ring.halves.height
        if self._basis is not None:
            window = b.matmul(self._basis, window, out=self._model)
        if self.ring.halves.n_parts == 1:
            raw[0, :h] = window
            return
        first, mirrored = window[:h], _turned(window[-h:], b)
        b.add(first, mirrored, out=raw[0, :h])
        b.subtract(first, mirrored, out=raw[1, :h])


def _turned(array: Array, backend: Backend) -> Array:
    return array[::-1] if backend.name == "numpy" else array.flip(0)


@dataclass(frozen=True, eq=False)
class Turn:
    """Listeners whose stimuli are turned, feature by feature.

    Attributes
    ----------
    stimuli
        Per listener, the number of the first listener with the same trials, folds and lags.
    designs, rings, shifts
        Per listener.
    grid, per
        Penalties and who shares one.
    stop
        Exceedances after which a channel is left, or None.
    """

    stimuli: tuple[int, ...]
    designs: tuple[Design, ...]
    rings: tuple[Ring, ...]
    shifts: tuple[np.ndarray, ...]
    grid: np.ndarray
    per: PenaltyPer
    stop: int | None

    def plan(self, compute: Compute) -> tuple[list[tuple[int, int]], int]:
        """Return blocks of features and how many to work on at once, within the budget."""
        ring, size = max(self.rings, key=lambda item: sum(item.n_fft)), np.dtype(self.rings[0].dtype).itemsize
        frames, channels = sum(ring.n_fft), ring.n_channels
        results = sum(rotations.shape[0] for rotations in self.shifts) * channels * size
        nests = len(set(self.stimuli)) * (nest_bytes(ring.halves, ring.n_folds, len(self.grid)) + 3 * 8 * frames)
        # One feature's correlations, one trial's transforms, and the portion's buffers, whatever the block.
        working = frames * channels * size + 4 * max(ring.n_fft) * channels * size + len(self.rings) * 20_000_000
        fixed = sum(2 * sum(item.n_fft) * item.n_channels * size for item in self.rings)
        per_block = compute.block_size(nests + results, fixed=fixed + working, most=_FEATURES)
        return blocks(self.designs[0].n_features, per_block), compute.workers(
            working + per_block * (nests + results), fixed=fixed
        )

    def block(self, span: tuple[int, int]) -> Iterator[list[np.ndarray]]:
        """Yield every listener's scores, feature by feature."""
        columns = {i: ring_columns(self.designs[i], *span) for i in set(self.stimuli)}
        nests = {i: ring_nest(self.rings[i], columns[i], self.grid) for i in columns}
        turners = [Turner(ring, len(self.grid)) for ring in self.rings]
        for f in range(span[1] - span[0]):
            here = {i: on_device(nests[i], self.rings[i].backend, f) for i in nests}
            yield [
                self._one(turner, here[i], [x[:, f] for x in columns[i]], shifts)
                for turner, i, shifts in zip(turners, self.stimuli, self.shifts, strict=True)
            ]

    def _one(self, turner: Turner, nest: Nest, columns: list[np.ndarray], shifts: np.ndarray) -> np.ndarray:
        products = ring_products(turner.ring, columns)
        if self.stop is None:
            return turner.scores(nest, products, shifts, per=self.per)
        return stopped_scores(turner, nest, products, shifts, per=self.per, stop=self.stop)


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
    turner: Turner, nest: Nest, products: list[Array], shifts: np.ndarray, *, per: PenaltyPer, stop: int
) -> np.ndarray:
    """Score rotations in rounds, leaving channels whose score was reached ``stop`` times (NaN from then on)."""
    ring = turner.ring
    out: np.ndarray = np.full((len(shifts), ring.n_channels), np.nan, dtype=ring.dtype)
    alive, start, stop_at = np.arange(ring.n_channels), 0, 1 + 4 * stop
    reached = np.zeros(ring.n_channels, dtype=int)
    while start < len(shifts) and len(alive):
        part = turner.scores(nest, products, shifts[start:stop_at], per=per)
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
            turner = Turner(turner.ring.only(hopeful), len(nest.penalties))
    return out
