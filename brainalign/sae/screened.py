"""Which features of a frame are active? Asked of a rough product first; the value of a candidate is computed alone.

A feature's pre-activation is one product of two vectors in float32, and its value if it exceeds
the threshold: that alone decides, so nothing depends on the rows beside it, to the last bit. The
rough product only says where to look. In bfloat16 its error is bounded (see
`brainalign.sae.screening`) and nothing is overlooked. In int8, four times as fast as float32
where the processor has the instructions, the bound would leave too many candidates; there
it is taken for noise, and `N_SIGMA` standard deviations of it are allowed for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from scipy import sparse

from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.sae.loss import Pattern, column_products
from brainalign.sae.screening import ROUNDING, margin, reaching, reused, rounded

if TYPE_CHECKING:
    from brainalign.sae.coder import SparseCoder


# Rounding to int8 is off by an even spread over one step, whose standard deviation is 1 / sqrt(12).
N_SIGMA = 8.0
_ALLOWED = N_SIGMA * 12.0**-0.5
# Rows of one rough product, which then is still in the cache when it is looked through.
LOOK_ROWS = 1024
# Frames are whole numbers from 1 to 255 about the middle, features from -127 to 127.
_LARGEST, _MIDDLE = 127, 128
# Frames with less than this share of the loudest one's range get a step of their own: finer groups cost more than the
# candidates that they save.
_QUIET = 1 / 4
_TINY = 1e-30


class Look(Protocol):
    """A rough product with all features, which says where a threshold may be exceeded."""

    def candidates(self, block: torch.Tensor) -> np.ndarray:
        """Return sorted flat indices into ``(n_rows, d_sae)`` for centred rows ``(n_rows, d_in)``."""
        ...


class Screened:
    """A coder with a threshold, ready to encode by looking roughly first.

    Parameters
    ----------
    coder
        One whose rule is a threshold.
    rough
        ``"bfloat16"`` or ``"int8"``.
    """

    def __init__(self, coder: SparseCoder, rough: str) -> None:
        if rough not in LOOKS:
            raise unknown_name(rough, among=("exact", *LOOKS), kind="screening")
        if coder.rule != "threshold":
            raise ValueProblem("screening needs a threshold", got=f"rule {coder.rule!r}", fix="use screening='exact'")
        self._table = torch.from_numpy(np.ascontiguousarray(coder.W_enc.T))
        self._bias, self._threshold = coder.b_enc, np.maximum(coder.threshold, 0)
        self._look = LOOKS[rough](self._table, self._threshold - self._bias)

    def encode(self, blocks: Iterable[np.ndarray]) -> sparse.csr_array:
        """Turn blocks of centred rows into features."""
        with warnings.catch_warnings(), torch.no_grad():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support", category=UserWarning)
            parts = [self._encode(torch.from_numpy(block)) for block in blocks]
        values = np.concatenate([np.zeros(0, np.float32), *(part[0] for part in parts)])
        columns = np.concatenate([np.zeros(0, np.int32), *(part[1] for part in parts)])
        counts = np.concatenate([np.zeros(1, np.int64), *(part[2] for part in parts)])
        pointers = np.cumsum(counts).astype(np.int32 if values.size < 1 << 31 else np.int64)
        return sparse.csr_array((values, columns, pointers), shape=(counts.size - 1, len(self._bias)))

    def _encode(self, block: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return values, columns and the number of features of each row."""
        pattern = Pattern.from_flat(self._look.candidates(block), shape=(len(block), len(self._bias)))
        rows, columns = pattern.rows.numpy(), pattern.columns.numpy()
        values = np.empty(len(rows), dtype=np.float32)
        values[pattern.by_column().numpy()] = column_products(pattern, block, self._table).numpy()
        values += self._bias[columns]
        kept = np.flatnonzero(values > self._threshold[columns])  # numbers are taken faster than by a mask
        return values[kept], columns[kept].astype(np.int32), np.bincount(rows[kept], minlength=len(block))


class LookBfloat16:
    """The product in bfloat16, with a bound on its error.

    Parameters
    ----------
    table
        Encoder, shape ``(d_sae, d_in)``.
    levels
        What a product must exceed, threshold less bias, shape ``(d_sae,)``.
    """

    def __init__(self, table: torch.Tensor, levels: np.ndarray) -> None:
        self._table, self._levels = rounded(table), levels
        self._rough: torch.Tensor | None = None

    def candidates(self, block: torch.Tensor) -> np.ndarray:
        """Return where the bound lets a level be exceeded."""
        frames = rounded(block)
        errors = margin(frames, self._table)
        # All levels become one positive number, so that bfloat16 can be compared as integers.
        widest = float(np.abs(self._levels).max()) * ROUNDING
        common = max(float(self._levels.mean()), 3 * (float(errors.max()) + widest), _TINY)
        bias = rounded(torch.from_numpy(common - self._levels)[:, None])
        room = self._rough = reused(self._rough, (len(block), len(self._levels)), torch.bfloat16)
        torch.addmm(bias.values[:, 0], frames.values, self._table.values.T, out=room)
        return reaching(room.view(torch.int16).numpy(), (common - errors - bias.errors.max()).numpy())


class LookInt8:
    """The product in int8, with room for its rounding noise.

    Whether a level may be exceeded is decided where the product is summed, so that one byte leaves it for each pair.
    That takes one step for all frames of a product: those much quieter than the loudest get one of their own.

    Parameters
    ----------
    table
        Encoder, shape ``(d_sae, d_in)``.
    levels
        What a product must exceed, shape ``(d_sae,)``.
    """

    def __init__(self, table: torch.Tensor, levels: np.ndarray) -> None:
        _require_int8()
        whole, steps = quantised(table)
        self._table = torch.ops.onednn.qlinear_prepack(whole, [LOOK_ROWS, whole.shape[1]])
        self._norms, self._levels = table.norm(dim=1), torch.from_numpy(levels)
        self._steps = torch.where(self._norms > 0, steps, _TINY)  # a feature that reads nothing has no noise

    def candidates(self, block: torch.Tensor) -> np.ndarray:
        """Return where the noise lets a level be exceeded."""
        sizes, d_sae = block.abs().amax(dim=1).numpy(), len(self._levels)
        groups = _similar(sizes)
        if len(groups) == 1:
            return np.flatnonzero(self._exceed(block, float(sizes.max())))
        parts = []
        for rows in groups:
            found = np.flatnonzero(self._exceed(block[torch.from_numpy(rows)], float(sizes[rows].max())))
            frames, columns = np.divmod(found, d_sae)
            parts.append(rows[frames] * d_sae + columns)
        return np.sort(np.concatenate(parts))

    def _exceed(self, frames: torch.Tensor, largest: float) -> np.ndarray:
        """Return whether each frame may exceed each level, bool, shape ``(n_frames, d_sae)``."""
        step = max(largest, _TINY) / _LARGEST
        noise = _ALLOWED * torch.hypot(step * self._norms, float(frames.norm(dim=1).max()) * self._steps)
        whole = torch.add(torch.tensor(_MIDDLE + 0.5), frames, alpha=1 / step).to(torch.uint8)
        return _positive(whole, (self._table, step * self._steps), noise - self._levels)


def _similar(sizes: np.ndarray) -> list[np.ndarray]:
    """Divide rows by size, such that none is less than a share `_QUIET` of the largest beside it."""
    left, groups = np.arange(len(sizes)), []
    while len(left):
        loud = sizes[left] >= _QUIET * sizes[left].max()
        groups.append(left[loud])
        left = left[~loud]
    return groups


def _positive(left: torch.Tensor, right: tuple[torch.Tensor, torch.Tensor], bias: torch.Tensor) -> np.ndarray:
    """Return where ``(left - 128) @ table.T * scales + bias`` is positive, bool, for a packed int8 table."""
    table, scales = right
    clipped = ("hardtanh", [0.0, _TINY], "")  # to one step of the result, which is then 0 or 1
    none = torch.zeros(len(bias), dtype=torch.int32)
    product = torch.ops.onednn.qlinear_pointwise
    return product(left, 1.0, _MIDDLE, table, scales, none, bias, _TINY, 0, torch.uint8, *clipped).numpy().view(bool)


def quantised(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows as int8 numbers of steps, and each row's step (1 where it is empty)."""
    steps = matrix.abs().amax(dim=1) / _LARGEST
    steps = torch.where(steps > 0, steps, 1.0)
    return (matrix / steps[:, None]).round_().to(torch.int8), steps


def _require_int8() -> None:
    """Refuse where whole numbers would not be multiplied exactly (some processors saturate half-way)."""
    if not torch.backends.mkldnn.is_available():
        raise ValueProblem("this PyTorch has no int8 products", got="no oneDNN", fix="use screening='bfloat16'")
    signs = torch.tensor([1, -1], dtype=torch.int8).repeat(16)
    table = torch.ops.onednn.qlinear_prepack((_LARGEST * signs)[:, None].repeat(1, 64), [32, 64])
    frames, scales = torch.full((32, 64), 2 * _MIDDLE - 1, dtype=torch.uint8), torch.ones(32)
    expected = 64.0 * _LARGEST**2 * signs
    above, below = (_positive(frames, (table, scales), by - expected) for by in (0.5, -0.5))
    if not above.all() or below.any():
        raise ValueProblem(
            "this processor's int8 products are not exact", got="a sum that saturates", fix="use screening='bfloat16'"
        )


LOOKS: dict[str, Callable[[torch.Tensor, np.ndarray], Look]] = {"bfloat16": LookBfloat16, "int8": LookInt8}
