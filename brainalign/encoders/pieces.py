"""How do pieces of a sound's frames become one array? In order, each written once, and told of as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from brainalign.encoders.pace import Progress
from brainalign.encoders.sites import SiteKey


def counted(
    pieces: Iterable[dict[SiteKey, np.ndarray]], n_frames: int, *, n_done: int = 0, progress: Progress | None = None
) -> Iterator[dict[SiteKey, np.ndarray]]:
    """Pass pieces on, and tell of each once it has been taken care of.

    Parameters
    ----------
    pieces
        Site -> rows, in order.
    n_frames
        Rows in all.
    n_done
        Rows that are there already.
    progress
        Told of rows done and of all.
    """
    tell = progress or (lambda done, total: None)
    tell(n_done, n_frames)
    for piece in pieces:
        yield piece
        n_done += len(next(iter(piece.values())))
        tell(n_done, n_frames)


def gathered(pieces: Iterable[dict[SiteKey, np.ndarray]], n_frames: int) -> dict[SiteKey, np.ndarray]:
    """Put pieces into one array per site, each written once; a single piece is the array.

    Parameters
    ----------
    pieces
        Site -> rows, in order.
    n_frames
        Rows in all.
    """
    rows: dict[SiteKey, np.ndarray] = {}
    start = 0
    for piece in pieces:
        sizes = {len(values) for values in piece.values()}
        if sizes == {n_frames}:
            rows = piece
            continue
        for key, values in piece.items():
            if key not in rows:
                rows[key] = np.empty((n_frames, values.shape[1]), dtype=np.float32)
            rows[key][start : start + len(values)] = values
        start += sizes.pop()
    return rows
