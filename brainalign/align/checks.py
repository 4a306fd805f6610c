"""Do onsets, sounds and recording fit together? What does not is told, and never moved until it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from brainalign.align.sound import SoundMatch, find_sound
from brainalign.core.errors import GridMismatch
from brainalign.core.recording import Recording
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import Number, exact

# Jitter of triggers and one sample at 250 Hz stay below, a misread table does not.
ONSET_TOLERANCE = Fraction(5, 1000)


@dataclass(frozen=True)
class Finding:
    """One thing about one hearing that was looked at.

    Parameters
    ----------
    stimulus
        Its name.
    what
        ``"onset"``, ``"drift"``, ``"end"`` or ``"overlap"``.
    seconds
        How far off: positive is heard later than told, or too long.
    tolerance
        What is forgiven, in seconds.
    told
        In words.
    """

    stimulus: str
    what: str
    seconds: float
    tolerance: float
    told: str

    @property
    def fits(self) -> bool:
        """Whether it is within the tolerance."""
        return abs(self.seconds) <= self.tolerance


def check_lengths(recording: Recording, lengths: Mapping[str, Number], *, tolerance: Number = 0) -> tuple[Finding, ...]:
    """Check that every sound ends before the recording and before the next sound begins.

    Parameters
    ----------
    recording
        With onsets.
    lengths
        Stimulus name -> length of its sound in seconds; onsets of other names are passed over.
    tolerance
        Seconds that a sound may be too long.

    Returns
    -------
    tuple of Finding
        Two per hearing: ``"end"`` (seconds that are missing at the end of the recording, or before its start)
        and ``"overlap"`` (seconds by which it runs into the next sound); 0 where all is well.
    """
    clock = recording.axis
    heard = sorted((time, name) for name, times in recording.onsets.items() if name in lengths for time in times)
    slack, findings = float(exact(tolerance)), []
    for number, (onset, name) in enumerate(heard):
        end = onset + exact(lengths[name])
        missing = max(end - clock.t0 - clock.duration, clock.t0 - onset, Fraction(0))
        following = heard[number + 1][0] if number + 1 < len(heard) else end
        into = max(end - following, Fraction(0))
        span = f"heard from {float(onset):.3f} to {float(end):.3f} s"
        findings.append(
            Finding(
                name,
                "end",
                float(missing),
                slack,
                f"{span}, recorded from {float(clock.t0):.3f} to {float(clock.t0 + clock.duration):.3f} s",
            )
        )
        findings.append(Finding(name, "overlap", float(into), slack, f"{span}, the next at {float(following):.3f} s"))
    return tuple(findings)


def check_onsets(
    recording: Recording,
    sounds: Sequence[Stimulus],
    *,
    channel: str,
    reach: Number = 5,
    tolerance: Number = ONSET_TOLERANCE,
) -> tuple[tuple[Finding, ...], dict[str, SoundMatch]]:
    """Hold the onsets that a recording tells against the sound in its audio channel.

    Parameters
    ----------
    recording
        As it was recorded, with onsets; each of the sounds must have been heard once.
    sounds
        What was played.
    channel
        Name of the channel that recorded the sound.
    reach
        How far around the told onset the sound is looked for, in seconds.
    tolerance
        Seconds that an onset may be off. Also what the drift may add up to over the sound.

    Returns
    -------
    findings, matches
        Two findings per sound (``"onset"``, ``"drift"``), and where each was found.
    """
    findings, matches = [], {}
    slack = float(exact(tolerance))
    for sound in sounds:
        told = recording.onset(sound.name)
        match = find_sound(sound, recording, channel=channel, near=told, reach=reach)
        late = float(match.clock.onset - told)
        grown = float(match.clock.drift * sound.axis.duration)
        note = f"told {float(told):.4f} s, heard {float(match.clock.onset):.4f} s (+- {1e3 * match.onset_error:.2g} ms)"
        pace = f"{1e6 * float(match.clock.drift):+.1f} ppm over {float(sound.axis.duration):.1f} s"
        findings += [
            Finding(sound.name, "onset", late, slack, note),
            Finding(sound.name, "drift", grown, slack, pace),
        ]
        matches[sound.name] = match
    return tuple(findings), matches


def require_fit(findings: Sequence[Finding], *, label: str = "the recording") -> None:
    """Refuse a recording whose onsets, sounds and length do not fit together.

    Parameters
    ----------
    findings
        Of `check_lengths` or `check_onsets`.
    label
        Whose they are.
    """
    wrong = [finding for finding in findings if not finding.fits]
    if wrong:
        lines = [f"{f.stimulus}: {f.what} {1e3 * f.seconds:+.1f} ms ({f.told})" for f in wrong[:6]]
        raise GridMismatch(
            f"{label}: sound and recording do not fit together in {len(wrong)} of {len(findings)} respects",
            got="; ".join(lines),
            fix="correct the onsets, or align by the measured clock: onset=match.clock.onset, drift=match.clock.drift",
        )
