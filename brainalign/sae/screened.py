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
_ALLOWED = np.float32(N_SIGMA * 12.0**-0.5)
_SLICE = 32
# Rows of one rough product, which then is still in the cache when it is looked through.
LOOK_ROWS = 512
_LARGEST = 127
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
        starts = range(0, len(block), LOOK_ROWS)
        looks = [self._look.candidates(block[i : i + LOOK_ROWS]) + i * len(self._bias) for i in starts]
        pattern = Pattern.from_flat(np.concatenate(looks), shape=(len(block), len(self._bias)))
        rows, columns = pattern.rows.numpy(), pattern.columns.numpy()
        products = torch.empty(len(rows))
        products[pattern.by_column()] = column_products(pattern, block, self._table)
        values = products.numpy() + self._bias[columns]
        kept = values > self._threshold[columns]
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

    Parameters
    ----------
    table
        Encoder, shape ``(d_sae, d_in)``.
    levels
        What a product must exceed, shape ``(d_sae,)``.
    """

    def __init__(self, table: torch.Tensor, levels: np.ndarray) -> None:
        _require_int8()
        whole, self._steps = quantised(table)
        self._table = whole.T.contiguous()
        # in units of each feature's step
        self._wanted = (levels / self._steps).astype(np.float32)
        self._ratio = table.norm(dim=1).numpy() / self._steps
        self._relative = self._ratio.max()
        self._product: torch.Tensor | None = None
        self._scaled: torch.Tensor | None = None

    def candidates(self, block: torch.Tensor) -> np.ndarray:
        """Return where the noise lets a level be exceeded."""
        whole, steps = quantised(block)
        product = self._product = reused(self._product, (len(block), len(self._wanted)), torch.int32)
        torch._int_mm(whole, self._table, out=product)
        norms = block.norm(dim=1).numpy()
        most = _ALLOWED * np.hypot(steps * self._relative, norms)
        found = [self._near(product, steps, most, start) for start in range(0, len(block), _SLICE)]
        flat, near = (np.concatenate(part) for part in zip(*found, strict=True))
        rows, columns = np.divmod(flat, len(self._wanted))
        noise = _ALLOWED * np.hypot(steps[rows] * self._ratio[columns], norms[rows])
        return flat[near + noise > self._wanted[columns]]

    def _near(
        self, product: torch.Tensor, steps: np.ndarray, most: np.ndarray, start: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return where some rows come near, and how near, while they are in the core's own cache."""
        rows = slice(start, start + _SLICE)
        self._scaled = reused(self._scaled, tuple(product[rows].shape), torch.float32)
        near = torch.mul(product[rows], torch.from_numpy(steps[rows, None]), out=self._scaled).numpy()
        found = np.flatnonzero(near > self._wanted - most[rows].max())
        return found + start * len(self._wanted), near.reshape(-1)[found]


def quantised(matrix: torch.Tensor) -> tuple[torch.Tensor, np.ndarray]:
    """Return rows as int8 numbers of steps, and each row's step (1 where it is empty)."""
    steps = matrix.abs().amax(dim=1) / _LARGEST
    steps = torch.where(steps > 0, steps, 1.0)
    return (matrix / steps[:, None]).round_().to(torch.int8), steps.numpy()


def _require_int8() -> None:
    """Refuse where whole numbers would not be multiplied exactly (some processors saturate half-way)."""
    left, right = torch.full((32, 64), _LARGEST, dtype=torch.int8), torch.full((64, 32), -_LARGEST, dtype=torch.int8)
    right[:, ::2] = _LARGEST
    expected = left.double() @ right.double()
    if not torch.equal(torch._int_mm(left, right).double(), expected):
        raise ValueProblem(
            "this processor's int8 products are not exact", got="a sum that saturates", fix="use screening='bfloat16'"
        )


LOOKS: dict[str, Callable[[torch.Tensor, np.ndarray], Look]] = {"bfloat16": LookBfloat16, "int8": LookInt8}
