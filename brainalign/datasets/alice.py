"""When did each sound begin in an Alice recording? From the epochs of its words, checked against one another.

The deposit's ``proc.zip`` holds, per listener, the samples at which the epochs of 2129 words
begin and end, and ``AliceChapterOne-EEG.csv`` when each word began within its sound. Each word
thus tells when its sound began, and they must agree.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from brainalign.core.errors import GridMismatch, MissingFile, ShapeMismatch, UnreadableFile
from brainalign.core.time import Number, exact, nearest
from brainalign.datasets.matfile import read_variable, struct

WORDS = "AliceChapterOne-EEG.csv"
SOUND = "DownTheRabbitHoleFinal_SoundFile{segment}"
COLUMNS = ("Word", "Segment", "onset", "offset")


def alice_onsets(
    proc: str | Path, words: str | Path, *, rate: Number = 500, tolerance: float = 1.5
) -> Mapping[str, tuple[Fraction, ...]]:
    """Find when each of the 12 sounds began in a listener's recording.

    Parameters
    ----------
    proc
        The listener's ``proc/S01.mat``: ``proc.trl`` has a row per word, whose first three
        columns are FieldTrip's first sample, last sample and offset, counted from 1.
    words
        ``AliceChapterOne-EEG.csv``.
    rate
        Samples per second of the recording.
    tolerance
        Largest disagreement between the words of a sound, in samples.

    Returns
    -------
    mapping
        The sound's name without its ending -> its onset in seconds from the first sample.
    """
    table, rate = read_words(words), exact(rate)
    path = Path(proc)
    value = struct(read_variable(path, "proc"), "trl", name="proc", path=path)
    trl = np.atleast_2d(np.asarray(value["trl"], dtype=float))
    if trl.shape[0] != len(table) or trl.shape[1] < 3:
        raise ShapeMismatch(
            f"{path.name} does not have an epoch for every word",
            got=f"{trl.shape[0]} epochs and {len(table)} words",
            fix="leave this listener out: some were recorded in part only (see brainalign datasets alice)",
        )
    heard = (trl[:, 0] - trl[:, 2] - 1) / float(rate)
    began = heard - np.array([row["onset"] for row in table])
    segments = np.array([row["Segment"] for row in table])
    onsets = {}
    for segment in sorted(set(segments.tolist())):
        own = began[segments == segment]
        middle = float(np.median(own))
        worst = float(np.abs(own - middle).max() * float(rate))
        if worst > tolerance:
            raise GridMismatch(
                f"the words of sound {segment} do not agree on when it began",
                got=f"{path.name}: up to {worst:.1f} samples from {middle:.3f} s",
                fix="align this listener with the audio channel instead, or leave it out",
            )
        onsets[SOUND.format(segment=segment)] = (nearest(exact(middle) * rate) / rate,)
    return onsets


def read_words(path: str | Path) -> Sequence[Mapping[str, Any]]:
    """Read the words of the chapter, when they began and ended within their sound, and which sound that was.

    Parameters
    ----------
    path
        ``AliceChapterOne-EEG.csv``.

    Returns
    -------
    sequence of mappings
        In the order heard: ``Word`` (text), ``Segment`` (1 to 12), ``onset`` and ``offset`` in seconds.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFile("there is no such table of words", got=path.as_posix(), fix="it comes with the deposit")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    try:
        return [
            {
                "Word": row["Word"],
                "Segment": int(row["Segment"]),
                "onset": float(row["onset"]),
                "offset": float(row["offset"]),
            }
            for row in rows
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableFile(
            "this is not the chapter's table of words",
            got=f"{path.name}: {type(error).__name__} {error}",
            fix=f"it is a CSV file with the columns {', '.join(COLUMNS)}",
        ) from error
