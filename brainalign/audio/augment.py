"""What would the sound be like in noise, or with music? One sound mixed into another at a chosen level.

AudioSAE's augmentation: noise with a chance of 0.05, music with one of 0.025, at a
signal-to-noise ratio drawn from U(0, 20) dB. What is drawn for a sound depends on the seed
and on its name alone, not on the sounds before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brainalign.core.errors import GridMismatch, ValueProblem
from brainalign.core.seeds import generator
from brainalign.core.stimulus import Stimulus


@dataclass(frozen=True, eq=False)
class Augmentation:
    """What may be mixed into a sound, how often and how loud.

    Parameters
    ----------
    noise, music
        Sounds to draw from; a kind without sounds is never added.
    p_noise, p_music
        Chance of each; both may be added to one sound.
    snr
        Lowest and highest signal-to-noise ratio, in dB; uniform between them.
    """

    noise: Sequence[Stimulus] = ()
    music: Sequence[Stimulus] = ()
    p_noise: float = 0.05
    p_music: float = 0.025
    snr: tuple[float, float] = (0.0, 20.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", tuple(self.noise))
        object.__setattr__(self, "music", tuple(self.music))
        for name in ("p_noise", "p_music"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueProblem(f"{name} is a probability", got=getattr(self, name), fix="give 0 to 1")
        low, high = self.snr
        if not -math.inf < low <= high < math.inf:
            raise ValueProblem("snr is a range in dB, lowest first", got=self.snr, fix="give e.g. (0, 20)")


def augment(stimulus: Stimulus, augmentation: Augmentation, *, seed: int, draw: int = 0) -> Stimulus:
    """Return the sound with noise or music mixed in, or the sound itself where neither was drawn.

    Parameters
    ----------
    stimulus
        The sound.
    augmentation
        What may be mixed in.
    seed
        With the sound's name and ``draw``, decides everything.
    draw
        Which time this sound is drawn, to hear it otherwise in another pass.
    """
    mixed = stimulus
    for kind in ("noise", "music"):
        others: tuple[Stimulus, ...] = getattr(augmentation, kind)
        rng = generator(seed, "augment", kind, stimulus.name, draw)
        if not others or rng.random() >= getattr(augmentation, f"p_{kind}"):
            continue
        other = others[int(rng.integers(len(others)))]
        start = int(rng.integers(other.axis.n))
        mixed = mix(mixed, other, snr_db=float(rng.uniform(*augmentation.snr)), start=start)
    return mixed


def mix(stimulus: Stimulus, other: Stimulus, *, snr_db: float, start: int = 0) -> Stimulus:
    """Mix another sound into this one, for the whole of its length.

    ::

        y = x + g * z,   10 log10(mean(x^2) / mean((g z)^2)) = snr_db

    Where a sample of y would leave -1 to 1, all of y is made quieter; the ratio stays.

    Parameters
    ----------
    stimulus
        The sound; its clock is kept.
    other
        What is mixed in, begun again where it ends.
    snr_db
        Power of the one over power of the other, in dB, over the whole sound.
    start
        The other's sample that falls on the sound's first one.
    """
    if stimulus.axis.rate != other.axis.rate:
        raise GridMismatch(
            "two sounds of different rates cannot be mixed",
            got=f"{stimulus.name!r}: {stimulus.axis.rate} Hz; {other.name!r}: {other.axis.rate} Hz",
            fix="bring them to one rate with brainalign.audio.read.resample_audio",
        )
    x = stimulus.waveform.astype(np.float64)
    z = other.waveform[(start + np.arange(x.size)) % other.axis.n].astype(np.float64)
    gain = math.sqrt(_power(x, stimulus.name) / _power(z, other.name) / 10 ** (snr_db / 10))
    y = x + gain * z
    quieter = 1 / max(1.0, float(np.abs(y).max()))
    made = stimulus.provenance.then("mix", other=other.content, snr_db=snr_db, start=start, quieter=quieter)
    return Stimulus(stimulus.name, (quieter * y).astype(np.float32), stimulus.axis, made)


def _power(samples: np.ndarray, name: str) -> float:
    power = float(np.mean(np.square(samples)))
    if power == 0:
        what = "a signal-to-noise ratio needs two sounds that are not silent"
        raise ValueProblem(what, got=f"{name!r} is all zero over the stretch", fix="leave the sound out")
    return power
