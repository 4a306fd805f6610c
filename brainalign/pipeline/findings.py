"""What was found, how sure is it, and would something plainer do? The sections of a report that argue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from brainalign.core.result import NullTest
from brainalign.pipeline.outputs import Results
from brainalign.plots.nulls import null_histogram, p_uniformity
from brainalign.plots.profile import contribution_ranking
from brainalign.report.page import Column, Picture, Section, Table, Text

N_SHOWN = 8
N_LISTED = 40


def shown(results: Results) -> list[str]:
    """Name the features that figures show: the planted ones, then the strongest others."""
    planted = [row["candidate"] for row in results.verdict["planted"]] if results.verdict else []
    order = np.argsort(-results.test.z.max(axis=1))
    strongest = [row["feature"] for row in results.found] or [results.test.features[i] for i in order]
    return list(dict.fromkeys([*planted, *strongest]))[:N_SHOWN]


def planted_names(results: Results) -> list[str]:
    """Return the planted features' names; none where the truth is not known."""
    return [row["feature"] for row in results.verdict["planted"]] if results.verdict else []


def chance(results: Results) -> Section:
    """Tell what chance alone reaches, and where the features stand."""
    test, names = results.test, shown(results)
    strength = {results.original_names[name]: float(test.z[test.features.index(name)].max()) for name in names}
    threshold = float(np.quantile(test.maxima, 1 - results.level, method="higher"))
    figure = null_histogram(
        test.maxima, threshold=threshold, observed=strength, highlighted=planted_names(results), alpha=results.level
    )
    text = (
        f"Null: {test.scheme}, {test.n_permutations} permutations, penalties chosen anew in each. {test.assumption} "
        f"{' '.join(test.notes)}\n\n"
        f"Correction: {test.correction}. The data's own arrangement counts as one of the permutations, so no p-value "
        f"is below {1 / (1 + test.n_permutations):.4f}.\n\n"
        f"False-discovery rate (Benjamini-Hochberg over all pairs of feature and sensor, at {results.level:g}): "
        f"{_n_within(test, results.level)} features. {test.tail_note}"
    )
    alt = "Histogram of the largest statistic of each permutation, and below it the features' statistics."
    blocks: list[Any] = [Text(text), Picture(figure, alt, "What chance alone reaches, and where the features stand.")]
    decoys = [i for i, name in enumerate(test.features) if results.original_names[name].startswith("decoy")]
    if decoys:
        blocks.append(_decoy_picture(test.p[decoys]))
    return Section("Is it more than chance?", tuple(blocks))


def _n_within(test: NullTest, level: float) -> int:
    return int((np.asarray(test.q).min(axis=1) <= level).sum())


def _decoy_picture(p: np.ndarray) -> Picture:
    # One sensor per decoy, in turn: neighbouring sensors share their noise.
    one_each = p[np.arange(len(p)), (7 * np.arange(len(p))) % p.shape[1]]
    alt = "Sorted p-values of decoys against the uniform law, inside its band."
    caption = "Uncorrected p-values of the decoys, one sensor each: uniform, as they must be without an effect."
    return Picture(p_uniformity(one_each), alt, caption)


def unique(results: Results) -> Section:
    """Rank the discoveries by what each adds."""
    parts, test = results.all("unique"), results.test
    names = parts[0].meta["features"]
    best = [int(test.z[test.features.index(name)].argmax()) for name in names]
    scores = np.array([part.arrays["unique"][np.arange(len(names)), best] for part in parts]).T
    labels = [results.original_names[name] for name in names]
    figure = contribution_ranking(scores, names=labels, highlighted=planted_names(results))
    text = (
        f"What is lost in held-out r, at each feature's best sensor, when it alone is left out of a joint model with "
        f"{parts[0].meta['baselines']} acoustic features and the {len(names)} strongest discoveries. "
        "A feature that merely rises and falls with another adds little."
    )
    alt = "Ranking of the discoveries by unique contribution, one mark per listener."
    return Section(
        "Is it the feature itself?", (Text(text), Picture(figure, alt, "Unique contribution of each discovery."))
    )


def beside(results: Results) -> Section:
    """Set the best feature beside its controls."""
    title = "Would something plainer do?"
    if "beside" not in results.study.plan:
        return Section(title, (Text("Not asked: it takes six stories, two listeners, and a name in `test.controls`."),))
    found = results.one("beside").meta
    claim, rows = found["claim"], found["rows"]
    text = (
        f"Half of the stories chose the best feature and sensor of every set, by the listeners' mean held-out r; the "
        f"other half judged, with models fitted and tested there alone. Of {claim['n_features']} features of the "
        f"sparse coder `{claim['feature']}` was chosen (at {claim['channel']}): r = {claim['r']:.3f} in the other "
        f"half. Differences are tested by sign flips over {found['n_listeners']} listeners ({_patterns(found)}), "
        f"two-sided, corrected over {len(rows)} controls by the max-statistic; no p lies below "
        f"{2 / (1 + found['n_permutations']):.3g}."
    )
    columns = (
        Column("control", "Control"),
        Column("n_features", "Features", kind="integer"),
        Column("feature", "Chosen"),
        Column("channel", "Sensor"),
        Column("r", "Held-out r", kind="number"),
        Column("difference", "Claim better by", kind="number"),
        Column("low", "from", kind="number"),
        Column("high", "to", kind="number"),
        Column("p_corrected", "Corrected p", kind="p", n_permutations=found["n_permutations"]),
    )
    meanings = " ".join(f"{row['control']}: {row['meaning']}." for row in rows)
    note = (
        f"From, to: 95 % interval of the difference (Student, over listeners). What beating a control says. {meanings} "
        "A larger set has more to choose from."
    )
    return Section(title, (Text(text), Table(tuple(rows), columns, note=note)))


def discoveries(results: Results, summary: dict[str, Any]) -> Section:
    """List all discoveries, strongest first."""
    planted = set(planted_names(results))
    rows = tuple(
        {
            **row,
            "planted": row["feature"] in planted,
            "latency_ms": _milliseconds(row["latency"]),
            **_of_ceiling(row),
        }
        for row in summary["found"][:N_LISTED]
    )
    columns = (
        Column("feature", "Feature"),
        Column("channel", "Best sensor"),
        Column("n_channels", "Sensors", kind="integer"),
        Column("r", "Held-out r", kind="number"),
        Column("z", "z", kind="number", digits=1),
        Column("p_corrected", "Corrected p", kind="p", n_permutations=results.test.n_permutations),
        *_population_columns(results),
        *_ceiling_columns(results),
        Column("latency_ms", "Peak", unit="ms", kind="number", digits=0),
    )
    rest = len(summary["found"]) - len(rows)
    note = (
        "Sensors: how many are significant, corrected. z: distance from the null's mean in its standard deviations. "
        "A dash instead of a peak: the response has none inside the window. A peak before 0 ms: the feature comes "
        "after one that the brain follows."
    )
    note += _beyond_note(results)
    note += f" {rest} more in summary.json." if rest > 0 else ""
    emphasise = "planted" if planted else ""
    return Section("All discoveries", (Table(rows, columns, note=note, emphasise=emphasise),))


def _patterns(meta: Mapping[str, Any]) -> str:
    n = meta["n_permutations"]
    return f"all {1 + n} patterns of signs" if meta["exact"] else f"{n} random patterns of signs"


def _least(meta: Mapping[str, Any]) -> float:
    return 1 / (1 + int(meta["n_permutations"]))


def _can_be_significant(results: Results) -> bool:
    return results.population is not None and _least(results.one("population").meta) <= results.level


def _population_columns(results: Results) -> list[Column]:
    if not _can_be_significant(results):
        return []
    n = results.one("population").meta["n_permutations"]
    return [Column("p_population", "Population p", kind="p", n_permutations=n)]


def _ceiling_columns(results: Results) -> list[Column]:
    if results.ceiling is None:
        return []
    return [Column("of_ceiling", "Of ceiling", unit="%", kind="number", digits=0), Column("of_ceiling_95", "95 %")]


def _of_ceiling(row: dict[str, Any]) -> dict[str, Any]:
    if row["share"] is None:
        return {"of_ceiling": None, "of_ceiling_95": "none"}
    # A no-break space on both sides: the two ends stay on one line.
    low, high = (f"{100 * row[end]:.0f}" for end in ("share_low", "share_high"))
    return {"of_ceiling": 100 * row["share"], "of_ceiling_95": f"{low}\u00a0to\u00a0{high}"}


def _beyond_note(results: Results) -> str:
    told = ""
    if results.population is not None:
        meta = results.one("population").meta
        told += (
            f" Corrected p speaks of these listeners; population p of people in general: {_patterns(meta)} over "
            f"{meta['n_listeners']} listeners, corrected over all features and sensors, never below {_least(meta):.4f}."
            if _can_be_significant(results)
            else f" Nothing is said of people in general: with {meta['n_listeners']} listeners no p lies below "
            f"{_least(meta):.3g}."
        )
    if results.ceiling is not None:
        meta = results.one("ceiling").meta
        told += (
            f" Ceiling: the r that a perfect model of what all listeners share could reach in one listener, from "
            f"{meta['n_stories']} stories heard by all; interval: 95 %, from resampled stretches of "
            f"{meta['stretch_seconds']:g} s. None: listeners' responses at this sensor do not agree beyond doubt."
        )
    return told


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
