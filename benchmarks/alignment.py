"""Are onset and clock drift recovered from an audio channel, and is a misaligned trigger noticed?

Sounds are played into simulated recordings: drifts of up to 100 parts per million, noise and hum up to the
sound's own level and above, either polarity, 512 to 1000 samples per second, triggers that jitter. In every
other recording the trigger is told 20 ms too early or too late. (That the recorder plays a sound at its exact times
is tested on tones, whose answer is known.) Named command: ``python -m benchmarks.alignment --json FILE``.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._engine_machine import machine, versions
from benchmarks._report import Row, Say, failed, findings, keep, quiet, say, table, verdicts
from brainalign.align.checks import check_onsets
from brainalign.audio.synth import synthesise_speech
from brainalign.core.recording import Recording
from brainalign.core.seeds import generator
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis, exact
from brainalign.eeg.simulate_faults import PlayedSound, jitter_onsets, record_sound

ONSET_TARGET, DRIFT_TARGET = 1e-3, 1e-6
MISALIGNED = Fraction(20, 1000)
RATES = (512, 600, 1000)
MARGIN = 12
CHANNEL = "Erg1"


@dataclass(frozen=True)
class Size:
    """How large a run is.

    Attributes
    ----------
    n_recordings
        Simulated recordings.
    seconds
        Lengths of the sounds.
    jitter
        Standard deviation of a trigger's error, in seconds.
    seed
        Of everything.
    """

    n_recordings: int = 200
    seconds: tuple[int, ...] = (150, 165, 180, 200)
    jitter: float = 0.001
    seed: int = 0


FULL = Size()
QUICK = replace(FULL, n_recordings=6, seconds=(120,))


def main() -> None:
    """Run the study, print rows and claims; leave with 1 if a claim does not hold."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="six short recordings")
    made.add_argument("--json", type=Path, help="where the numbers go")
    options = made.parse_args()
    report = run(QUICK if options.quick else FULL, say=say)
    print(verdicts(report["claims"]))
    keep(report, options.json)
    sys.exit(failed(report))


def run(size: Size, *, say: Say = quiet) -> Row:
    """Simulate and align recordings, and return what was found as JSON values.

    Parameters
    ----------
    size
        Of the study.
    say
        Told of the recordings as they are done.
    """
    start = time.perf_counter()
    sounds = [synthesise_speech(f"story-{s}", seconds=s, seed=i, rate=8000) for i, s in enumerate(size.seconds)]
    cases = []
    for number in range(size.n_recordings):
        cases.append(one(number, sounds[number % len(sounds)], size=size))
        if (number + 1) % 20 == 0:
            say(f"{number + 1} recordings, {time.perf_counter() - start:.0f} s")
    of_rate = {rate: [case for case in cases if case["rate"] == rate] for rate in RATES}
    rows = [_row(f"{rate} Hz", some) for rate, some in of_rate.items() if some] + [_row("all", cases)]
    say(table(rows))
    known = versions(("brainalign", "numpy", "scipy"))
    report = findings(_claims(cases), rows, size=vars(size), here=machine(), known=known)
    return report | {"cases": cases}


def one(number: int, sound: Stimulus, *, size: Size) -> dict[str, Any]:
    """Simulate one recording, hold its trigger against its audio channel, and return errors in seconds and shares."""
    rng = generator(size.seed, "alignment", number)
    rate = RATES[int(rng.integers(len(RATES)))]
    onset = exact(round(float(rng.uniform(2, MARGIN - 4)), 6))
    drift = exact(round(float(rng.uniform(-1e-4, 1e-4)), 9))
    how = PlayedSound(
        onset,
        drift,
        volts=float(rng.choice([-1.0, 1.0]) * 10 ** rng.uniform(-5, -2)),
        noise_db=float(rng.uniform(-20, 0)),
        hum_db=float(rng.uniform(-20, 10)),
        hum_hz=float(rng.choice([50.0, 60.0])),
    )
    clock = TimeAxis(rate, int(rate * (sound.axis.duration + MARGIN)))
    misaligned = number % 2 == 1
    late = MISALIGNED * int(rng.choice([-1, 1])) * misaligned
    told = jitter_onsets({sound.name: onset}, seconds=size.jitter, late=late, seed=int(rng.integers(2**31)))
    values = record_sound(sound, how, clock=clock, seed=int(rng.integers(2**31)))
    recording = Recording(values[:, None], clock, (CHANNEL,), ("misc",), np.full((1, 3), np.nan), onsets=told)
    begin = time.process_time()
    findings, matches = check_onsets(recording, [sound], channel=CHANNEL)
    match = matches[sound.name]
    return {
        "rate": rate,
        "seconds": float(sound.axis.duration),
        "noise_db": how.noise_db,
        "onset_error": float(match.clock.onset - onset),
        "onset_standard_error": match.onset_error,
        "drift_error": float(match.clock.drift - drift),
        "drift_standard_error": match.drift_error,
        "kept_share": match.kept_share,
        "spread": match.spread,
        "misaligned": misaligned,
        "noticed": not findings[0].fits,
        "core_seconds": time.process_time() - begin,
    }


def _row(who: str, cases: list[dict[str, Any]]) -> dict[str, Any]:
    onset, drift = (np.abs([case[key] for case in cases]) for key in ("onset_error", "drift_error"))
    honest = [case["drift_error"] / case["drift_standard_error"] for case in cases]
    shown = {
        "recordings": str(len(cases)),
        "onset, median": f"{1e6 * np.median(onset):.1f} us",
        "onset, worst": f"{1e6 * onset.max():.1f} us",
        "drift, median": f"{1e6 * np.median(drift):.3f} ppm",
        "drift, worst": f"{1e6 * drift.max():.3f} ppm",
        "error / standard error (rms)": f"{np.sqrt(np.mean(np.square(honest))):.2f}",
        "core-seconds": f"{np.median([case['core_seconds'] for case in cases]):.2f}",
    }
    return {"task": "alignment", "who": who, "shown": shown, "note": ""}


def _claims(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    onset = max(abs(case["onset_error"]) for case in cases)
    drift = max(abs(case["drift_error"]) for case in cases)
    noticed = [case["noticed"] for case in cases if case["misaligned"]]
    alarms = [case["noticed"] for case in cases if not case["misaligned"]]
    return [
        _claim("largest onset error", 1e3 * onset, unit="ms", target="<= 1", ok=onset <= ONSET_TARGET),
        _claim("largest drift error", 1e6 * drift, unit="ppm", target="<= 1", ok=drift <= DRIFT_TARGET),
        _claim("20 ms misalignments noticed", float(np.mean(noticed)), unit="share", target="1", ok=all(noticed)),
        _claim("aligned triggers suspected", float(np.mean(alarms)), unit="share", target="0", ok=not any(alarms)),
    ]


def _claim(name: str, value: float, *, unit: str, target: str, ok: bool) -> dict[str, Any]:
    return {"name": name, "value": float(value), "unit": unit, "target": target, "ok": bool(ok)}


if __name__ == "__main__":
    main()
