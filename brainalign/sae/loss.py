"""What are the loss and gradient of a sparse reconstruction? Here, without dense products.

About k of d_sae features are active per frame, so decoding, the weight gradients and the
gradient of the activations touch only the active pairs. The one dense product of a step is
the encoder's (autograd does five). On CPU the winners are `embedding_bag` with per-sample
weights, forwards and on the transposed pattern, and `sampled_addmm`; gather and index_add
are three times slower than dense because they build (n, k, d_in) in memory. The products at
the active pairs are taken feature by feature: a decoder row then stays in the core's own
cache, and they come out in the order in which the weights' gradients want them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn.functional import embedding_bag

Parameters = dict[str, torch.Tensor]
"""``encoder (d_sae, d_in)``, ``b_enc (d_sae,)``, ``decoder (d_sae, d_in)``, ``b_dec (d_in,)``, and a variant's own."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """Which features are active in which frames of a batch.

    Parameters
    ----------
    rows, columns
        Frame and feature of every active pair, sorted by frame, int64, shape ``(n_active,)``.
    shape
        ``(n_frames, d_sae)``.
    """

    rows: torch.Tensor
    columns: torch.Tensor
    shape: tuple[int, ...]

    @classmethod
    def from_flat(cls, active: np.ndarray, *, shape: tuple[int, ...]) -> Pattern:
        """Build a pattern from sorted flat indices into ``(n_frames, d_sae)``."""
        rows, columns = np.divmod(active, shape[1])
        return cls(torch.from_numpy(rows), torch.from_numpy(columns), shape)

    @cached_property
    def row_pointers(self) -> torch.Tensor:
        """Where each frame's pairs begin, shape ``(n_frames + 1,)``."""
        return _pointers(self.rows, self.shape[0])

    @cached_property
    def column_pointers(self) -> torch.Tensor:
        """Where each feature's pairs begin once sorted by feature, shape ``(d_sae + 1,)``."""
        return _pointers(self.columns, self.shape[1])

    @cached_property
    def _order(self) -> torch.Tensor:
        narrow = np.uint16 if self.shape[1] <= 1 << 16 else np.uint32
        return torch.from_numpy(np.argsort(self.columns.numpy().astype(narrow), kind="stable"))

    def by_column(self) -> torch.Tensor:
        """Return the order that sorts the pairs by feature (stable, so sums have one order)."""
        return self._order


def _pointers(sorted_or_not: torch.Tensor, n: int) -> torch.Tensor:
    pointers = torch.zeros(n + 1, dtype=torch.int64)
    torch.cumsum(torch.bincount(sorted_or_not, minlength=n), 0, out=pointers[1:])
    return pointers


@dataclass(frozen=True, eq=False)
class LossStep:
    """One batch's loss, gradients, pattern and what was left unexplained.

    Parameters
    ----------
    loss
        ``mean over frames of |x_hat - x|^2``.
    gradients
        One per parameter.
    pattern
        The active pairs.
    residual
        ``x_hat - x``, shape ``(n_frames, d_in)``.
    """

    loss: float
    gradients: Parameters
    pattern: Pattern
    residual: torch.Tensor


def pre_activations(parameters: Parameters, x: torch.Tensor) -> torch.Tensor:
    """Return ``(x - b_dec) @ encoder.T + b_enc``, shape ``(n_frames, d_sae)``: the one dense product."""
    return torch.addmm(parameters["b_enc"], x - parameters["b_dec"], parameters["encoder"].T)


def combine(pattern: Pattern, values: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return, for each frame, the sum of its features' rows of a table, weighted by their values."""
    return embedding_bag(
        pattern.columns, table, pattern.row_pointers, mode="sum", per_sample_weights=values, include_last_offset=True
    )


def column_products(pattern: Pattern, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return ``(left @ right.T)`` at the pattern's pairs only, in the order of `Pattern.by_column`.

    Each is the product of two vectors, and its rounding knows nothing of the other pairs.
    """
    empty = torch.sparse_csr_tensor(
        pattern.column_pointers,
        pattern.rows[pattern.by_column()],
        torch.zeros(len(pattern.columns), dtype=left.dtype),
        size=pattern.shape[::-1],
        check_invariants=False,
    )
    return torch.sparse.sampled_addmm(empty, right, left.T, beta=0.0).values()


def reconstruction_step(parameters: Parameters, x: torch.Tensor, pre: torch.Tensor, pattern: Pattern) -> LossStep:
    """Return the mean squared error of the pattern's reconstruction, and its gradients.

    Parameters
    ----------
    parameters
        The coder's parameters.
    x
        Scaled frames, shape ``(n_frames, d_in)``.
    pre
        Their pre-activations.
    pattern
        The active pairs (a constant of the loss, as in top-k training).
    """
    return values_step(parameters, x, (pattern, pre.reshape(-1)[pattern.rows * pattern.shape[1] + pattern.columns]))


def values_step(parameters: Parameters, x: torch.Tensor, active: tuple[Pattern, torch.Tensor]) -> LossStep:
    """Return what `reconstruction_step` does, from the active values alone.

    Parameters
    ----------
    parameters
        The coder's parameters.
    x
        Scaled frames, shape ``(n_frames, d_in)``.
    active
        The pattern and the pre-activation of each of its pairs.
    """
    pattern, values = active
    residual = combine(pattern, values, parameters["decoder"])
    residual += parameters["b_dec"]
    residual -= x
    slope = residual * (2.0 / len(x))
    gradients = pattern_gradients(parameters, x, slope, active)
    gradients["b_dec"] += slope.sum(0)
    return LossStep(float(residual.square().sum()) / len(x), gradients, pattern, residual)


def pattern_gradients(
    parameters: Parameters, x: torch.Tensor, slope: torch.Tensor, active: tuple[Pattern, torch.Tensor]
) -> Parameters:
    """Return the gradients of a loss that sees the active values through the decoder only.

    Parameters
    ----------
    parameters
        The coder's parameters.
    x
        Scaled frames, shape ``(n_frames, d_in)``.
    slope
        Gradient with respect to ``values @ decoder``, shape ``(n_frames, d_in)``.
    active
        The pattern and the value of each of its pairs.
    """
    pattern, values = active
    order, pointers = pattern.by_column(), pattern.column_pointers
    upstream = column_products(pattern, slope, parameters["decoder"])
    frames = pattern.rows[order]

    def per_feature(weights: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return embedding_bag(frames, table, pointers, mode="sum", per_sample_weights=weights, include_last_offset=True)

    summed = torch.bincount(pattern.columns[order], weights=upstream, minlength=pattern.shape[1]).to(slope.dtype)
    return {
        "encoder": per_feature(upstream, x - parameters["b_dec"]),
        "b_enc": summed,
        "decoder": per_feature(values[order], slope),
        # the decoder's bias is also taken off the encoder's input
        "b_dec": -(summed @ parameters["encoder"]),
    }
