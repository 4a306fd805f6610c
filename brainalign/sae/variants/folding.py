"""What does a coder with free decoder norms compute at unit norm? The same, with other units for its features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from brainalign.sae.coder import SparseCoder


def in_units_of(coder: SparseCoder, sizes: np.ndarray) -> SparseCoder:
    """Return the coder that reconstructs the same, with each feature's value multiplied by its size.

    Encoder column, bias and threshold are multiplied, the decoder row is divided; a size of zero (a feature that
    writes nothing) counts as one.

    Parameters
    ----------
    coder
        Any coder.
    sizes
        What is to become one, shape ``(d_sae,)``, for instance the norms of the decoder's rows.
    """
    unit = np.where(sizes > 0, sizes, 1.0).astype(np.float64)
    return replace(
        coder,
        W_enc=coder.W_enc * unit,
        b_enc=coder.b_enc * unit,
        W_dec=coder.W_dec / unit[:, None],
        threshold=coder.threshold * unit,
    )


def unit_norm(coder: SparseCoder) -> SparseCoder:
    """Return the same coder with decoder rows of norm 1."""
    return in_units_of(coder, np.linalg.norm(coder.W_dec.astype(np.float64), axis=1))
