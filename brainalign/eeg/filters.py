"""Which frequencies stay? Notches and band passes, zero-phase unless asked otherwise, their widths written down."""

from __future__ import annotations

from dataclasses import dataclass

import mne

from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.eeg.guards import pick_names, require_long_enough

EEG_AND_EOG = ("eeg", "eog")
PHASES = ("zero", "forward")


@dataclass(frozen=True)
class LineNoise:
    """Remove mains hum with zero-phase FIR notches, from EEG and EOG.

    Parameters
    ----------
    frequencies
        Hz; each must lie below half the sampling rate. Name harmonics one by one.
    width
        Width of each notch, in Hz, between two transitions of half that width.
    """

    frequencies: tuple[float, ...] = (50.0,)
    width: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "frequencies", tuple(float(hertz) for hertz in self.frequencies))

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy without the hum."""
        nyquist = raw.info["sfreq"] / 2
        edge = self.width
        wrong = [hertz for hertz in self.frequencies if not edge < hertz < nyquist - edge]
        if wrong:
            raise ValueProblem(
                "a notch must lie between 0 Hz and half the sampling rate",
                got=f"{wrong} Hz, and a Nyquist frequency of {nyquist:g} Hz",
                fix="leave that frequency out: this recording holds none of it"
                if min(wrong) > edge
                else "give mains frequencies in Hz",
            )
        require_long_enough(raw, transition=self.width / 2, step="LineNoise")
        if not self.frequencies:
            return raw.copy()
        return raw.copy().notch_filter(
            self.frequencies,
            picks=pick_names(raw, EEG_AND_EOG),
            notch_widths=self.width,
            trans_bandwidth=self.width / 2,
            verbose="error",
        )


@dataclass(frozen=True)
class SpectralLine:
    """Subtract sinusoids at the mains frequencies where a multitaper F-test finds them, from EEG and EOG.

    Nothing else is touched, so nothing of the brain's at these frequencies is lost; hum that changes its
    strength within a window is removed in part only.

    Parameters
    ----------
    frequencies
        Hz; each must lie below half the sampling rate. Name harmonics one by one.
    window
        Seconds over which a sinusoid is taken to be steady.
    p
        A sinusoid is subtracted where the F-test's p-value is below this.
    """

    frequencies: tuple[float, ...] = (50.0,)
    window: float = 10.0
    p: float = 0.05

    def __post_init__(self) -> None:
        object.__setattr__(self, "frequencies", tuple(float(hertz) for hertz in self.frequencies))

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy without the sinusoids."""
        nyquist = raw.info["sfreq"] / 2
        if not all(0 < hertz < nyquist for hertz in self.frequencies):
            raise ValueProblem(
                "a spectral line must lie between 0 Hz and half the sampling rate",
                got=f"{list(self.frequencies)} Hz, and a Nyquist frequency of {nyquist:g} Hz",
                fix="leave that frequency out: this recording holds none of it",
            )
        if not self.frequencies:
            return raw.copy()
        return raw.copy().notch_filter(
            self.frequencies,
            picks=pick_names(raw, EEG_AND_EOG),
            method="spectrum_fit",
            filter_length=f"{min(self.window, raw.n_times / raw.info['sfreq']):g}s",
            p_value=self.p,
            verbose="error",
        )


@dataclass(frozen=True)
class BandPass:
    """Keep one band of EEG and EOG with a zero-phase FIR filter (Hamming window, -6 dB in mid-transition).

    Parameters
    ----------
    low, high
        Edges of the pass band in Hz; None leaves that side open.
    low_transition, high_transition
        How far outside the band the filter has closed, in Hz. None follows MNE's rule: a
        quarter of the edge, but at least 2 Hz, and no further than 0 Hz or half the sampling
        rate. From 1 to 15 Hz that is 1 and 3.75 Hz: closed at 0 and from 18.75 Hz on, -6 dB at
        0.5 and 16.875 Hz.
    """

    low: float | None = 1.0
    high: float | None = 15.0
    low_transition: float | None = None
    high_transition: float | None = None

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a filtered copy."""
        nyquist = raw.info["sfreq"] / 2
        below, above = self._transitions(nyquist)
        self._check(nyquist, below=below, above=above)
        used = [width for width, edge in ((below, self.low), (above, self.high)) if edge is not None]
        if not used:
            return raw.copy()
        require_long_enough(raw, transition=min(used), step="BandPass")
        return raw.copy().filter(
            self.low,
            self.high,
            picks=pick_names(raw, EEG_AND_EOG),
            l_trans_bandwidth=below,
            h_trans_bandwidth=above,
            verbose="error",
        )

    def _transitions(self, nyquist: float) -> tuple[float, float]:
        below, above = self.low_transition, self.high_transition
        low, high = self.low or 0.0, self.high or 0.0
        return (
            min(max(low / 4, 2.0), low) if below is None else below,
            min(max(high / 4, 2.0), nyquist - high) if above is None else above,
        )

    def _check(self, nyquist: float, *, below: float, above: float) -> None:
        low, high = self.low, self.high
        band = f"{low} to {high} Hz, transitions {below:g} and {above:g} Hz"
        if low is not None and (low <= 0 or not 0 < below <= low):
            raise ValueProblem(
                "the lower transition must fit above 0 Hz",
                got=band,
                fix="set low_transition between 0 and low, or low=None for no high-pass",
            )
        if high is not None and (above <= 0 or high + above > nyquist):
            raise ValueProblem(
                "the upper transition must end below half the sampling rate",
                got=f"{band}, and a Nyquist frequency of {nyquist:g} Hz",
                fix="lower high= or high_transition=, or set high=None",
            )
        if low is not None and high is not None and low >= high:
            raise ValueProblem("a pass band must have low below high", got=band, fix="swap them")


@dataclass(frozen=True)
class Butterworth:
    """Keep one band of EEG and EOG with a Butterworth filter.

    Parameters
    ----------
    low, high
        Edges of the pass band in Hz.
    order
        Order of the filter as designed (a band pass has twice as many poles).
    phase
        ``"zero"``: run forwards and backwards, which doubles the order and halves the edges' gain
        (-6 dB). ``"forward"``: once, causally (-3 dB); responses come later, by an amount that
        differs over frequencies.
    """

    low: float = 1.0
    high: float = 15.0
    order: int = 3
    phase: str = "zero"

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a filtered copy."""
        nyquist = raw.info["sfreq"] / 2
        if not 0 < self.low < self.high < nyquist:
            raise ValueProblem(
                "a pass band must have low below high, between 0 Hz and half the sampling rate",
                got=f"{self.low:g} to {self.high:g} Hz, and a Nyquist frequency of {nyquist:g} Hz",
                fix="give the edges in Hz, e.g. low=1, high=8",
            )
        if self.phase not in PHASES:
            raise unknown_name(self.phase, among=PHASES, kind="phase of a filter")
        return raw.copy().filter(
            self.low,
            self.high,
            picks=pick_names(raw, EEG_AND_EOG),
            method="iir",
            iir_params={"order": self.order, "ftype": "butter", "output": "sos"},
            phase=self.phase,
            verbose="error",
        )
