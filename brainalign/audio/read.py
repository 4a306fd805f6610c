"""How does a sound file become a `Stimulus`? Mono, float32, at the file's exact rate."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import soxr

from brainalign.core.errors import MissingFile, UnreadableFile, ValueProblem
from brainalign.core.hashing import file_digest
from brainalign.core.provenance import Provenance
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import Number, TimeAxis, exact

QUALITY = "VHQ"


def read_audio(path: Path | str, *, name: str | None = None, rate: Number | None = None) -> Stimulus:
    """Read a sound file as one mono waveform.

    Parameters
    ----------
    path
        WAV, FLAC, OGG, MP3 or whatever else libsndfile reads.
    name
        What the experiment calls the sound; the file's name without its ending by default.
    rate
        Bring the sound to this rate (Hz); the file's own by default.

    Returns
    -------
    Stimulus
        The mean of the channels, float32; the file's rate is kept exactly, and time 0 is its
        first sample. Provenance holds the file's name and SHA-256, never where it lay.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile("there is no sound file here", got=path, fix="check the path")
    samples, file_rate = _samples(path)
    provenance = Provenance().then("read_audio", file=path.name, sha256=file_digest(path))
    stimulus = Stimulus(name or path.stem, samples, TimeAxis(file_rate, samples.size), provenance)
    return stimulus if rate is None else resample_audio(stimulus, rate)


def _samples(path: Path) -> tuple[np.ndarray, int]:
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise UnreadableFile(
            "a sound file cannot be read", got=f"{path.name}: {error}", fix="export it again as WAV or FLAC"
        ) from error
    if not samples.size:
        raise ValueProblem("a sound file is empty", got=f"{path.name}: 0 samples", fix="export it again")
    # The mean is taken in float64, so that two identical channels give exactly one of them.
    return samples.mean(axis=1, dtype=np.float64).astype(np.float32), rate


def resample_audio(stimulus: Stimulus, rate: Number) -> Stimulus:
    """Bring a sound to another rate, band-limited (soxr, very high quality, linear phase).

    Parameters
    ----------
    stimulus
        The sound.
    rate
        Samples per second wanted.

    Returns
    -------
    Stimulus
        Same origin; ``n = ceil(n_before * rate / rate_before)`` samples: all those that begin
        before the sound's end, so ten seconds stay ten seconds. Beyond its ends the sound
        counts as silence.
    """
    old, new = stimulus.axis.rate, exact(rate)
    axis = TimeAxis(new, math.ceil(stimulus.axis.n * new / old), stimulus.axis.t0)
    if new == old:
        return stimulus
    # Whole numbers in the same ratio, as soxr knows no fractions.
    scale = math.lcm(old.denominator, new.denominator)
    # A few samples of silence, as soxr rounds its output length down now and then.
    padded = np.pad(stimulus.waveform, (0, math.ceil(2 * old / new) + 1))
    waveform = soxr.resample(padded, int(old * scale), int(new * scale), quality=QUALITY)[: axis.n]
    provenance = stimulus.provenance.then("resample_audio", rate=new, method=f"soxr {QUALITY}")
    return replace(stimulus, waveform=waveform, axis=axis, provenance=provenance)
