"""Which spectrograms were models trained on? Whisper's log-mel and Kaldi's filterbank, in double precision.

Both look at 400 samples every 160. Whisper's windows are centred (frame ``j`` on sample
``160 j``, the ends reflected); Kaldi's are not padded (frame ``j`` begins at sample ``160 j``).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

import numpy as np
from transformers.audio_utils import mel_filter_bank

WINDOW, HOP, FFT = 400, 160, 512
KALDI_FLOOR, WHISPER_FLOOR = 1.192092955078125e-07, 1e-10
PRE_EMPHASIS = 0.97
POVEY = 0.85


def whisper_log_mel(waveform: np.ndarray, *, n_mels: int) -> np.ndarray:
    """Compute Whisper's log-mel spectrogram: levels within 80 dB of the loudest, divided by 40 dB.

    Parameters
    ----------
    waveform
        Samples at 16 kHz, shape ``(n_samples,)``.
    n_mels
        Number of bands (80, and 128 for the third large model).

    Returns
    -------
    numpy.ndarray
        Shape ``(n_samples // 160, n_mels)``, float64.
    """
    filters = mel_filter_bank(
        num_frequency_bins=WINDOW // 2 + 1,
        num_mel_filters=n_mels,
        min_frequency=0.0,
        max_frequency=8000.0,
        sampling_rate=16_000,
        norm="slaney",
        mel_scale="slaney",
    )
    padded = np.pad(waveform.astype(np.float64), WINDOW // 2, mode="reflect")
    frames = _frames(padded)[: waveform.size // HOP]
    periodic_hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(frames * periodic_hann, axis=1)) ** 2
    levels = np.log10(np.maximum(power @ filters, WHISPER_FLOOR))
    return (np.maximum(levels, levels.max() - 8.0) + 4.0) / 4.0


def filterbank(
    waveform: np.ndarray,
    *,
    n_mels: int,
    sample_rate: Fraction,
    window: Literal["hann", "povey"],
    n_at_once: int = 4096,
) -> Iterator[np.ndarray]:
    """Compute Kaldi's log-mel filterbank, a block of frames at a time.

    Frames of 400 samples every 160, none of them padded: mean removed, pre-emphasis 0.97,
    window, power spectrum of 512 points, triangles on Kaldi's mel scale from 20 Hz, natural
    logarithm.

    Parameters
    ----------
    waveform
        Samples, shape ``(n_samples,)``.
    n_mels
        Number of bands.
    sample_rate
        Rate of the waveform, in Hz.
    window
        ``"hann"``, or ``"povey"`` (Hann to the power 0.85), both symmetric.
    n_at_once
        Frames in a block.

    Yields
    ------
    numpy.ndarray
        Shape ``(at most n_at_once, n_mels)``, float64.
    """
    taper = np.hanning(WINDOW) ** (POVEY if window == "povey" else 1.0)
    filters = mel_filter_bank(
        num_frequency_bins=FFT // 2 + 1,
        num_mel_filters=n_mels,
        min_frequency=20,
        max_frequency=float(sample_rate / 2),
        sampling_rate=int(sample_rate),
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    frames = _frames(waveform)
    for start in range(0, len(frames), n_at_once):
        block = frames[start : start + n_at_once].astype(np.float64)
        block -= block.mean(axis=1, keepdims=True)
        # The sample before a frame's first is taken to be like it.
        before = np.concatenate([block[:, :1], block[:, :-1]], axis=1)
        power = np.abs(np.fft.rfft((block - PRE_EMPHASIS * before) * taper, n=FFT, axis=1)) ** 2
        yield np.log(np.maximum(power @ filters, KALDI_FLOOR))


def _frames(waveform: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::HOP]
