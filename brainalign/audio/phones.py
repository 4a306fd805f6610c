"""What does the built-in speaker say? Phrases, syllables and phones, as control tracks over time.

Invented syllables in a natural rhythm: about 4.5 per second with jitter and stress, phrases of
1.5 to 4 s with falling pitch and accents, pauses of 0.2 to 0.8 s between them. A stimulus
begins somewhere in the stream, not always at the beginning of a phrase.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

CONTROL_RATE = 1000
"""Control values per second."""

NOISE_CENTRES = (900.0, 1800.0, 2800.0, 4000.0, 5800.0)
"""Centres of the noise bands, in Hz."""

SILENT = (0.0, 0.0, 0.0, 0.0, 0.0)
PHRASE_SECONDS = (1.5, 4.0)
PAUSE_SECONDS = (0.2, 0.8)
SYLLABLE_SECONDS = 0.205
LONGEST_OFFSET_SECONDS = 4.0
LOUDEST_CONSONANT = 0.3

# Formants in Hz of an average speaker (after Peterson and Barney, 1952; the fourth is rounded).
VOWELS: tuple[tuple[float, float, float, float], ...] = (
    (290, 2290, 3010, 3600),
    (390, 1990, 2550, 3600),
    (530, 1840, 2480, 3500),
    (660, 1720, 2410, 3500),
    (730, 1090, 2440, 3400),
    (570, 840, 2410, 3300),
    (440, 1020, 2240, 3300),
    (310, 870, 2240, 3300),
    (640, 1190, 2390, 3400),
    (490, 1350, 1690, 3300),
)


@dataclass(frozen=True)
class Phone:
    """A stretch of constant targets.

    Parameters
    ----------
    seconds
        How long it lasts.
    voice
        Loudness of the voice, 0 to 1.
    noise
        Loudness of each noise band, 0 to 1.
    formants
        Formant frequencies in Hz.
    accent
        Whether the pitch rises here.
    """

    seconds: float
    voice: float
    noise: tuple[float, ...]
    formants: tuple[float, ...]
    accent: bool = False


LABIAL, ALVEOLAR, VELAR = (350, 900, 2300, 3300), (350, 1750, 2600, 3500), (350, 2100, 2500, 3400)

CONSONANTS: tuple[tuple[Phone, ...], ...] = (
    (Phone(0.100, 0.0, (0.0, 0.0, 0.02, 0.12, 0.2), ALVEOLAR),),  # s
    (Phone(0.100, 0.0, (0.0, 0.08, 0.2, 0.12, 0.06), VELAR),),  # sh
    (Phone(0.085, 0.0, (0.016, 0.016, 0.02, 0.024, 0.04), LABIAL),),  # f
    (Phone(0.070, 0.2, (0.0, 0.0, 0.012, 0.06, 0.1), ALVEOLAR),),  # z
    (Phone(0.060, 0.0, (0.048, 0.048, 0.032, 0.016, 0.008), (500, 1500, 2500, 3500)),),  # h
    (Phone(0.065, 0.0, SILENT, LABIAL), Phone(0.012, 0.0, (0.2, 0.08, 0.04, 0.02, 0.02), LABIAL),
     Phone(0.025, 0.0, (0.04, 0.032, 0.02, 0.012, 0.008), LABIAL)),  # p
    (Phone(0.065, 0.0, SILENT, ALVEOLAR), Phone(0.012, 0.0, (0.02, 0.04, 0.12, 0.2, 0.24), ALVEOLAR),
     Phone(0.030, 0.0, (0.02, 0.032, 0.04, 0.04, 0.032), ALVEOLAR)),  # t
    (Phone(0.065, 0.0, SILENT, VELAR), Phone(0.016, 0.0, (0.06, 0.24, 0.12, 0.06, 0.04), VELAR),
     Phone(0.035, 0.0, (0.024, 0.048, 0.04, 0.024, 0.012), VELAR)),  # k
    (Phone(0.055, 0.06, SILENT, LABIAL), Phone(0.010, 0.2, (0.12, 0.048, 0.024, 0.012, 0.012), LABIAL)),  # b
    (Phone(0.055, 0.06, SILENT, ALVEOLAR), Phone(0.010, 0.2, (0.012, 0.024, 0.08, 0.12, 0.12), ALVEOLAR)),  # d
    (Phone(0.055, 0.06, SILENT, VELAR), Phone(0.014, 0.2, (0.04, 0.14, 0.08, 0.032, 0.02), VELAR)),  # g
    (Phone(0.070, 0.1, SILENT, (270, 1000, 2200, 3000)),),  # m
    (Phone(0.070, 0.1, SILENT, (270, 1450, 2300, 3100)),),  # n
    (Phone(0.065, 0.15, SILENT, (360, 1250, 2700, 3400)),),  # l
    (Phone(0.065, 0.15, SILENT, (330, 1200, 1650, 3200)),),  # r
    (Phone(0.065, 0.13, SILENT, (300, 650, 2200, 3200)),),  # w
)  # fmt: skip


@dataclass(frozen=True)
class Tracks:
    """Control values at `CONTROL_RATE`: voice ``(n,)``, noise ``(n, 5)``, formants ``(n, 4)``, pitch in Hz ``(n,)``."""

    voice: np.ndarray
    noise: np.ndarray
    formants: np.ndarray
    pitch: np.ndarray

    def part(self, start: int, stop: int) -> Tracks:
        """Return the control values ``start`` to ``stop - 1``."""
        return Tracks(*(getattr(self, name)[start:stop] for name in ("voice", "noise", "formants", "pitch")))


def speak(seconds: float, rng: np.random.Generator) -> Tracks:
    """Plan some seconds of speech by one speaker, beginning anywhere in the stream.

    Parameters
    ----------
    seconds
        How long.
    rng
        Decides the speaker and what is said.
    """
    offset = rng.uniform(0, LONGEST_OFFSET_SECONDS)
    base = float(np.exp(rng.uniform(np.log(95), np.log(215))))
    # Higher voices come from shorter vocal tracts.
    tract = 0.95 + 0.2 * np.log(base / 95) / np.log(215 / 95) + rng.normal(0, 0.02)
    pieces = []
    planned = 0.0
    while planned < offset + seconds + 0.1:
        phones, pause = list(_phrase(rng)), rng.uniform(*PAUSE_SECONDS)
        pieces.append(_phrase_tracks(phones, pause=pause, base=base, rng=rng))
        planned += pieces[-1].voice.size / CONTROL_RATE
    stream = Tracks(*(np.concatenate([getattr(p, n) for p in pieces]) for n in ("voice", "noise", "formants", "pitch")))
    start = int(offset * CONTROL_RATE)
    return _smooth(stream, tract=tract).part(start, start + int(np.ceil(seconds * CONTROL_RATE)) + 1)


def _phrase(rng: np.random.Generator) -> Iterator[Phone]:
    target = rng.uniform(*PHRASE_SECONDS)
    spoken = 0.0
    stressed = bool(rng.integers(2))
    while spoken < target - SYLLABLE_SECONDS / 2:
        last = spoken > target - 1.5 * SYLLABLE_SECONDS
        for phone in _syllable(rng, stressed=stressed, last=last):
            spoken += phone.seconds
            yield phone
        # Stress mostly alternates, but not so strictly that feet outweigh syllables.
        stressed = bool(rng.random() < (0.3 if stressed else 0.6))


def _syllable(rng: np.random.Generator, *, stressed: bool, last: bool) -> Iterator[Phone]:
    stretch = 1.1 if stressed else 0.95
    total = SYLLABLE_SECONDS * stretch * (1.25 if last else 1.0) * np.exp(rng.normal(0, 0.12))
    onset = CONSONANTS[rng.integers(len(CONSONANTS))] if rng.random() < 0.95 else ()
    coda = CONSONANTS[rng.integers(len(CONSONANTS))] if rng.random() < 0.12 else ()
    loudness = (1.0 if stressed else 0.8) * np.exp(rng.normal(0, 0.1)) * (0.8 if last else 1.0)
    rest = total - sum(phone.seconds for phone in (*onset, *coda))
    vowel = VOWELS[rng.integers(len(VOWELS))]
    yield from onset
    yield Phone(max(rest, 0.07), loudness, SILENT, vowel, accent=stressed)
    yield from coda


def _phrase_tracks(phones: list[Phone], *, pause: float, base: float, rng: np.random.Generator) -> Tracks:
    phones = [*phones, Phone(pause, 0.0, SILENT, phones[-1].formants)]
    edges = np.round(np.cumsum([0.0, *(phone.seconds for phone in phones)]) * CONTROL_RATE).astype(int)
    lengths = np.diff(edges)
    n, speech = edges[-1], edges[-2]
    semitones = np.interp(np.arange(n), [0, speech], [3.0, -3.5])
    accents = np.zeros(n)
    for start, length, phone in zip(edges, lengths, phones, strict=False):
        accents[start + length // 2] += phone.accent * rng.uniform(1.5, 4.0)
    spread = 0.07 * CONTROL_RATE
    semitones += gaussian_filter1d(accents, spread, mode="constant") * spread * np.sqrt(2 * np.pi)
    semitones += 6 * gaussian_filter1d(rng.standard_normal(n), 60, mode="reflect")
    return Tracks(
        voice=np.concatenate([_loudness(phone, n) for phone, n in zip(phones, lengths, strict=True)]),
        noise=np.repeat([phone.noise for phone in phones], lengths, axis=0),
        formants=np.repeat(np.array([phone.formants for phone in phones], dtype=float), lengths, axis=0),
        pitch=base * 2 ** (semitones / 12),
    )


def _loudness(phone: Phone, n: int) -> np.ndarray:
    """Return the voice over a phone: vowels swell and fade, everything else is level."""
    swell = np.sin(np.pi * (np.arange(n) + 0.5) / n) if phone.voice > LOUDEST_CONSONANT else np.ones(n)
    return phone.voice * swell


def _smooth(tracks: Tracks, *, tract: float) -> Tracks:
    """Let targets glide: formants and voice slowly, noise (bursts) fast."""
    glide = gaussian_filter1d(np.log(tracks.formants * tract), 0.018 * CONTROL_RATE, axis=0, mode="nearest")
    return Tracks(
        voice=gaussian_filter1d(tracks.voice, 0.014 * CONTROL_RATE, mode="nearest"),
        noise=gaussian_filter1d(tracks.noise, 0.004 * CONTROL_RATE, axis=0, mode="nearest"),
        formants=np.exp(glide),
        pitch=gaussian_filter1d(tracks.pitch, 0.02 * CONTROL_RATE, mode="nearest"),
    )
