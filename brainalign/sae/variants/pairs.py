"""How do gradients reach a coder's parameters from pairs of frame and feature?

Penalties start with half of all pairs active and end with a hundredth: the same sums are made with
gathers on few pairs, and with one matrix product on many.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from brainalign.sae.loss import Parameters, Pattern, column_products, combine

# A gathered pair costs as much as a dozen pairs of a matrix product (measured at 768 inputs on CPU).
DENSE_SHARE = 0.08


def pattern_of(mask: torch.Tensor) -> Pattern:
    """Return the pairs where a mask ``(n_frames, d_sae)`` is true."""
    return Pattern.from_flat(np.flatnonzero(mask.numpy()), shape=tuple(mask.shape))


def is_dense(pattern: Pattern) -> bool:
    """Whether a matrix product over all pairs is cheaper than gathering these."""
    return len(pattern.columns) > DENSE_SHARE * pattern.shape[0] * pattern.shape[1]


def values_at(pattern: Pattern, table: torch.Tensor) -> torch.Tensor:
    """Return the entries of a ``(n_frames, d_sae)`` table at the pairs."""
    return table.reshape(-1)[pattern.rows * pattern.shape[1] + pattern.columns]


def summed(pattern: Pattern, values: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return, for each frame, the sum of its features' rows of a table: `combine` for any number of pairs."""
    return _matrix(pattern, values) @ table if is_dense(pattern) else combine(pattern, values, table)


def products(pattern: Pattern, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return ``(left @ right.T)`` at the pairs; frames' rows on the left, features' on the right."""
    if is_dense(pattern):
        return values_at(pattern, left @ right.T)
    found = torch.empty(len(pattern.columns), dtype=left.dtype)
    found[pattern.by_column()] = column_products(pattern, left, right)
    return found


def by_feature(pattern: Pattern, weights: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return, for each feature, the sum of its frames' rows of a table, shape ``(d_sae, width)``."""
    if is_dense(pattern):
        return _matrix(pattern, weights).T @ table
    order = pattern.by_column()
    return embedding_bag(
        pattern.rows[order],
        table,
        pattern.column_pointers,
        mode="sum",
        per_sample_weights=weights[order],
        include_last_offset=True,
    )


def totals(pattern: Pattern, weights: torch.Tensor) -> torch.Tensor:
    """Return each feature's sum of weights over its pairs, shape ``(d_sae,)``."""
    return torch.bincount(pattern.columns, weights=weights, minlength=pattern.shape[1]).to(weights.dtype)


def encoder_gradients(parameters: Parameters, x: torch.Tensor, *, pattern: Pattern, to_pre: torch.Tensor) -> Parameters:
    """Return the gradients of ``encoder``, ``b_enc`` and ``b_dec`` (as part of the encoder's input).

    Parameters
    ----------
    parameters
        The coder's parameters.
    x
        Scaled frames, shape ``(n_frames, d_in)``.
    pattern
        The pairs whose pre-activation the loss sees.
    to_pre
        The loss' derivative with respect to each of these pre-activations.
    """
    to_bias = totals(pattern, to_pre)
    return {
        "encoder": by_feature(pattern, to_pre, x - parameters["b_dec"]),
        "b_enc": to_bias,
        "b_dec": -(to_bias @ parameters["encoder"]),
    }


def added(*parts: Mapping[str, torch.Tensor]) -> Parameters:
    """Return the sum of gradients, parameter by parameter."""
    total: Parameters = {}
    for part in parts:
        for name, gradient in part.items():
            total[name] = total[name] + gradient if name in total else gradient
    return total


def _matrix(pattern: Pattern, values: torch.Tensor) -> torch.Tensor:
    matrix = torch.zeros(pattern.shape, dtype=values.dtype)
    matrix[pattern.rows, pattern.columns] = values
    return matrix
