"""How is a finished AudioSAE recipe told? Its report page, section by section, from kept results alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from brainalign.core.time import Lags
from brainalign.pipeline.recipes.audiosae.parameters import CHANGED, OPEN, STATED
from brainalign.plots.lagtests import lag_test_grid
from brainalign.report.page import Column, Details, Fact, Facts, Listing, Note, Page, Picture, Section, Table, Text

if TYPE_CHECKING:
    from brainalign.pipeline.recipes.audiosae.telling import Results

N_SHOWN = 8
N_LISTED = 40
DIFFERENCE = (
    "The two tests ask different things. The paper's asks whether listeners agree on the weight at a lag; its only "
    "randomness is who listened. All listeners heard the same sound, so a feature that rises and falls with another "
    "one, to which the brain responds, passes too, and nothing accounts for a slow feature's chance likeness to slow "
    "EEG. Ours asks whether the feature predicts EEG it was not fitted to better than it does when sound and EEG are "
    "put beside each other wrongly. Neither asks whether it is this feature and not the sound's envelope: for that, "
    "run the usual study, which sets every feature beside acoustic ones."
)
FEW = (
    "With few listeners the paper's test has little power: the first step of Holm's procedure asks for "
    "p <= {first:.2g}, which is a t of {t:.1f} with {dof} degrees of freedom."
)


def recipe_page(results: Results, summary: dict[str, Any]) -> Page:
    """Return the report of a recipe.

    Parameters
    ----------
    results, summary
        Of a finished recipe.
    """
    config, facts = results.config, results.facts
    sections = (
        _answer(results, summary),
        _features(summary),
        _pictures(results, summary),
        _choices(summary),
        _method(results, summary),
    )
    versions = ", ".join(f"{name} {number}" for name, number in summary["versions"].items())
    return Page(
        title=f"{config.name}: AudioSAE's EEG experiment, step by step",
        subtitle=f"{len(config.subjects)} listeners, {facts.development:.1f} minutes of development data and "
        f"{facts.test:.1f} of test data, {facts.n_drawn} features, electrode {', '.join(facts.electrodes)}.",
        sections=sections,
        footer=f"Seed {config.seed}. {versions}",
    )


def _answer(results: Results, summary: dict[str, Any]) -> Section:
    from brainalign.pipeline.recipes.audiosae.telling import AGREEMENT, agreement_rows

    cells, n = summary["agreement"], summary["n_features"]
    paper, own, signs = cells["both"] + cells["paper_only"], cells["both"] + cells["own_only"], summary["signs"]
    split = f"{signs['negative']} negative only, {signs['positive']} positive only, {signs['both']} both"
    facts = (
        Fact(f"{paper} of {n}", "by the paper's test", split),
        Fact(f"{own} of {n}", "by our own test", f"corrected p ≤ {summary['own_level']:g}"),
        Fact(f"{cells['both'] + cells['neither']} of {n}", "judged alike", "found by both, or by neither"),
    )
    lead = (
        "Which features of the sparse autoencoder does the EEG answer, by the steps of AudioSAE's section 4.8, and "
        "what does our own test say about the same features?"
    )
    agreement = Table(agreement_rows(cells), AGREEMENT, caption="How often the two tests agree")
    blocks: list[Any] = [Text(lead, lead=True), Facts(facts), agreement, Text(DIFFERENCE)]
    if results.planted:
        blocks.append(_planted(results))
    return Section("The answer", (*blocks, Note(_power(summary))))


def _planted(results: Results) -> Text:
    rows = {row["feature"]: row for row in results.rows}
    planted = [rows[row["feature"]] for row in results.planted]
    counts = [sum(row[name] for row in planted) for name in ("paper_found", "own_found")]
    return Text(
        f"The listeners are simulated: {len(planted)} of the features drive dipoles in a spherical head. The paper's "
        f"test found {counts[0]} of them, ours {counts[1]}. A dipole may lie where this one electrode hardly sees it, "
        "and a found feature that was not planted is no error if it rises and falls with a planted one."
    )


def _power(summary: dict[str, Any]) -> str:
    from scipy import stats

    first = summary["paper_level"] / (2 * summary["n_features"])
    return FEW.format(first=first, t=stats.t.isf(first, summary["dof"]), dof=summary["dof"])


def _features(summary: dict[str, Any]) -> Section:
    from brainalign.pipeline.recipes.audiosae.telling import feature_columns

    rows, columns = summary["features"], feature_columns(summary)
    note = (
        "Trough and peak: lags of the smallest and largest weight on development data; t and p from test data. "
        "Set off: features on which the tests differ."
    )
    marked = [{**row, "differ": not row["agree"]} for row in rows]
    blocks: list[Any] = [Table(tuple(marked[:N_LISTED]), columns, note=note, emphasise="differ")]
    if len(rows) > N_LISTED:
        rest = Table(tuple(marked[N_LISTED:]), columns, emphasise="differ")
        blocks.append(Details(f"The other {len(rows) - N_LISTED} features", (rest,)))
    return Section("Feature by feature", tuple(blocks))


def _pictures(results: Results, summary: dict[str, Any]) -> Section:
    kept, lags = results.lag_tests, Lags.from_json(results.lag_tests.meta["lags"]).seconds
    shown = [row["feature"] for row in summary["features"][:N_SHOWN]]
    at = np.array([results.test.features.index(name) for name in shown])
    figure = lag_test_grid(
        kept.arrays["development"][at],
        kept.arrays["response"][at],
        lags,
        titles=shown,
        extremes=np.median(lags[kept.arrays["lags"][at]], axis=2),
        significant=kept.arrays["p_adjusted"][at] <= summary["paper_level"],
        unit="weight (mTRF's convention)",
    )
    alt = f"Response functions of {len(shown)} features on development and test data, with the two lags tested."
    caption = (
        f"The {len(shown)} features that the paper's test is surest of. A positive lag means that the sound came first."
    )
    return Section("Response functions", (Picture(figure, alt, caption),))


def _choices(summary: dict[str, Any]) -> Section:
    rows = [{**row, "paper": row["paper"] or None} for row in summary["parameters"]]
    columns = (
        Column("parameter", "Choice"),
        Column("value", "Here"),
        Column("paper", "What the paper says"),
        Column("step", "Step"),
    )
    groups = [(mark, tuple(row for row in rows if row["mark"] == mark)) for mark in (OPEN, CHANGED, STATED)]
    counts = "; ".join(f"{len(group)} {mark}" for mark, group in groups)
    text = Text(f"{len(rows)} choices stand behind this result: {counts}.")
    tables = [Table(group, columns, caption=f"{mark[0].upper()}{mark[1:]}") for mark, group in groups if group]
    return Section("Whose choices these are", (text, *tables))


def _method(results: Results, summary: dict[str, Any]) -> Section:
    import yaml

    config, facts, quality = results.config, results.facts, results.one("coder-quality").meta
    penalties = ", ".join(f"{value:g}" for value in config.own.penalties)
    text = (
        f"Sparse coder: mean active features per frame {quality['l0']:.1f}, explained variance "
        f"{quality['explained_variance']:.2f}. {facts.n_active} of {facts.n_features} features are active often "
        f"enough; {facts.n_drawn} of them were drawn.\n\n"
        "The paper's test: one model per feature with mTRF's penalty "
        f"{config.trf.regularization:g}, lags {1000 * config.trf.tmin:g} to {1000 * config.trf.tmax:g} ms at "
        f"{config.eeg.rate} Hz; Holm's procedure at {config.ttest.level:g}.\n\n"
        f"Our own test: the same EEG, features and lags, all stories, {config.own.n_folds} folds over stories, penalty "
        f"chosen inside the training stories among {penalties} (relative to a feature's variance). Null: "
        f"{results.test.scheme}, {results.test.n_permutations} surrogates, penalties chosen anew in each. "
        f"{results.test.assumption}\n\nCorrection: {results.test.correction}."
    )
    kept = config.model_dump(mode="json", exclude={"out", "store"})
    options = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)
    return Section("How this was computed", (Text(text), Details("The whole configuration", (Listing(options),))))
