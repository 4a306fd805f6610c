"""Which real speech do the coders see, and which is held out? Lists of sounds, encoded once, every hidden state kept.

Spoken digits are strung together, by speaker and in random order, because Whisper's windows are
30 s whatever is in them. Speakers of the digits, and utterances of the rest, are in one half only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainalign.audio.read import read_audio
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoders.running import HuggingEncoder

RATE = 16_000
GAP = RATE // 10
LONGEST = 29 * RATE
ENCODER, DIGITS, SPEECH = "whisper_base_encoder", "fsdd/recordings", "speech_aligned_small"
HELD_OUT_SPEAKERS = ("theo", "yweweler")
# Sounds of which no part is in the other half: other speakers where they are known, else other utterances.
HELD_OUT_SPEECH = ("p003", "spk2_", "se10x016", "61-70968", "jfk", "arctic", "multilingual_ipa_us")
# The same recordings a second time under another name, and what is no speech.
LEFT_OUT = ("mono.16000", "dummy", "ESC50")


@dataclass(frozen=True)
class Word:
    """A spoken digit in a string of them: which, and where it begins and ends, in samples."""

    digit: int
    start: int
    stop: int


@dataclass(frozen=True)
class Sound:
    """A stimulus, the half it belongs to, who speaks, and the digits in it."""

    stimulus: Stimulus
    held_out: bool
    speaker: str
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class States:
    """Every hidden state of every sound: ``layers[l][i]`` is layer l of sound i, memory-mapped."""

    sounds: tuple[Sound, ...]
    layers: dict[int, tuple[Trajectory, ...]]

    def half(self, layer: int, *, held_out: bool) -> tuple[Trajectory, ...]:
        """Return the trajectories of one half."""
        pairs = zip(self.sounds, self.layers[layer], strict=True)
        return tuple(item for sound, item in pairs if sound.held_out == held_out)

    def seconds(self, *, held_out: bool) -> float:
        """Return how much sound a half holds."""
        return float(sum(s.stimulus.axis.duration for s in self.sounds if s.held_out == held_out))


def sounds(data: Path, *, n_each: int, seed: int, quick: bool) -> tuple[Sound, ...]:
    """Return all sounds: strings of digits, and the other speech cut into windows.

    Parameters
    ----------
    data
        Folder of the data.
    n_each
        Recordings of each digit by each speaker.
    seed
        Of the digits' order.
    quick
        Leave out most of the other speech.
    """
    return (*_digits(data / DIGITS, n_each=n_each, seed=seed), *_speech(data / SPEECH, quick=quick))


def _digits(folder: Path, *, n_each: int, seed: int) -> Iterator[Sound]:
    rng = np.random.default_rng(seed)
    named = [(path, *path.stem.split("_")) for path in sorted(folder.glob("*.wav"))]
    for speaker in sorted({item[2] for item in named}):
        own = [(path, int(digit)) for path, digit, who, take in named if who == speaker and int(take) < n_each]
        held: list[tuple[int, np.ndarray]] = []
        for number in rng.permutation(len(own)):
            path, digit = own[number]
            waveform = read_audio(path, rate=RATE).waveform
            if held and sum(len(w) + GAP for _, w in held) + len(waveform) > LONGEST:
                yield _strung(held, speaker)
                held = []
            held.append((digit, waveform))
        yield _strung(held, speaker)


def _strung(digits: list[tuple[int, np.ndarray]], speaker: str) -> Sound:
    pieces, words, place = [], [], 0
    for digit, waveform in digits:
        words.append(Word(digit, place, place + len(waveform)))
        pieces += [waveform, np.zeros(GAP, waveform.dtype)]
        place += len(waveform) + GAP
    whole = np.concatenate(pieces)
    stimulus = Stimulus(f"digits-{speaker}", whole, TimeAxis(RATE, len(whole)))
    return Sound(stimulus, speaker in HELD_OUT_SPEAKERS, speaker, tuple(words))


def _speech(folder: Path, *, quick: bool) -> Iterator[Sound]:
    kinds = ("*.wav", "*.flac", "*.mp3")
    paths = sorted(path for kind in kinds for path in folder.rglob(kind))
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if any(word in name for word in LEFT_OUT) or (quick and "spk" not in name):
            continue
        stimulus = read_audio(path, rate=RATE)
        for start in range(0, stimulus.axis.n, LONGEST):
            waveform = np.array(stimulus.waveform[start : start + LONGEST])
            piece = Stimulus(f"{name}@{start}", waveform, TimeAxis(RATE, len(waveform)))
            if len(waveform) > RATE // 2:
                yield Sound(piece, any(word in name for word in HELD_OUT_SPEECH), name)


def encoded(chosen: tuple[Sound, ...], encoder: HuggingEncoder, folder: Path, *, say: Callable[[str], None]) -> States:
    """Encode every sound once and keep its hidden states in memory-mapped files.

    Parameters
    ----------
    chosen
        The sounds.
    encoder
        The model.
    folder
        Where the files go; what is already there is taken.
    say
        Told of progress.
    """
    numbers = range(encoder.n_layers + 1)
    layers: dict[int, list[Trajectory]] = {layer: [] for layer in numbers}
    for i, sound in enumerate(chosen):
        for layer, trajectory in _one(sound, i, encoder, folder).items():
            layers[layer].append(trajectory)
        if (i + 1) % 20 == 0:
            say(f"{i + 1} of {len(chosen)} sounds encoded")
    return States(chosen, {layer: tuple(items) for layer, items in layers.items()})


def _one(sound: Sound, i: int, encoder: HuggingEncoder, folder: Path) -> dict[int, Trajectory]:
    places = {layer: folder / f"{i}-{layer}" for layer in range(encoder.n_layers + 1)}
    if not all(place.is_dir() for place in places.values()):
        for layer, item in encoder.encode(sound.stimulus, list(places)).items():
            item.save(places[layer])
    return {layer: Trajectory.open(place) for layer, place in places.items()}
