"""What the brain did: channels over time in volts, with sensors, bad channels and onsets.

A `Recording` is what the rooms pass around and the store keeps; at the edges it becomes
an MNE Raw and back, so every MNE tool stays at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from brainalign.core.arrays import read_only, require_finite, require_shape
from brainalign.core.artefact import Artefact
from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.core.time import TimeAxis, exact

if TYPE_CHECKING:
    import mne

BAD = "BAD"


@dataclass(frozen=True, eq=False)
class Recording:
    """One continuous recording.

    Parameters
    ----------
    values
        Volts, shape ``(n_samples, n_channels)``, float32 or float64.
    axis
        The clock; time 0 is the recording's first sample unless it was resampled.
    channels, kinds
        Names and MNE channel types (``"eeg"``, ``"eog"``, ...), one per column.
    positions
        Sensor positions in metres in head coordinates, shape ``(n_channels, 3)``; NaN
        where a channel has none.
    bads
        Names of bad channels.
    onsets
        When each event began, in seconds on the axis: event name -> times.
    bad_spans
        First and last moment of each stretch that must not be used, in seconds on the axis; in MNE,
        annotations whose names begin with "BAD". Nothing is cut: trials mask them.
    subject, session, run
        Whose recording it is.
    """

    values: np.ndarray
    axis: TimeAxis
    channels: tuple[str, ...]
    kinds: tuple[str, ...]
    positions: np.ndarray
    bads: tuple[str, ...] = ()
    onsets: Mapping[str, tuple[Fraction, ...]] = field(default_factory=dict)
    subject: str = ""
    session: str = ""
    run: str = ""
    provenance: Provenance = field(default_factory=Provenance)
    bad_spans: tuple[tuple[Fraction, Fraction], ...] = ()

    def __post_init__(self) -> None:
        n_channels = len(self.channels)
        require_shape(np.shape(self.values), (self.axis.n, n_channels), name="values", axes="samples, channels")
        require_shape(np.shape(self.positions), (n_channels, 3), name="positions", axes="channels, xyz in metres")
        require_shape((len(self.kinds),), (n_channels,), name="kinds", axes="channels")
        unknown = sorted(set(self.bads) - set(self.channels))
        if unknown:
            raise UnknownName("a bad channel is not in the recording", got=unknown, fix=f"use {self.channels[:4]}...")
        require_finite(
            np.asarray(self.values),
            name=f"the recording of {self.subject or 'an unnamed subject'}",
            fix="cut the damaged span, or mark the channel bad and interpolate it before reading it here",
        )
        object.__setattr__(self, "bad_spans", tuple((exact(start), exact(stop)) for start, stop in self.bad_spans))
        object.__setattr__(self, "values", read_only(np.asarray(self.values)))
        object.__setattr__(self, "positions", read_only(np.asarray(self.positions, dtype=float)))

    @property
    def label(self) -> str:
        """Subject, session and run in one word, for logs and file names."""
        parts = (("sub", self.subject), ("ses", self.session), ("run", self.run))
        return "_".join(f"{key}-{value}" for key, value in parts if value) or "recording"

    def onset(self, event: str) -> Fraction:
        """Return when an event began, in seconds; it must have happened exactly once."""
        times = self.onsets.get(event, ())
        if len(times) != 1:
            known = ", ".join(sorted(self.onsets)[:8]) or "none"
            raise ValueProblem(
                f"{self.label}: the onset of {event!r} must be marked exactly once",
                got=f"{len(times)} annotations of that name",
                fix=f"name the annotation after the stimulus, or give onset=. Marked events: {known}",
            )
        return times[0]

    def to_mne(self) -> mne.io.RawArray:
        """Return the recording as an MNE Raw (a copy, in volts, with montage and annotations).

        MNE rounds onsets to the microsecond and leaves out those outside the recording.
        """
        import mne

        info = mne.create_info(list(self.channels), float(self.axis.rate), list(self.kinds))
        info["subject_info"] = {"his_id": self.subject} if self.subject else None
        raw = mne.io.RawArray(np.array(self.values.T, dtype=float), info, verbose="error")
        raw.set_montage(self._montage(), on_missing="ignore", verbose="error")
        raw.info["bads"] = list(self.bads)
        marks = sorted((float(time - self.axis.t0), name) for name, times in self.onsets.items() for time in times)
        starts = [float(start - self.axis.t0) for start, _ in self.bad_spans]
        lengths = [float(stop - start) for start, stop in self.bad_spans]
        raw.set_annotations(
            mne.Annotations(
                [m[0] for m in marks] + starts,
                [0.0] * len(marks) + lengths,
                [m[1] for m in marks] + [f"{BAD}_span"] * len(starts),
            )
        )
        return raw

    def _montage(self) -> mne.channels.DigMontage:
        import mne

        has_place = np.isfinite(self.positions).all(axis=1)
        places = {name: self.positions[i] for i, name in enumerate(self.channels) if has_place[i]}
        return mne.channels.make_dig_montage(ch_pos=places, coord_frame="head")

    @classmethod
    def from_mne(
        cls,
        raw: mne.io.BaseRaw,
        *,
        subject: str = "",
        session: str = "",
        run: str = "",
        provenance: Provenance | None = None,
    ) -> Recording:
        """Read an MNE Raw: its data channels, montage, bad channels and annotations.

        The clock starts at 0 at the first sample of the file. MNE keeps annotation onsets
        to the microsecond, and so they come out here.
        """
        kinds = raw.get_channel_types()
        return cls(
            values=raw.get_data().T,
            axis=TimeAxis(raw.info["sfreq"], raw.n_times),
            channels=tuple(raw.ch_names),
            kinds=tuple(kinds),
            positions=_positions(raw),
            bads=tuple(raw.info["bads"]),
            onsets=_onsets(raw),
            bad_spans=_bad_spans(raw),
            subject=subject,
            session=session,
            run=run,
            provenance=provenance or Provenance().then("read_mne"),
        )

    def pack(self) -> Artefact:
        """Return the recording as an artefact."""
        meta: dict[str, Any] = {
            "axis": self.axis.to_json(),
            "channels": self.channels,
            "kinds": self.kinds,
            "bads": self.bads,
            "onsets": {name: [str(time) for time in times] for name, times in self.onsets.items()},
            "subject": self.subject,
            "session": self.session,
            "run": self.run,
            "provenance": self.provenance.to_json(),
            "bad_spans": [[str(time) for time in span] for span in self.bad_spans],
        }
        return Artefact("recording", meta, {"values": self.values, "positions": self.positions})

    @classmethod
    def unpack(cls, artefact: Artefact) -> Recording:
        """Read back what `pack` wrote."""
        meta, arrays = artefact.meta, artefact.arrays
        onsets = {name: tuple(Fraction(time) for time in times) for name, times in meta["onsets"].items()}
        return cls(
            values=arrays["values"],
            axis=TimeAxis.from_json(meta["axis"]),
            channels=tuple(meta["channels"]),
            kinds=tuple(meta["kinds"]),
            positions=arrays["positions"],
            bads=tuple(meta["bads"]),
            onsets=onsets,
            subject=meta["subject"],
            session=meta["session"],
            run=meta["run"],
            provenance=Provenance.from_json(meta["provenance"]),
            bad_spans=tuple((Fraction(start), Fraction(stop)) for start, stop in meta.get("bad_spans", ())),
        )


def _positions(raw: mne.io.BaseRaw) -> np.ndarray:
    places = np.array([channel["loc"][:3] for channel in raw.info["chs"]], dtype=float).reshape(-1, 3)
    places[(places == 0).all(axis=1)] = np.nan
    return places


def _onsets(raw: mne.io.BaseRaw) -> dict[str, tuple[Fraction, ...]]:
    """Read annotation onsets in seconds from the first sample (MNE counts from before a crop)."""
    onsets: dict[str, tuple[Fraction, ...]] = {}
    for mark in raw.annotations:
        if _is_bad(mark):
            continue
        name, time = str(mark["description"]), exact(round(float(mark["onset"]) - raw.first_time, 9))
        onsets[name] = (*onsets.get(name, ()), time)
    return onsets


def _bad_spans(raw: mne.io.BaseRaw) -> tuple[tuple[Fraction, Fraction], ...]:
    spans = []
    for mark in raw.annotations:
        start = round(float(mark["onset"]) - raw.first_time, 9)
        if _is_bad(mark):
            spans.append((exact(start), exact(round(start + float(mark["duration"]), 9))))
    return tuple(sorted(spans))


def _is_bad(mark: Mapping[str, Any]) -> bool:
    """Tell MNE's marks of spoilt stretches from events: a name that begins with "BAD" and a length."""
    return str(mark["description"]).upper().startswith(BAD) and float(mark["duration"]) > 0
