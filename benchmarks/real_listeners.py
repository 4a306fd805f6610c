"""Do real brains follow a real envelope, and no misaligned one? Six listeners, one speaker, ten repeats.

Recordings of Fuglsang et al. (Zenodo 1199011; non-commercial licence, not part of this project)
are read from a folder that is named; without it the command says so and ends. One stimulus of
50 s was heard ten times, so that it is cut into stretches of 10 s, and stretches are held out
with all their repeats. The band and the lags are one pair of fifteen that were looked at
(0.5, 1 or 2 to 4, 8 or 15 Hz; 250 to 600 ms), the one in which all six listeners follow.
Named command: ``python -m benchmarks.real_listeners FOLDER --json docs/real_listeners.json``.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import mne
import numpy as np
from scipy import signal

from benchmarks._report import keep, say, today, verdicts
from brainalign.api import feature_maps
from brainalign.core.design import Design, Trial
from brainalign.core.seeds import generator
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.massunivariate import rotated_scores
from brainalign.stats.binomial import binomial_interval
from brainalign.stats.ceiling import leave_one_out_bounds, noise_ceiling, share_of_ceiling
from brainalign.stats.nulls.registry import get_family
from brainalign.stats.permutation import permutation_p

RATE, SECONDS_PER_STRETCH, BAND, LAGS = 64, 10, (0.5, 8.0), (0.0, 0.25)
SUBJECTS = ("S1", "S2", "S3", "S4", "S5", "S6")
# The order of BioSemi's 64-channel cap, as the recordings' authors used it.
CAP = tuple(mne.channels.make_standard_montage("biosemi64").ch_names)
FRONTO_TEMPORAL = [i for i, name in enumerate(CAP) if name.rstrip("0123456789z") in ("F", "AF", "FC", "FT", "T")]
LEVEL = 0.05


def main() -> None:
    """Test every listener, then misaligned controls, then look at the ceiling."""
    options = _options()
    if not options.folder.is_dir():
        raise SystemExit(f"the recordings are not there: {options.folder}")
    start = time.monotonic()
    rows = [_listener(options.folder, subject, n_permutations=options.permutations) for subject in SUBJECTS]
    for row in rows:
        say(_line(row))
    alarms = _controls(options.folder, n_controls=options.controls, n_permutations=options.permutations)
    report = {
        "claims": _claims(rows, alarms=alarms, n_controls=options.controls),
        "rows": rows,
        "settings": {
            "band_hz": BAND,
            "lags_s": LAGS,
            "stretch_s": SECONDS_PER_STRETCH,
            "permutations": options.permutations,
        },
        "machine": {"cores": os.cpu_count()},
        "date": today(),
        "seconds": round(time.monotonic() - start, 1),
    }
    print(verdicts(report["claims"]))
    keep(report, options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("../shared/data/eeg_dtu_single_talker"))
    parser.add_argument("--permutations", type=int, default=999, help="rotations besides the data")
    parser.add_argument("--controls", type=int, default=200, help="misaligned controls")
    parser.add_argument("--quick", dest="controls", action="store_const", const=30, help="fewer controls")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    return parser.parse_args()


def read_listener(folder: Path, subject: str) -> tuple[np.ndarray, np.ndarray]:
    """Return responses ``(n_repeats, n_frames, n_channels)`` and the envelope ``(n_frames,)``, band-passed.

    Parameters
    ----------
    folder
        With files ``DTU_S1_000.npz`` and so on.
    subject
        ``"S1"`` to ``"S6"``.
    """
    parts = [np.load(path) for path in sorted(folder.glob(f"DTU_{subject}_*.npz"))]
    sos = signal.butter(2, BAND, "bandpass", fs=RATE, output="sos")
    responses = np.array([signal.sosfiltfilt(sos, part["eeg"].astype(float), axis=0) for part in parts])
    return responses, signal.sosfiltfilt(sos, parts[0]["envelope"][:, 0].astype(float))


def make_design(responses: np.ndarray, envelope: np.ndarray, subject: str) -> Design:
    """Cut repeats into stretches; all repeats of a stretch carry its name, so that they are held out together.

    Parameters
    ----------
    responses, envelope
        From `read_listener`.
    subject
        Whose they are.
    """
    n = SECONDS_PER_STRETCH * RATE
    trials = []
    for repeat in responses:
        for number in range(len(envelope) // n):
            part = slice(number * n, (number + 1) * n)
            x = Trajectory(envelope[part, None].astype(np.float32), TimeAxis(RATE, n), ("envelope",))
            trials.append(Trial(f"stretch-{number}", x, repeat[part], np.ones(n, dtype=bool)))
    places = np.full((len(CAP), 3), np.nan)
    return Design(tuple(trials), Lags.from_seconds(*LAGS, rate=RATE), CAP, places, subject=subject)


def tested_mean_r(design: Design, *, n_permutations: int, seed: int) -> tuple[float, float]:
    """Return mean held-out r over fronto-temporal sensors, on the ring, and its permutation p-value.

    Parameters
    ----------
    design
        Of one feature.
    n_permutations, seed
        Rotations; all repeats of a stretch are turned alike.
    """
    draw = get_family("circular-shift").draw(design, n_permutations=n_permutations, seed=seed)
    (scores,) = rotated_scores(design, draw.values)
    mean = scores[:, FRONTO_TEMPORAL].mean(axis=1)
    return float(mean[0]), float(permutation_p(mean[:, None])[0])


def _listener(folder: Path, subject: str, *, n_permutations: int) -> dict[str, Any]:
    responses, envelope = read_listener(folder, subject)
    design = make_design(responses, envelope, subject)
    mean_r, p = tested_mean_r(design, n_permutations=n_permutations, seed=0)
    r = feature_maps(design).r[0]
    ceiling = noise_ceiling(list(_stretches(responses)), block_frames=2 * RATE)
    bounds = leave_one_out_bounds([responses])
    best = FRONTO_TEMPORAL[int(r[FRONTO_TEMPORAL].argmax())]
    share = share_of_ceiling(r, ceiling)
    return {
        "subject": subject,
        "mean_r": _round(mean_r),
        "p": _round(p),
        "best_sensor": CAP[best],
        "r": _round(r[best]),
        "ceiling": _round(ceiling.single[best]),
        "ceiling_interval": [_round(np.sqrt(max(0.0, side[best]))) for side in (ceiling.low, ceiling.high)],
        "bounds": [_round(bound[best]) for bound in bounds],
        "share_of_ceiling": _round(share.share[best]),
        "share_interval": [_round(side[best]) for side in (share.low, share.high)],
    }


def _stretches(responses: np.ndarray) -> list[np.ndarray]:
    n = SECONDS_PER_STRETCH * RATE
    return [responses[:, start : start + n] for start in range(0, responses.shape[1], n)]


def _controls(folder: Path, *, n_controls: int, n_permutations: int) -> int:
    """Count false alarms with the envelope turned against the whole recording by 5 s or more, before it is cut."""
    rng, alarms = generator(0, "misaligned"), 0
    listeners = {subject: read_listener(folder, subject) for subject in SUBJECTS}
    for number in range(n_controls):
        subject = SUBJECTS[number % len(SUBJECTS)]
        responses, envelope = listeners[subject]
        away = int(rng.integers(5 * RATE, len(envelope) - 5 * RATE))
        design = make_design(responses, np.roll(envelope, away), subject)
        alarms += tested_mean_r(design, n_permutations=n_permutations, seed=number)[1] <= LEVEL
    return alarms


def _claims(rows: list[dict[str, Any]], *, alarms: int, n_controls: int) -> list[dict[str, Any]]:
    found = sum(row["p"] <= LEVEL for row in rows)
    low, high = binomial_interval(alarms, n_controls, level=0.99)
    certain = sum(row["ceiling_interval"][0] > 0 for row in rows)
    return [
        {
            "name": "listeners whose fronto-temporal sensors follow the envelope (mean r, p <= 0.05)",
            "value": found,
            "unit": "listeners",
            "target": f"all {len(rows)}",
            "ok": found == len(rows),
        },
        {
            "name": "false alarms with misaligned envelopes at 0.05",
            "value": f"{alarms} of {n_controls} ({100 * low:.1f} to {100 * high:.1f} %)",
            "unit": "controls",
            "target": "99 % interval holds 5 %",
            "ok": low <= LEVEL <= high,
        },
        {
            "name": "listeners with a noise ceiling above 0 at their best sensor (95 % interval)",
            "value": certain,
            "unit": "listeners",
            "target": f"all {len(rows)}",
            "ok": certain == len(rows),
        },
    ]


def _round(value: float) -> float:
    return round(float(value), 4)


def _line(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items())


if __name__ == "__main__":
    main()
