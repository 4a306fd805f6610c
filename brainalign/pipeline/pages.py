"""How is a study told? Its report page, section by section, from kept results alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from brainalign.core.stimulus import Stimulus
from brainalign.core.trajectory import Trajectory
from brainalign.pipeline.findings import beside, chance, discoveries, planted_names, shown, unique
from brainalign.pipeline.outputs import Results
from brainalign.pipeline.quality_page import recordings
from brainalign.plots.overview import Strand, stimulus_to_brain
from brainalign.plots.topomap import score_topomaps
from brainalign.plots.trf import trf_grid
from brainalign.report.page import Column, Details, Fact, Facts, Listing, Note, Page, Picture, Section, Table, Text

MICROVOLT = 1e-6
EXCERPT = (8.0, 14.0)


def study_page(results: Results, summary: dict[str, Any]) -> Page:
    """Return the report of a study."""
    config = results.study.config
    sections = [_answer(results, summary), _data(results)]
    if results.found:
        sections += [_where(results), _when(results)]
    sections.append(chance(results))
    if results.found:
        sections.append(unique(results))
    sections.append(beside(results))
    if results.found:
        sections.append(discoveries(results, summary))
    sections += [recordings(results), _method(results, summary)]
    return Page(
        title=f"{results.study.name}: which features of the model does the brain follow?",
        subtitle=f"{len(results.maps)} listeners, {len(results.designs[0].trials)} stories, "
        f"{len(results.test.features)} candidate features, {len(results.test.channels)} sensors.",
        sections=tuple(sections),
        footer=f"Seed {config.seed}. " + ", ".join(f"{name} {number}" for name, number in summary["versions"].items()),
    )


def _answer(results: Results, summary: dict[str, Any]) -> Section:
    n, found = summary["n_candidates"], len(summary["found"])
    facts = [Fact(f"{found} of {n}", "features predict the EEG", f"corrected p ≤ {results.level:g}")]
    if results.verdict is None:
        return Section("The answer", (Facts(tuple(facts)),))
    planted = summary["planted"]
    hits = sum(row["found"] for row in planted)
    facts.append(Fact(f"{hits} of {len(planted)}", "planted features found", "at sensors over their dipoles"))
    caution = (
        "A discovery that was not planted is no error: a feature that rises and falls with a planted one does "
        "predict the EEG when it stands alone."
    )
    if summary["n_decoys"]:
        low, high = (100 * share for share in summary["decoy_share_interval"])
        note = f"of {summary['n_decoys']} hidden; 95 % interval of the share: {low:.0f} to {high:.0f} %"
        facts.append(Fact(f"{summary['n_decoys_found']} of {found}", "discoveries are decoys", note))
        caution += (
            " Errors are counted on decoys, features computed from sound that nobody heard: every decoy found is false."
        )
    if summary["latency_error_ms"] is not None:
        facts.append(Fact(f"{summary['latency_error_ms']:.1f} ms", "largest latency error", "peak of the response"))
    return Section(
        "The answer",
        (
            Text(
                "The listeners are simulated, so the truth is known: a few features of the sparse coder drive "
                "dipoles in a spherical head. The analysis saw only the sound and the EEG.",
                lead=True,
            ),
            Facts(tuple(facts)),
            _planted_table(results, results.verdict),
            Note(caution),
        ),
    )


def _planted_table(results: Results, verdict: Any) -> Table:
    rows = [
        {
            **row,
            "site": row["site"].replace("_", " "),
            "latency_ms": 1000 * row["latency"],
            "found_ms": 1000 * row["found_latency"],
        }
        for row in verdict["planted"]
    ]
    columns = (
        Column("feature", "Planted feature"),
        Column("site", "Dipole"),
        Column("found", "Found", kind="flag"),
        Column("sensor", "Sensor"),
        Column("r", "Held-out r", kind="number"),
        Column("p_corrected", "Corrected p", kind="p", n_permutations=results.test.n_permutations),
        Column("latency_ms", "Planted peak", unit="ms", kind="number", digits=0),
        Column("found_ms", "Found", unit="ms", kind="number", digits=0),
        Column("unique_rank", "Unique rank", kind="integer"),
    )
    note = (
        "Sensor: the best of the five over the dipole. Unique rank: place among all discoveries by unique contribution."
    )
    return Table(tuple(rows), columns, caption="Planted against found", note=note)


def _data(results: Results) -> Section:
    figure = _excerpt(results)
    alt = "Waveform, envelope, sparse features and one EEG channel over six seconds of the first story."
    caption = (
        "Six seconds of the first story: the sound, its envelope, features of the sparse coder (a spike per active "
        "frame), and one sensor of the first listener after cleaning. All share one exact clock."
    )
    return Section("From sound to EEG", (Picture(figure, alt, caption),))


def _excerpt(results: Results) -> Any:
    design = results.designs[0]
    heard = {trial.name: trial for trial in design.trials}
    # Trials stand in the order of hearing, which need not be the configuration's, and some may be missing.
    name = next(name for name in results.stories if name in heard)
    stimulus, trial = Stimulus.unpack(results.one(f"stimulus[{name}]")), heard[name]
    acoustics = Trajectory.unpack(results.one(f"acoustics[{name}]"))
    names = shown(results)
    columns = [design.features.index(name) for name in names]
    spikes = trial.x.select(np.array(columns))
    channel = int(results.test.z[columns[0]].argmax())
    labels = tuple(results.original_names[name] for name in names)
    return stimulus_to_brain(
        waveform=Strand("sound", stimulus.axis.times, stimulus.waveform),
        envelope=Strand("envelope", acoustics.axis.times, acoustics.block(0, 1)[:, 0]),
        features=Strand("features", trial.axis.times, spikes.block(0, len(columns)), labels),
        response=Strand(f"{design.channels[channel]} (µV)", trial.axis.times, trial.y[:, channel] / MICROVOLT),
        highlighted=planted_names(results),
        window=_window(float(trial.axis.times[0]), float(trial.axis.times[-1])),
    )


def _window(first: float, last: float) -> tuple[float, float]:
    """Place the excerpt inside a trial, as near to its usual place as the trial allows; seconds."""
    length = EXCERPT[1] - EXCERPT[0]
    start = max(first, min(EXCERPT[0], last - length))
    return start, min(start + length, last)


def _where(results: Results) -> Section:
    names, test = shown(results), results.test
    rows = [test.features.index(name) for name in names]
    over = {row["candidate"]: row["sensors"] for row in results.verdict["planted"]} if results.verdict else {}
    figure = score_topomaps(
        results.score[rows],
        titles=[results.original_names[name] for name in names],
        channels=test.channels,
        positions=results.maps[0].positions,
        significant=test.p_corrected[rows] <= results.level,
        marked=[over.get(name, ()) for name in names] if results.verdict else None,
    )
    alt = f"Scalp maps of held-out correlation for {len(names)} features, with significant sensors marked."
    caption = (
        "Held-out Pearson r of one-feature models, averaged over listeners. White dots: significant after correction."
    )
    rings = " Rings: the five sensors that see the planted dipole best." if results.verdict else ""
    return Section("Where", (Picture(figure, alt, caption + rings),))


def _when(results: Results) -> Section:
    names, test = shown(results), results.test
    rows = [test.features.index(name) for name in names]
    truth = {row["candidate"]: row for row in results.verdict["planted"]} if results.verdict else {}
    best = [
        test.channels.index(truth[name]["sensor"]) if name in truth else int(test.z[row].argmax())
        for name, row in zip(names, rows, strict=True)
    ]
    peaks = {row["feature"]: row["latency"] for row in results.found}
    figure = trf_grid(
        results.coef[rows] / MICROVOLT,
        results.maps[0].lags.seconds,
        titles=[results.original_names[name] for name in names],
        highlights=best,
        planted=[truth[name]["latency"] if name in truth else None for name in names] if truth else None,
        found=[truth[name]["found_latency"] if name in truth else peaks.get(name) for name in names],
        unit="µV per unit of the feature",
    )
    alt = f"Temporal response functions of {len(names)} features from before to after the sound."
    caption = (
        "Temporal response functions, averaged over listeners; thick: the best sensor. A positive lag means that the "
        "sound came first."
    )
    return Section("When", (Picture(figure, alt, caption),))


def _method(results: Results, summary: dict[str, Any]) -> Section:
    import yaml

    config, quality = results.study.config, results.one("coder-quality").meta
    lags, model = results.maps[0].lags, config.model
    first, last = 1000 * lags.seconds[[0, -1]]
    where = "sound nobody heard" if "answer-key" in results.study.plan else "the study's own sound"
    text = (
        f"Encoder `{config.encoder.source}`, hidden state {config.encoder.layer}. Sparse coder: mean active "
        f"features per frame {quality['l0']:.1f}, explained variance {quality['explained_variance']:.2f}, alive "
        f"{quality['alive_share']:.0%} (measured on {quality['n_frames']} frames of {where}).\n\n"
        f"Features active less than {model.min_per_second:g} times per second were left out before any response was "
        f"seen. One lagged ridge model per feature and sensor, lags {first:.0f} to {last:.0f} ms "
        f"at {float(lags.rate):g} Hz, {model.n_folds} folds over stories, penalty chosen inside the training stories. "
        f"{model.trim:g} s were cut from both ends of each story."
    )
    # Where results lie is no part of how they came about: the same study gives the same page anywhere.
    kept = config.model_dump(mode="json", exclude={"out", "store"})
    options = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)
    return Section("How this was computed", (Text(text), Details("The whole configuration", (Listing(options),))))
