"""When, in the recording, did a moment of the stimulus happen? Onset and drift, exactly.

Two sound cards never agree: 50 parts per million are 3 ms in a minute and 0.18 s in an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from brainalign.core.errors import ValueProblem
from brainalign.core.time import Number, TimeAxis, exact

MAX_DRIFT = Fraction(1, 100)


@dataclass(frozen=True)
class ListeningClock:
    """Stimulus time ``s`` was heard at recording time ``onset + (1 + drift) * s``.

    Parameters
    ----------
    onset
        When the stimulus' time 0 was heard, in seconds of the recording.
    drift
        How much longer a stimulus second lasts on the recording's clock, as a share
        (``"50/1000000"`` is 50 parts per million).

    Examples
    --------
    >>> clock = ListeningClock("12.3456", "50/1000000")
    >>> clock.recording_time(60), clock.stimulus_time(clock.recording_time(60))
    (Fraction(361743, 5000), Fraction(60, 1))
    """

    onset: Fraction
    drift: Fraction = Fraction(0)

    def __init__(self, onset: Number, drift: Number = 0) -> None:
        object.__setattr__(self, "onset", exact(onset))
        object.__setattr__(self, "drift", exact(drift))
        if abs(self.drift) > MAX_DRIFT:
            raise ValueProblem(
                "a drift is a small share of a second per second",
                got=f"{float(self.drift):g}",
                fix="write 50 parts per million as '50/1000000'; clocks that differ by more than 1 % are broken",
            )

    def recording_time(self, stimulus_time: Number) -> Fraction:
        """Return when a moment of the stimulus was heard, in seconds of the recording."""
        return self.onset + (1 + self.drift) * exact(stimulus_time)

    def stimulus_time(self, recording_time: Number) -> Fraction:
        """Return which moment of the stimulus was heard at a time of the recording, in seconds."""
        return (exact(recording_time) - self.onset) / (1 + self.drift)

    def on_recording(self, axis: TimeAxis) -> TimeAxis:
        """Return a stimulus' clock as seen from the recording: its frames, at the times they were heard."""
        return TimeAxis(axis.rate / (1 + self.drift), axis.n, self.recording_time(axis.t0))
