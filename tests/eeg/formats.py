"""Small recordings in formats that MNE reads and does not write, from the formats' own descriptions."""

from pathlib import Path

import numpy as np
import scipy.io

NAMES = ("Fz", "Cz", "Pz", "Oz")


def counts(n_samples: int = 1000, *, limit: int = 2000) -> np.ndarray:
    """What an amplifier's converter gives, samples x channels."""
    rng = np.random.default_rng(3)
    return np.clip(np.round(60 * rng.standard_normal((n_samples, len(NAMES)))), -limit, limit).astype(int)


def write_edf(path: Path, *, rate: int = 250) -> np.ndarray:
    """Write EDF with 0.5 uV per count, or BDF with 1 uV if the path says so. Return microvolts, samples x channels."""
    values = counts(4 * rate)
    bdf = path.suffix == ".bdf"
    digital, gain = (1 << 23, 1.0) if bdf else (1 << 15, 0.5)
    fields = [
        *(name.ljust(16) for name in NAMES),
        *[" " * 80] * len(NAMES),
        *["uV".ljust(8)] * len(NAMES),
        *[f"{-digital * gain:<8.8g}"] * len(NAMES),
        *[f"{(digital - 1) * gain:<8.8g}"] * len(NAMES),
        *[f"{-digital:<8}"] * len(NAMES),
        *[f"{digital - 1:<8}"] * len(NAMES),
        *[" " * 80] * len(NAMES),
        *[f"{rate:<8}"] * len(NAMES),
        *[" " * 32] * len(NAMES),
    ]
    start = b"\xffBIOSEMI" if bdf else b"0       "
    head = f"{'X X X X':<80}{'Startdate X X X X':<80}01.01.2001.01.01{256 * (len(NAMES) + 1):<8}"
    head += f"{'24BIT' if bdf else '':<44}{4:<8}{1:<8}{len(NAMES):<4}"
    body = b"".join(_record(values[i * rate : (i + 1) * rate], bdf=bdf) for i in range(4))
    path.write_bytes(start + head.encode() + "".join(fields).encode() + body)
    return values * gain


def _record(values: np.ndarray, *, bdf: bool) -> bytes:
    if not bdf:
        return values.T.astype("<i2").tobytes()
    return np.ascontiguousarray(values.T.astype("<i4")).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def write_eeglab(path: Path, *, apart: bool, rate: int = 250) -> np.ndarray:
    """Write EEGLAB's ``.set``, with its samples in an ``.fdt`` or in itself."""
    values = counts(4 * rate) * 0.5
    locs = np.empty((1, len(NAMES)), dtype=[(key, object) for key in ("labels", "X", "Y", "Z", "type")])
    places = {"Fz": (0.7, 0.0, 0.7), "Cz": (0.0, 0.0, 1.0), "Pz": (-0.7, 0.0, 0.7), "Oz": (-1.0, 0.0, 0.0)}
    for i, (name, (x, y, z)) in enumerate(places.items()):
        locs[0, i] = (name, x * 85, y * 85, z * 85, "EEG")
    event = np.empty((1, 1), dtype=[("type", object), ("latency", object), ("duration", object)])
    event[0, 0] = ("chapter-01", 251.0, 0.0)  # counted from 1
    fdt = path.with_suffix(".fdt")
    eeg = {
        "setname": "made up",
        "nbchan": len(NAMES),
        "trials": 1,
        "pnts": len(values),
        "srate": rate,
        "xmin": 0.0,
        "xmax": (len(values) - 1) / rate,
        "chanlocs": locs,
        "event": event,
        "epoch": np.zeros((0, 0)),
        "ref": "common",
        "data": fdt.name if apart else values.T.astype(np.float32),
    }
    if apart:
        fdt.write_bytes(values.astype("<f4").tobytes())
    scipy.io.savemat(path, {"EEG": eeg}, appendmat=False)
    return values


def write_egi(path: Path, *, rate: int = 250) -> np.ndarray:
    """Write EGI's simple binary, version 2: 16 bit counts over a range of 32768 uV, and one kind of event."""
    values = counts(4 * rate)
    head = np.array([2], ">i4").tobytes() + np.array([2001, 1, 1, 1, 1, 1], ">i2").tobytes()
    head += np.array([0], ">i4").tobytes() + np.array([rate, len(NAMES), 1, 0, 0], ">i2").tobytes()
    head += np.array([len(values)], ">i4").tobytes() + np.array([1], ">i2").tobytes() + b"DIN1"
    marks = np.zeros((len(values), 1))
    marks[250] = 1
    path.write_bytes(head + np.hstack([values, marks]).astype(">i2").tobytes())
    return values.astype(float)


def write_cnt(path: Path, *, rate: int = 250) -> np.ndarray:
    """Write Neuroscan's CNT with 16 bit counts of 0.5 uV: header, a description per channel, samples, events."""
    values = counts(4 * rate)
    head = bytearray(900 + 75 * len(NAMES))
    head[:12] = b"Version 3.0\x00"
    head[225:235], head[235:247] = b"01/01/01\x00\x00", b"01:01:01".ljust(12, b"\x00")
    head[370:372] = np.array([len(NAMES)], "<u2").tobytes()
    head[376:378] = np.array([rate], "<u2").tobytes()
    head[864:868] = np.array([len(values)], "<i4").tobytes()
    head[886:890] = np.array([len(head) + values.size * 2], "<i4").tobytes()
    for i, name in enumerate(NAMES):
        at = 900 + 75 * i
        head[at : at + 10] = name.encode().ljust(10, b"\x00")
        head[at + 19 : at + 27] = np.array([100 + 10 * i, 100 - 20 * i], "<f4").tobytes()
        head[at + 59 : at + 63] = np.array([1.0], "<f4").tobytes()
        head[at + 71 : at + 75] = np.array([0.5 * 204.8], "<f4").tobytes()
    events = b"\x01" + np.array([8, 0], "<i4").tobytes()
    place = len(head) + 251 * len(NAMES) * 2  # events lie behind their sample
    event = np.array([7], "<u2").tobytes() + b"\x00\x00" + np.array([place], "<i4").tobytes()
    path.write_bytes(bytes(head) + values.astype("<i2").tobytes() + events + event)
    return values * 0.5
