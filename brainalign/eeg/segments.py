"""Which stretches are spoilt? They are marked and masked, never cut: time stays exact."""

from __future__ import annotations

from dataclasses import dataclass

import mne
import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.eeg.guards import good_samples, note, require_eeg

MAD_TO_SD = 1.4826
# Logarithms of a clean window's range differ by about this much; a very even recording condemns nothing below it.
USUAL_SPREAD = 0.2
MARK = "BAD_segment"


@dataclass(frozen=True)
class BadSegments:
    """Mark stretches in which many channels are far louder than they usually are.

    A channel's range (largest minus smallest value) in short windows is compared with its own median,
    in units of its own robust spread. Blinks raise few channels and are left to the ocular steps;
    movements, jaws and cables raise many. The marks become masked frames of every trial that they touch.

    Parameters
    ----------
    window
        Seconds.
    threshold
        A channel is loud in a window whose log range is that many robust standard deviations above its median.
    share
        A window is bad if more than this share of the good channels is loud.
    peak_microvolts
        A window is bad, too, if any good channel's range is larger; None for no such limit.
    pad
        Seconds that are marked on either side.
    """

    window: float = 1.0
    threshold: float = 5.0
    share: float = 0.2
    peak_microvolts: float | None = None
    pad: float = 0.1

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy with the bad stretches annotated; not a sample is changed."""
        names = [name for name in require_eeg(raw) if name not in raw.info["bads"]]
        size = round(self.window * raw.info["sfreq"])
        if size < 2 or raw.n_times < 4 * size:
            raise ValueProblem(
                "bad stretches are told from usual ones, in at least four windows",
                got=f"{raw.n_times / raw.info['sfreq']:g} s, windows of {self.window:g} s",
                fix="look at the whole recording, before it is cut",
            )
        starts = np.arange(0, raw.n_times - size + 1, size)
        values = raw.get_data(picks=names)[:, : starts.size * size].reshape(len(names), starts.size, size)
        # Written once for all windows: the last one takes what is left over at the end.
        bad = self._judge(np.ptp(values, axis=2))
        marked = raw.copy()
        spans = self._spans(starts, bad, size=size, n_times=raw.n_times)
        rate = raw.info["sfreq"]
        onsets = [raw.first_time + start / rate for start, _ in spans]
        marks = mne.Annotations(
            onsets, [(stop - start) / rate for start, stop in spans], [MARK] * len(spans), raw.annotations.orig_time
        )
        marked.set_annotations(raw.annotations + marks)
        note(marked, n_bad_segments=len(spans), kept_share=round(float(np.mean(good_samples(marked))), 6))
        return marked

    def _judge(self, ranges: np.ndarray) -> np.ndarray:
        log_range = np.log(np.maximum(ranges, np.finfo(float).tiny))
        usual = np.median(log_range, axis=1, keepdims=True)
        spread = MAD_TO_SD * np.median(np.abs(log_range - usual), axis=1, keepdims=True)
        loud = log_range - usual > self.threshold * np.maximum(spread, USUAL_SPREAD)
        bad = np.mean(loud, axis=0) > self.share
        if self.peak_microvolts is not None:
            bad |= ranges.max(axis=0) > self.peak_microvolts * 1e-6
        return np.asarray(bad)

    def _spans(self, starts: np.ndarray, bad: np.ndarray, *, size: int, n_times: int) -> list[tuple[float, float]]:
        """Join neighbouring windows, in samples, and leave room on both sides."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(int), [0]])))
        room = self.pad / self.window * size
        spans = []
        for first, stop in edges.reshape(-1, 2):
            end = n_times - 1 if stop == starts.size else starts[stop - 1] + size - 1
            spans.append((max(0.0, starts[first] - room), min(n_times - 1.0, end + room)))
        return spans
