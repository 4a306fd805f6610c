"""What is a frame's length, and the frame without it? One rule for training and inference."""

from __future__ import annotations

import numpy as np


def row_norms(x: np.ndarray) -> np.ndarray:
    """Return each frame's Euclidean norm, float32, shape ``(n, 1)``; 1 for a frame of zeros."""
    norms = np.linalg.norm(np.asarray(x, dtype=np.float32), axis=1, keepdims=True)
    return np.where(norms > 0, norms, np.float32(1))


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Return frames divided by their norms, float32; a frame of zeros stays one."""
    return np.asarray(x, dtype=np.float32) / row_norms(x)
