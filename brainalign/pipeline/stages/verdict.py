"""Was the truth found? The only place where a simulation's truth and an analysis' findings meet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from brainalign.core.artefact import Artefact
from brainalign.core.result import EncodingResult, NullTest
from brainalign.pipeline.stage import Stage

N_SENSORS_OVER = 5


def judge(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Set planted features against found ones.

    A planted feature counts as found when it is significant, after correction, at one of
    the sensors over its dipole: the five that see the dipole best. Discoveries that are
    not planted are no errors (features correlated with a planted one do predict the
    response); decoys are, every one of them.
    """
    test, findings = NullTest.unpack(inputs["test"]), inputs["findings"].meta
    maps = [EncodingResult.unpack(item) for item in inputs["maps"]]
    key, truth = inputs["answer_key"].meta if "answer_key" in inputs else None, inputs["planting"].meta
    candidate = _candidate_of(test.features, key)
    level, rows = findings["level"], []
    for entry in truth["planted"]:
        name = candidate[entry["feature"]]
        rows.append(
            {**entry, "candidate": name, **_judge_one(entry, test.features.index(name), test, maps, level=level)}
        )
    _add_contributions(rows, inputs["unique"], test)
    decoys = set(_decoys(test.features, key))
    found = [row["feature"] for row in findings["found"]]
    return Artefact(
        "verdict",
        {
            "planted": rows,
            "n_found": len(found),
            "n_decoys": len(decoys),
            "n_decoys_found": len(decoys.intersection(found)),
            "sensitivity": float(np.mean([row["found"] for row in rows])),
        },
    )


def _candidate_of(features: tuple[str, ...], key: Any) -> dict[str, str]:
    if key is None:
        return {name: name for name in features}
    pairs = zip(features, key["names"], key["is_decoy"], strict=True)
    return {name: candidate for candidate, name, is_decoy in pairs if not is_decoy}


def _decoys(features: tuple[str, ...], key: Any) -> list[str]:
    flags = key["is_decoy"] if key else [False] * len(features)
    return [name for name, is_decoy in zip(features, flags, strict=True) if is_decoy]


def _judge_one(entry: Any, f: int, test: NullTest, maps: list[EncodingResult], *, level: float) -> dict[str, Any]:
    from brainalign.encoding.peaks import peak_latency
    from brainalign.mapping import group_score

    over = sensors_over(entry["site"], test.channels)
    best = over[int(test.z[f, over].argmax())]
    latency = peak_latency(np.mean([item.coef[f, :, best] for item in maps], axis=0), maps[0].lags)
    return {
        "sensors": [test.channels[c] for c in over],
        "sensor": test.channels[best],
        "z": float(test.z[f, best]),
        "r": float(group_score(maps)[f, best]),
        "p_corrected": float(test.p_corrected[f, best]),
        "found": bool(test.p_corrected[f, best] <= level),
        "found_latency": latency,
        "latency_error_ms": round(1000 * (latency - entry["latency"]), 3),
    }


def sensors_over(site: str, channels: tuple[str, ...]) -> list[int]:
    """Return the numbers of the channels that see a site's dipole best."""
    from brainalign.eeg.simulate import PLANTED_SITES, sensor_names, sensor_pattern

    place = PLANTED_SITES[site]
    seen = dict(zip(sensor_names(), np.abs(sensor_pattern(place.position, place.orientation)), strict=True))
    strength = np.array([seen.get(name, 0.0) for name in channels])
    return [int(c) for c in np.argsort(-strength)[:N_SENSORS_OVER]]


def _add_contributions(rows: list[dict[str, Any]], unique: Any, test: NullTest) -> None:
    """Add each planted feature's unique contribution and its rank among all found features."""
    names = unique[0].meta["features"]
    if not names:
        return
    mean = np.mean([item.arrays["unique"] for item in unique], axis=0)
    best = [int(test.z[test.features.index(name)].argmax()) for name in names]
    at_best = mean[np.arange(len(names)), best]
    order = [names[i] for i in np.argsort(-at_best)]
    for row in rows:
        if row["candidate"] in names:
            row["unique_r"] = float(at_best[names.index(row["candidate"])])
            row["unique_rank"] = order.index(row["candidate"]) + 1


JUDGE = Stage("judge", 1, judge)
