"""How would every feature score beside another story's response? Whole stories paired anew.

The stimuli stay where they are, and so do all Gram matrices, eigendecompositions and
penalties' gains. With K trials of one length, K x K windows of cross-covariance per
feature serve every pairing: a surrogate picks K of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.time import Lags
from brainalign.encoding.backend import Array
from brainalign.encoding.folds import assign_folds, by_fold
from brainalign.encoding.lookup import Layout, Lookup, ring_layout
from brainalign.encoding.massunivariate import PENALTIES, LagModel, penalty_grid, require_long_trials
from brainalign.encoding.memory import Compute, each
from brainalign.encoding.moments import standardised
from brainalign.encoding.rotations import Turn, inverse_spread, same_stimuli
from brainalign.encoding.segments import Cut, feature_segments, lag_products, response_segments

_CHUNK_BYTES = 32_000_000


def paired_scores(
    design: Design,
    pairings: np.ndarray,
    *,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    dtype: type = np.float32,
    model: LagModel | None = None,
    compute: Compute | None = None,
    stop_hopeless: int | None = None,
) -> Iterator[np.ndarray]:
    """Yield, feature by feature, the scores under every pairing of stimuli with responses.

    Parameters
    ----------
    design
        Trials apart. All are cut to the length of the shortest (see `cut_to_one_length`).
    pairings
        The trial whose response stands beside each trial's stimulus, shape ``(n_pairings, n_trials)``;
        each row a permutation. The row ``0, 1, 2, ...`` is the data itself.
    penalties, n_folds, dtype, model, compute, stop_hopeless
        As in `brainalign.encoding.massunivariate.rotated_scores`. Folds are of stimuli; the
        penalty is chosen anew under every pairing.

    Yields
    ------
    numpy.ndarray
        Held-out r averaged over folds, shape ``(n_pairings, n_channels)``. Edges are
        circular, and an unusable frame of a response is one at which it is at its mean.
    """
    groups = paired_listeners(
        [design], [pairings], penalties=penalties, n_folds=n_folds, dtype=dtype, model=model, compute=compute,
        stop_hopeless=stop_hopeless,
    )  # fmt: skip
    for (scores,) in groups:
        yield scores


def paired_listeners(
    designs: Sequence[Design],
    pairings: Sequence[np.ndarray],
    *,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    dtype: type = np.float32,
    model: LagModel | None = None,
    compute: Compute | None = None,
    stop_hopeless: int | None = None,
) -> Iterator[list[np.ndarray]]:
    """Yield, feature by feature, every listener's scores under that listener's pairings.

    Listeners who heard the same trials in the same order share all that depends on the
    stimulus alone. Parameters as in `paired_scores`, with one design and one array of
    pairings per listener.
    """
    model, compute, grid = model or LagModel(), compute or Compute(), penalty_grid(penalties)
    cut = [cut_to_one_length(design) for design in designs]
    _require_pairable(cut, pairings, model=model, stop_hopeless=stop_hopeless)
    pairs = [make_pairs(d, n_folds=n_folds, dtype=dtype, basis=model.basis, device=compute.device) for d in cut]
    turn = Turn(
        stimuli=same_stimuli(cut),
        designs=tuple(cut),
        lookups=tuple(pairs),
        draws=tuple(pairings),
        grid=grid,
        per=model.penalty_per,
        stop=stop_hopeless,
    )
    spans, n_workers = turn.plan(compute)
    yield from each(turn.block, spans, n_workers=n_workers, prefer=compute.prefer)


def cut_to_one_length(design: Design) -> Design:
    """Return the design with every trial's end cut off at the length of the shortest.

    Parameters
    ----------
    design
        Trials apart; returned as it is where nothing is to cut.
    """
    n = min(trial.axis.n for trial in design.trials)
    if all(trial.axis.n == n for trial in design.trials):
        return design
    trials = tuple(Trial(t.name, t.x.frames(0, n), t.y[:n], t.mask[:n]) for t in design.trials)
    return replace(design, trials=trials, provenance=design.provenance.then("cut_to_one_length", n_frames=n))


@dataclass(frozen=True, eq=False)
class Pairs(Lookup):
    """One listener's responses: a surrogate says which trial's response stands beside which stimulus.

    Attributes
    ----------
    layout
        How the model looks at the trials.
    window
        The lag window.
    segments
        Spectra of all responses' stretches, on the device, ``(n_frequencies, n_segments, n_trials * n_channels)``.
    sums, squares
        Sums of each trial's response and of its square, ``(n_trials, n_channels)``.
    """

    layout: Layout
    window: Lags
    segments: Array
    sums: np.ndarray
    squares: np.ndarray
    moving = True

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.layout.folds.max()) + 1

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.sums.shape[1]

    @property
    def cut(self) -> Cut:
        """How the signals are cut for their transforms."""
        return Cut.for_lags(self.window.n)

    @property
    def frames(self) -> int:
        """Frames of all trials, as transformed."""
        return len(self.sums) * self.cut.count(self.layout.n_frames[0]) * self.cut.n_fft

    @property
    def fixed_bytes(self) -> int:
        """Memory of the transformed responses."""
        return 2 * self.frames * self.n_channels * self.layout.itemsize

    @property
    def working_bytes(self) -> int:
        """Memory of one feature's windows of cross-covariance and of a chunk of transforms."""
        windows = len(self.sums) ** 2 * self.window.n * self.n_channels * self.layout.itemsize
        return windows + 3 * max(_CHUNK_BYTES, self._bytes_per_response)

    @property
    def _bytes_per_response(self) -> int:
        return len(self.sums) * self.n_channels * (self.cut.n_fft + 2) * self.layout.itemsize

    def products(self, columns: list[np.ndarray]) -> list[Array]:
        """Return one feature's windows of cross-covariance with every response, per trial, lag after lag."""
        b, n_trials, n_lags = self.layout.backend, len(self.sums), self.window.n
        heads = feature_segments(np.stack(columns, axis=1).astype(self.layout.dtype), cut=self.cut, backend=b)
        out: np.ndarray = np.empty((n_trials, n_lags, n_trials, self.n_channels), dtype=self.layout.dtype)
        step = max(1, _CHUNK_BYTES // self._bytes_per_response)
        for start in range(0, n_trials, step):
            stop = min(start + step, n_trials)
            part = self.segments[:, :, start * self.n_channels : stop * self.n_channels]
            spectra = b.matmul(heads, part)
            windows = lag_products(spectra, cut=self.cut, n_lags=n_lags, backend=b)
            out[:, :, start:stop] = windows.reshape(n_trials, n_lags, stop - start, self.n_channels)
        return [b.put(table) for table in out.reshape(n_trials, n_lags * n_trials, self.n_channels)]

    def index(self, draws: np.ndarray, trial: int) -> np.ndarray:
        """Return the rows of a stimulus' windows with the response each pairing gives it, ``(n_lags, n_draws)``."""
        return np.arange(self.window.n)[:, None] * len(self.sums) + draws[None, :, trial]

    def levels(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return sums and inverse spread per fold of stimuli: they follow the responses."""
        sums, squares = (
            by_fold(np.swapaxes(part[draws], 0, 1), self.layout.folds) for part in (self.sums, self.squares)
        )
        n = by_fold(np.array(self.layout.n_frames, dtype=float), self.layout.folds)
        return sums, inverse_spread(squares, sums, n=n[:, None, None])

    def only(self, channels: np.ndarray) -> Pairs:
        """Return the pairs of some channels."""
        shape = (*self.segments.shape[:2], len(self.sums), self.n_channels)
        segments = self.segments.reshape(shape)[..., channels].reshape(*shape[:2], -1)
        return replace(self, segments=segments, sums=self.sums[:, channels], squares=self.squares[:, channels])


def make_pairs(
    design: Design, *, n_folds: int, dtype: type, basis: str | np.ndarray | None = None, device: str | None = None
) -> Pairs:
    """Prepare one listener's responses, all of one length, once for all features."""
    folds = assign_folds([trial.name for trial in design.trials], n_folds)
    layout = ring_layout(design, folds, dtype=dtype, basis=basis, device=device)
    y, _ = standardised(design.trials)
    beside: np.ndarray = np.concatenate(y, axis=1).astype(dtype)
    return Pairs(
        layout=layout,
        window=design.lags,
        segments=response_segments(
            beside, design.lags, cut=Cut.for_lags(design.lags.n), edges="circular", backend=layout.backend
        ),
        sums=np.array([item.sum(axis=0) for item in y]),
        squares=np.array([np.square(item).sum(axis=0) for item in y]),
    )


def _require_pairable(
    designs: Sequence[Design], pairings: Sequence[np.ndarray], *, model: LagModel, stop_hopeless: int | None
) -> None:
    for design, rows in zip(designs, pairings, strict=True):
        require_long_trials(design)
        identity = np.arange(len(design.trials))
        if rows.ndim != 2 or rows.shape[1] != len(identity):
            raise ShapeMismatch(
                "pairings must be pairings by trials",
                got=rows.shape,
                fix=f"name a response for each of {len(identity)} trials",
            )
        broken = np.flatnonzero((np.sort(rows, axis=1) != identity).any(axis=1))
        if len(broken):
            raise ValueProblem(
                "a pairing must use every response once",
                got=f"row {broken[0]}: {rows[broken[0], :6]} ...",
                fix=f"give permutations of 0 to {len(identity) - 1}",
            )
        if stop_hopeless is not None and (stop_hopeless < 1 or np.any(rows[0] != identity)):
            raise ValueProblem(
                "early stopping needs the data as its first pairing, and at least one exceedance",
                got=f"stop_hopeless={stop_hopeless}, first pairing {rows[0][:4]}",
                fix="put the row 0, 1, 2, ... first, and choose e.g. stop_hopeless=20",
            )
    if model.penalty_per == "all":
        raise ValueProblem(
            "pairings are scored feature by feature", got="penalty_per='all'", fix="use 'feature' or 'channel'"
        )
