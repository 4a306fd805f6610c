"""What does a finished demonstration look like? The two pictures of README.md, from kept results alone.

After ``make demo``: ``.venv/bin/python docs/make_images.py`` (``--out`` says where the demonstration's results
are, ``--images`` where the pictures go). Nothing is computed again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from brainalign.pipeline.outputs import Results
from brainalign.pipeline.store import Store
from brainalign.pipeline.study import demo_config, load_study
from brainalign.plots.style import save_png
from brainalign.plots.topomap import score_topomaps
from brainalign.plots.trf import trf_grid

DPI = 104
N_SHOWN = 8
MICROVOLT = 1e-6


def main() -> None:
    options = _options()
    given = {"out": options.out} | ({} if options.seed is None else {"seed": options.seed})
    study = load_study(demo_config(options.quick), given)
    results = Results(study, Store(study.store_folder))
    options.images.mkdir(parents=True, exist_ok=True)
    for name, figure in (("scalp_maps", scalp_maps(results)), ("response_functions", response_functions(results))):
        path = options.images / f"{name}.png"
        path.write_bytes(save_png(figure, dpi=DPI))
        print(path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="the demonstration's folder")
    parser.add_argument("--images", type=Path, default=Path(__file__).with_name("images"), help="where pictures go")
    parser.add_argument("--quick", action="store_true", help="the demonstration was run with --quick")
    parser.add_argument("--seed", type=int, default=None, help="the demonstration was run with this seed")
    return parser.parse_args()


def shown(results: Results) -> tuple[list[int], list[str], list[dict[str, Any] | None]]:
    """Pick the planted features and the strongest other discoveries: their rows, titles and truths."""
    truth = {row["candidate"]: row for row in results.verdict["planted"]}
    others = [row["feature"] for row in results.found if row["feature"] not in truth]
    names = [*truth, *others][:N_SHOWN]
    places = [truth[name]["site"].replace("_", " ") if name in truth else "not planted" for name in names]
    titles = [f"{results.original_names[name]}\n{place}" for name, place in zip(names, places, strict=True)]
    return [results.test.features.index(name) for name in names], titles, [truth.get(name) for name in names]


def scalp_maps(results: Results) -> Figure:
    """Draw where each feature is heard; rings mark the sensors over the planted dipole."""
    rows, titles, truths = shown(results)
    return score_topomaps(
        results.score[rows],
        titles=titles,
        channels=results.test.channels,
        positions=results.maps[0].positions,
        significant=results.test.p_corrected[rows] <= results.level,
        marked=[truth["sensors"] if truth else () for truth in truths],
    )


def response_functions(results: Results) -> Figure:
    """Draw when each feature is answered; the planted and the found latency are marked."""
    rows, titles, truths = shown(results)
    best = [int(results.test.z[row].argmax()) for row in rows]
    sensors = [results.test.channels.index(truth["sensor"]) if truth else best[i] for i, truth in enumerate(truths)]
    return trf_grid(
        results.coef[rows] / MICROVOLT,
        results.maps[0].lags.seconds,
        titles=titles,
        highlights=sensors,
        planted=[truth["latency"] if truth else None for truth in truths],
        found=[truth["found_latency"] if truth else None for truth in truths],
        unit="µV per unit of the feature",
    )


if __name__ == "__main__":
    main()
