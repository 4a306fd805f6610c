"""How does a sound file become a `Stimulus`? Mono, float32, at the file's exact rate."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
import soxr

from brainalign.core.errors import MissingFile, NotFinite, UnreadableFile, ValueProblem
from brainalign.core.hashing import file_digest
from brainalign.core.provenance import Provenance
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import Number, TimeAxis, exact

QUALITY = "VHQ"
METHOD = f"soxr {QUALITY}"

_BLOCK = 1 << 18
_UNKNOWN_LENGTH = 0x7FFF0000
_LONGEST = 1 << 36
# Louder than it can be told: so many samples one after another at full scale are no accident.
_FULL, _CLIPPED_RUN = 0.9999, 3


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

    Warns
    -----
    UserWarning
        The sound was clipped when it was recorded: it is read as it is.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile("there is no sound file here", got=path, fix="check the path")
    name = name or path.stem
    with _opened(path) as file:
        _require_whole(path, file.frames)
        old, blocks = Fraction(file.samplerate), _blocks(file, path, name)
        new = old if rate is None else exact(rate)
        samples = _collected(blocks if new == old else _resampled(blocks, old, new), n=_length(file.frames, old, new))
    provenance = Provenance().then("read_audio", file=path.name, sha256=file_digest(path))
    if new != old:
        provenance = provenance.then("resample_audio", rate=new, method=METHOD)
    return Stimulus(name, samples, TimeAxis(new, samples.size), provenance)


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a sound file, and tell whatever libsndfile does not like about it, then or later."""
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, OSError, TypeError) as error:  # TypeError: a raw file says nothing of itself
        raise _unreadable(path, error) from error
    with file:
        try:
            yield file
        except soundfile.SoundFileError as error:
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UnreadableFile:
    return UnreadableFile(
        "a sound file cannot be read", got=f"{path.name}: {error}", fix="export it again as WAV or FLAC"
    )


def _require_whole(path: Path, n_samples: int) -> None:
    """Refuse a file without sound, and a WAV file that was cut off: libsndfile would read the rest without a word."""
    if not n_samples:
        raise ValueProblem("a sound file is empty", got=f"{path.name}: 0 samples", fix="export it again")
    if n_samples > _LONGEST:
        raise _unreadable(path, ValueError(f"it claims to hold {n_samples} samples"))
    with path.open("rb") as file:
        if file.read(4) != b"RIFF" or file.read(8)[4:] != b"WAVE":
            return
        size = path.stat().st_size
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[4:], "little")
            # Programs that write into a pipe do not know the length, and say so with the largest number.
            if head[:4] == b"data" and size - file.tell() < length < _UNKNOWN_LENGTH:
                raise _cut_off(path, f"{size - file.tell()} of {length} bytes of sound")
            file.seek(length + length % 2, 1)


def _cut_off(path: Path, got: str) -> UnreadableFile:
    return UnreadableFile(
        "a sound file ends before its header says", got=f"{path.name}: {got}", fix="copy or export it again"
    )


def _blocks(file: soundfile.SoundFile, path: Path, name: str) -> Iterator[np.ndarray]:
    """Yield the mean of the channels, block by block; all samples the header tells of must be there, and finite."""
    n = n_clipped = 0
    while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
        n_clipped += _clipped(block)
        # The mean is taken in float64, so that two identical channels give exactly one of them.
        mono = block.mean(axis=1, dtype=np.float64).astype(np.float32)
        if not np.isfinite(mono).all():
            raise NotFinite(
                f"waveform of {name!r} holds values that are not finite",
                got=f"{path.name}: the first at sample {n + int(np.argmin(np.isfinite(mono)))}",
                fix="repair or re-export the audio",
            )
        n += mono.size
        yield mono
    if n < file.frames:
        raise _cut_off(path, f"{n} of {file.frames} samples")
    if n_clipped:
        share = n_clipped / (n * file.channels)
        told = f"{path.name} is clipped: {n_clipped} samples (a share of {share:.2g}) lie at full scale"
        warnings.warn(f"{told}, and models hear the distortion", stacklevel=2)


def _clipped(block: np.ndarray) -> int:
    """Count the samples in runs at full scale, in each channel; a file of floats above it has not been clipped."""
    peak = np.abs(block)
    if peak.max() > 1:
        return 0
    full = peak >= _FULL
    runs = np.lib.stride_tricks.sliding_window_view(full, min(_CLIPPED_RUN, len(full)), axis=0).all(axis=-1)
    return int(runs.sum()) + (_CLIPPED_RUN - 1) * int((np.diff(runs, axis=0, prepend=False) & runs).sum())


def _collected(blocks: Iterator[np.ndarray], *, n: int) -> np.ndarray:
    """Put blocks one after another into one array of ``n`` samples: no more memory than that and a block."""
    samples, filled = np.empty(n, dtype=np.float32), 0
    for block in blocks:
        kept = block[: n - filled]
        samples[filled : filled + kept.size] = kept
        filled += kept.size
    return samples


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
    old, new, n = stimulus.axis.rate, exact(rate), stimulus.axis.n
    if new == old:
        return stimulus
    blocks = (stimulus.waveform[i : i + _BLOCK] for i in range(0, n, _BLOCK))
    waveform = _collected(_resampled(blocks, old, new), n=_length(n, old, new))
    provenance = stimulus.provenance.then("resample_audio", rate=new, method=METHOD)
    return replace(
        stimulus, waveform=waveform, axis=TimeAxis(new, waveform.size, stimulus.axis.t0), provenance=provenance
    )


def _length(n: int, old: Fraction, new: Fraction) -> int:
    """Return how many samples of the new rate begin before the end of ``n`` samples of the old one."""
    if new <= 0:
        raise ValueProblem("a rate must be positive", got=f"{new} Hz", fix="give samples per second")
    return math.ceil(n * new / old)


def _resampled(blocks: Iterator[np.ndarray], old: Fraction, new: Fraction) -> Iterator[np.ndarray]:
    """Yield a sound at its new rate, block by block, and then some silence: the same bytes whatever the blocks."""
    # Whole numbers in the same ratio, as soxr knows no fractions.
    scale = math.lcm(old.denominator, new.denominator)
    stream = soxr.ResampleStream(int(old * scale), int(new * scale), 1, dtype="float32", quality=QUALITY)
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    # A few samples of silence, as soxr rounds its output length down now and then.
    silence = np.zeros(math.ceil(2 * old / new) + 1, dtype=np.float32)
    yield stream.resample_chunk(silence, last=True)
