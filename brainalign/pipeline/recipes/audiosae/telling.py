"""What does a finished AudioSAE recipe say? Its numbers, the lines for a terminal, and the findings behind both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from brainalign.core.artefact import Artefact
from brainalign.core.result import NullTest
from brainalign.pipeline.recipes.audiosae.parameters import CHANGED, OPEN, STATED, Facts, parameters
from brainalign.pipeline.recipes.audiosae.schema import AudioSaeConfig
from brainalign.report.tables import Column, text_table

if TYPE_CHECKING:
    from brainalign.pipeline.recipes.base import RecipeStudy
    from brainalign.pipeline.store import Store
    from brainalign.report.page import Page

N_LINES = 12
ONLY_ON_PAGE = ("trough_t", "peak_t", "planted_ms")


@dataclass(frozen=True)
class Results:
    """A finished recipe's kept results, read when asked for."""

    study: RecipeStudy
    store: Store

    def one(self, task: str) -> Artefact:
        """Return one task's artefact."""
        return self.store.get(self.study.plan.key(task))

    @property
    def config(self) -> AudioSaeConfig:
        """The configuration."""
        return cast(AudioSaeConfig, self.study.config)

    @cached_property
    def test(self) -> NullTest:
        """The package's own test."""
        return NullTest.unpack(self.one("test"))

    @cached_property
    def lag_tests(self) -> Artefact:
        """The paper's test."""
        return self.one("lag-tests")

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Both tests' answers, feature by feature; features that the paper's test is surest of come first."""
        planted = {row["feature"]: 1000 * row["latency"] for row in self.planted}
        rows = [dict(row) for row in self.one("comparison").meta["features"]]
        if "planting" in self.study.plan:
            rows = [{**row, "planted_ms": planted.get(row["feature"])} for row in rows]
        return sorted(rows, key=lambda row: (min(row["trough_p"], row["peak_p"]), row["feature"]))

    @cached_property
    def planted(self) -> list[dict[str, Any]]:
        """The features behind simulated listeners."""
        return list(self.one("planting").meta["planted"]) if "planting" in self.study.plan else []

    @cached_property
    def facts(self) -> Facts:
        """What the configuration does not say."""
        drawn = self.one("selection").meta
        electrodes = [task.name for task in self.study.plan if task.name.startswith("electrode[")]
        names = sorted({str(self.one(name).meta["channels"][0]) for name in electrodes})
        return Facts(
            n_drawn=drawn["n_drawn"],
            n_active=drawn["n_active"],
            n_features=drawn["n_features"],
            development=self.one("responses[development]").meta["minutes"],
            test=self.one("responses[test]").meta["minutes"],
            electrodes=tuple(names),
        )


def tell(study: RecipeStudy, store: Store, seconds: float | None) -> tuple[Page, dict[str, Any]]:
    """Return the report page and the summary of a finished recipe.

    Parameters
    ----------
    study, store
        The recipe, and where its results are kept.
    seconds
        How long the work took, if known.
    """
    from brainalign.pipeline.recipes.audiosae.page import recipe_page

    results = Results(study, store)
    summary = summarise(results, seconds=seconds)
    return recipe_page(results, summary), summary


def summarise(results: Results, *, seconds: float | None) -> dict[str, Any]:
    """Return a recipe's numbers as JSON values.

    Parameters
    ----------
    results
        Of a finished recipe.
    seconds
        How long the work took, if known.
    """
    from brainalign.pipeline.outputs import versions

    config, compared = results.config, results.one("comparison").meta
    summary: dict[str, Any] = {
        "name": config.name,
        "recipe": config.recipe,
        "seed": config.seed,
        "n_listeners": len(config.subjects),
        "n_features": len(results.rows),
        "dof": results.lag_tests.meta["dof"],
        "paper_level": config.ttest.level,
        "own_level": config.own.level,
        "n_permutations": results.test.n_permutations,
        "null": results.test.scheme,
        "assumption": results.test.assumption,
        "correction": results.test.correction,
        "agreement": dict(compared["agreement"]),
        "signs": dict(compared["signs"]),
        "parameters": list(parameters(config, results.facts)),
        "features": results.rows,
        "planted": results.planted or None,
        "seconds": seconds,
        "versions": versions(),
    }
    return {**summary, "headline": headline(summary)}


def headline(summary: dict[str, Any]) -> list[str]:
    """Return the lines that a terminal shows after a run.

    Parameters
    ----------
    summary
        From `summarise`.
    """
    cells, n, signs = summary["agreement"], summary["n_features"], summary["signs"]
    paper, own = cells["both"] + cells["paper_only"], cells["both"] + cells["own_only"]
    marks = [row["mark"] for row in summary["parameters"]]
    counts = ", ".join(f"{marks.count(mark)} {mark}" for mark in (STATED, CHANGED, OPEN))
    found = [row for row in summary["features"] if row["paper_found"] or row["own_found"]]
    lines = [
        f"the paper's test: {paper} of {n} features ({signs['negative']} negative only, {signs['positive']} positive "
        f"only, {signs['both']} both; t-tests with {summary['dof']} degrees of freedom, Holm at "
        f"{summary['paper_level']:g})",
        f"our own test of the same features: {own} of {n} (held-out r, max-statistic at {summary['own_level']:g})",
        "",
        *text_table(agreement_rows(cells), columns=AGREEMENT).splitlines(),
        "",
    ]
    if found:
        columns = [column for column in feature_columns(summary) if column.key not in ONLY_ON_PAGE]
        lines += text_table(found[:N_LINES], columns=columns).splitlines()
        rest = len(found) - N_LINES
        lines += [f"... and {rest} more; all {n} features are in the report", ""] if rest > 0 else [""]
    return [*lines, f"{len(marks)} choices: {counts}"]


AGREEMENT = (
    Column("paper", "the paper's test"),
    Column("yes", "ours: found", kind="integer"),
    Column("no", "ours: not found", kind="integer"),
)


def agreement_rows(cells: dict[str, int]) -> tuple[dict[str, Any], ...]:
    """Return the two rows of the table of agreement.

    Parameters
    ----------
    cells
        Counts by ``both``, ``paper_only``, ``own_only`` and ``neither``.
    """
    return (
        {"paper": "found", "yes": cells["both"], "no": cells["paper_only"]},
        {"paper": "not found", "yes": cells["own_only"], "no": cells["neither"]},
    )


def feature_columns(summary: dict[str, Any]) -> tuple[Column, ...]:
    """Return the columns of the table of features.

    Parameters
    ----------
    summary
        From `summarise`.
    """
    columns = [
        Column("feature", "Feature"),
        Column("trough_ms", "Trough", unit="ms", kind="number", digits=0),
        Column("trough_t", "t", kind="number", digits=1),
        Column("trough_p_holm", "Holm p", kind="p"),
        Column("peak_ms", "Peak", unit="ms", kind="number", digits=0),
        Column("peak_t", "t", kind="number", digits=1),
        Column("peak_p_holm", "Holm p", kind="p"),
        Column("paper_sign", "Paper's test"),
        Column("r", "Held-out r", kind="number"),
        Column("p_corrected", "Corrected p", kind="p", n_permutations=summary["n_permutations"]),
        Column("own_found", "Our test", kind="flag"),
    ]
    planted = Column("planted_ms", "Planted", unit="ms", kind="number", digits=0)
    return (*columns, planted) if summary["planted"] else tuple(columns)
