"""How are responses brought to one scale without copying them, and without learning from test trials?

By constants only: a mean and a standard deviation per channel, over all usable frames. With
an unpenalised intercept neither changes a correlation or (scaled back) a weight, so nothing
of a test trial reaches the training; but sums of squares keep their precision whatever the
unit and the offset of the recording. Responses are read in stretches and standardised then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ValueProblem

_CHUNK_BYTES = 1 << 23
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Standards:
    """What standardises a design's responses.

    Attributes
    ----------
    mean, scale
        Constants per channel, in the response's unit.
    centres
        What is taken off each trial: ``mean``, or the trial's own, ``(n_trials, n_channels)``.
    n_usable
        Usable frames per trial.
    sums, squares
        Sums of each trial's standardised responses and of their squares, ``(n_trials, n_channels)``.
    """

    mean: np.ndarray
    scale: np.ndarray
    centres: np.ndarray
    n_usable: np.ndarray
    sums: np.ndarray
    squares: np.ndarray

    def reader(self, number: int, trial: Trial, *, every_frame: bool = False) -> Callable[[int, int], np.ndarray]:
        """Return a function of two frames that gives the responses between them, 0 where unusable.

        A last column counts frames: usable ones, or every one.

        Parameters
        ----------
        number
            The trial's place in the design.
        trial
            The trial.
        every_frame
            Whether unusable frames count too (as frames at the mean).
        """

        def _read(start: int, stop: int) -> np.ndarray:
            mask = trial.mask[start:stop]
            out: np.ndarray = np.empty((stop - start, len(self.mean) + 1))
            np.subtract(trial.y[start:stop], self.centres[number], out=out[:, :-1])
            out[:, :-1] /= self.scale
            out[~mask, :-1] = 0
            out[:, -1] = 1.0 if every_frame else mask
            return out

        return _read


def standardise(design: Design, *, centre_trials: bool = False) -> Standards:
    """Measure what standardises a design's responses; refuse constant channels.

    Parameters
    ----------
    design
        Trials apart.
    centre_trials
        Whether each trial's own mean is taken off, not one constant off all.
    """
    parts = [_statistics(trial) for trial in design.trials]
    usable = np.array([n for n, _, _ in parts], dtype=float)
    own, squares = np.array([mean for _, mean, _ in parts]), np.array([square for _, _, square in parts])
    mean = usable @ own / max(usable.sum(), 1.0)
    gap = np.zeros_like(own) if centre_trials else own - mean
    squares = squares + usable[:, None] * gap**2
    scale = np.sqrt(squares.sum(axis=0) / max(usable.sum(), 1.0))
    flat = scale <= _ROUNDING * np.abs(mean)
    if flat.any():
        raise ValueProblem(
            "a channel is constant",
            got=f"{design.channels[int(flat.argmax())]!r} has no variance",
            fix="mark it bad and interpolate it, or drop it",
        )
    centres = own if centre_trials else np.broadcast_to(mean, own.shape)
    return Standards(mean, scale, centres, usable, usable[:, None] * gap / scale, squares / scale**2)


def _statistics(trial: Trial) -> tuple[int, np.ndarray, np.ndarray]:
    """Return usable frames, mean and centred sum of squares per channel, reading the response in stretches."""
    usable, n_channels = int(np.count_nonzero(trial.mask)), trial.y.shape[1]
    total = np.sum(trial.y, axis=0, dtype=np.float64, where=trial.mask[:, None])
    mean, square = np.asarray(total) / max(usable, 1), np.zeros(n_channels)
    step = max(1, _CHUNK_BYTES // (8 * n_channels))
    for start in range(0, len(trial.y), step):
        part = slice(start, start + step)
        square += np.sum((trial.y[part] - mean) ** 2, axis=0, where=trial.mask[part, None])
    return usable, mean, square
