"""What does a finished study hand over? One report page and one file of numbers."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainalign.__about__ import __version__
from brainalign.core.artefact import Artefact
from brainalign.core.design import Design
from brainalign.core.errors import StoreProblem
from brainalign.core.result import EncodingResult, NullTest
from brainalign.mapping import group_score
from brainalign.pipeline.recipes.base import RecipeStudy
from brainalign.stats.binomial import binomial_interval
from brainalign.stats.ceiling import Ceiling, share_of_ceiling

if TYPE_CHECKING:
    from brainalign.pipeline.store import Store
    from brainalign.pipeline.study import AnyStudy, Study
    from brainalign.report.page import Page

SUMMARY, REPORT = "summary.json", "report.html"
VERSIONED = ("numpy", "scipy", "torch", "transformers", "mne", "scikit-learn")


@dataclass(frozen=True)
class Results:
    """A study's kept results, read when asked for."""

    study: Study
    store: Store

    def one(self, task: str) -> Artefact:
        """Return one task's artefact."""
        return self.store.get(self.study.plan.key(task))

    def all(self, kind: str) -> list[Artefact]:
        """Return the artefacts of all tasks ``kind[...]``, in order."""
        return [self.one(task.name) for task in self.study.plan if task.name.startswith(f"{kind}[")]

    @property
    def stories(self) -> list[str]:
        """Names of the stories, in the configuration's order."""
        made = (task.name for task in self.study.plan)
        return [name[len("stimulus[") : -1] for name in made if name.startswith("stimulus[")]

    @cached_property
    def test(self) -> NullTest:
        """The group's permutation test."""
        return NullTest.unpack(self.one("test"))

    @cached_property
    def maps(self) -> list[EncodingResult]:
        """Every listener's scores and response functions."""
        return [EncodingResult.unpack(item) for item in self.all("map")]

    @cached_property
    def designs(self) -> list[Design]:
        """Every listener's design."""
        return [Design.unpack(item) for item in self.all("design")]

    @cached_property
    def score(self) -> np.ndarray:
        """Held-out r, listeners' Fisher mean, shape ``(n_features, n_channels)``."""
        return group_score(self.maps)

    @cached_property
    def coef(self) -> np.ndarray:
        """Response functions averaged over listeners, volts per unit, shape ``(n_features, n_lags, n_channels)``."""
        return np.mean([item.coef for item in self.maps], axis=0)

    @property
    def found(self) -> list[dict[str, Any]]:
        """The features that survived correction, strongest first."""
        return list(self.one("findings").meta["found"])

    @cached_property
    def population(self) -> np.ndarray | None:
        """p-values of the population test, corrected, ``(n_features, n_channels)``; None with one listener."""
        return self.one("population").arrays["p_corrected"] if "population" in self.study.plan else None

    @cached_property
    def ceiling(self) -> Ceiling | None:
        """What any model of the sound could reach at each sensor; None where no story was heard by all."""
        made = self.one("ceiling") if "ceiling" in self.study.plan else None
        if made is None or not made.arrays:
            return None
        return Ceiling(**made.arrays, n_repeats=made.meta["n_listeners"])

    @cached_property
    def quality(self) -> list[Any]:
        """What every recording was like before and after cleaning."""
        apart = [item.meta for item in self.all("quality")]
        return apart or [row for item in self.all("clean") for row in item.meta["quality"]]

    @cached_property
    def hearing(self) -> list[Any]:
        """What every listener heard, where that was not made up."""
        return [item.meta for item in self.all("hearing")]

    @cached_property
    def sound_checks(self) -> list[Any]:
        """What the recorded sound says of the onsets, where a channel recorded it."""
        return [item.meta for item in self.all("sound-check")]

    @property
    def level(self) -> float:
        """The family-wise error level."""
        return float(self.study.config.test.level)

    @cached_property
    def verdict(self) -> Any | None:
        """Planted against found, in a simulation."""
        return self.one("verdict").meta if "verdict" in self.study.plan else None

    @cached_property
    def original_names(self) -> dict[str, str]:
        """Candidate name -> what it is called outside the analysis (``"decoy of ..."`` for a decoy)."""
        if "answer-key" not in self.study.plan:
            return {name: name for name in self.test.features}
        key = self.one("answer-key").meta
        pairs = zip(self.test.features, key["names"], key["is_decoy"], strict=True)
        return {name: f"decoy of {original}" if is_decoy else original for name, original, is_decoy in pairs}


def summarise(results: Results, *, seconds: float | None) -> dict[str, Any]:
    """Return a study's numbers as JSON values."""
    names = results.original_names
    found = [
        {**row, "feature": names[row["feature"]], "candidate": row["feature"], **_beyond(results, row)}
        for row in results.found
    ]
    summary: dict[str, Any] = {
        "name": results.study.name,
        "seed": results.study.config.seed,
        "n_candidates": len(results.test.features),
        "n_permutations": results.test.n_permutations,
        "level": results.level,
        "found": found,
        "seconds": seconds,
        "versions": versions(),
    }
    if "beside" in results.study.plan:
        beside = results.one("beside").meta
        summary["beside"] = {"claim": beside["claim"], "controls": beside["rows"]}
    if results.verdict is not None:
        summary |= _truth(results.verdict)
    return {**summary, "headline": headline(summary)}


def _beyond(results: Results, row: dict[str, Any]) -> dict[str, Any]:
    """Return a finding's p-value in the population and its share of the ceiling, at its best sensor."""
    f, c = results.test.features.index(row["feature"]), results.test.channels.index(row["channel"])
    beyond: dict[str, Any] = {"p_population": None, "share": None, "share_low": None, "share_high": None}
    if results.population is not None:
        beyond["p_population"] = float(results.population[f, c])
    if results.ceiling is not None and results.ceiling.exists[c]:
        share = share_of_ceiling(results.score[f], results.ceiling)
        beyond |= {"share": float(share.share[c]), "share_low": float(share.low[c]), "share_high": float(share.high[c])}
    return beyond


def versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on, our own first."""
    return {"brainalign": __version__, **{name: version(name) for name in VERSIONED}}


def _truth(verdict: Any) -> dict[str, Any]:
    errors = [abs(row["latency_error_ms"]) for row in verdict["planted"] if row["found"]]
    n_found, n_decoys_found = verdict["n_found"], verdict["n_decoys_found"]
    return {
        "planted": verdict["planted"],
        "sensitivity": verdict["sensitivity"],
        "n_decoys": verdict["n_decoys"],
        "n_decoys_found": n_decoys_found,
        # Without decoys the share of false discoveries is not zero but unknown.
        "decoy_share": n_decoys_found / max(n_found, 1) if verdict["n_decoys"] else None,
        "decoy_share_interval": binomial_interval(n_decoys_found, n_found) if verdict["n_decoys"] else None,
        "latency_error_ms": max(errors) if errors else None,
    }


def headline(summary: dict[str, Any]) -> list[str]:
    """Return the few lines that a terminal shows after a run."""
    found, n = len(summary["found"]), summary["n_candidates"]
    lines = [f"{found} of {n} features predict the EEG (corrected p <= {summary['level']:g})"]
    if "planted" in summary:
        hits = sum(row["found"] for row in summary["planted"])
        lines.append(f"planted features found over their dipoles: {hits} of {len(summary['planted'])}")
    if summary.get("n_decoys"):
        lines.append(f"decoys among the discoveries: {summary['n_decoys_found']} of {found}")
    if summary.get("latency_error_ms") is not None:
        lines.append(f"largest error of a peak latency: {summary['latency_error_ms']:.1f} ms")
    return lines


def write_outputs(study: AnyStudy, store: Store, *, seconds: float | None = None) -> dict[str, Any]:
    """Write ``report.html`` and ``summary.json`` into the study's folder.

    Parameters
    ----------
    study, store
        A finished study and where its results are kept.
    seconds
        How long the work took; left out, the value of an earlier summary is kept.
    """
    from brainalign.report.page import write_page

    folder = study.out_folder
    spent = _earlier_seconds(folder) if seconds is None else round(seconds, 1)
    page, summary = study.tell(study, store, spent) if isinstance(study, RecipeStudy) else _tell(study, store, spent)
    write_page(page, folder / REPORT)
    _write_json(summary, folder / SUMMARY)
    return summary


def _tell(study: Study, store: Store, seconds: float | None) -> tuple[Page, dict[str, Any]]:
    from brainalign.pipeline.pages import study_page

    results = Results(study, store)
    summary = summarise(results, seconds=seconds)
    return study_page(results, summary), summary


def _earlier_seconds(folder: Path) -> float | None:
    try:
        return json.loads((folder / SUMMARY).read_text(encoding="utf-8")).get("seconds")
    except (OSError, ValueError):
        return None


def _write_json(values: dict[str, Any], path: Path) -> None:
    """Write aside and rename, so that a reader never sees half a file."""
    aside = path.with_suffix(".tmp")
    try:
        aside.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(aside, path)  # noqa: PTH105 (atomic on every platform)
    except OSError as error:
        raise StoreProblem(
            "the summary cannot be written", got=f"{path}: {error.strerror or error}", fix="pick a writable folder"
        ) from error
