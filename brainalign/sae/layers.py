"""How are all layers of a model trained in one pass over the audio? Spooled once, trained one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from brainalign.core.hashing import digest, plain
from brainalign.core.workers import never_retire
from brainalign.sae.coder import SparseCoder
from brainalign.sae.resume import RunFolder
from brainalign.sae.settings import SaeTraining
from brainalign.sae.spool import Source, SpoolPlan, spool_frames
from brainalign.sae.spooled import Spool
from brainalign.sae.train import train_sae
from brainalign.sae.watch import Progress


def train_layers(
    source: Source | Spool,
    layers: Sequence[int],
    *,
    settings: SaeTraining,
    seed: int,
    plan: SpoolPlan,
    weights: Mapping[str, float] | None = None,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> dict[int, SparseCoder]:
    """Train one sparse coder per layer, all from one pass over the audio.

    Each layer gives the bytes that `brainalign.sae.train.train_sae` gives for its spooled frames
    alone. The folder keeps the frames for other seeds and recipes too, and each training's
    checkpoints and metrics under ``runs/RECIPE/layer-003/``: called again after a kill, it encodes
    and trains only what is missing.

    Parameters
    ----------
    source
        The sounds, e.g. a generator of ``encoder.encode(stimulus, layers)``, or a function that
        returns them from a given number on (so that a second call need not encode them again).
        Sounds that are `brainalign.sae.spool.Encoded` bring a mask and a dataset, and can be held
        out to calibrate and to judge by.
    layers
        Which layers.
    settings
        The recipe of all of them.
    seed
        The seed of all of them.
    plan
        Where the frames are spooled, and how much room they may take.
    weights
        How often a frame counts, by its sound's dataset; the datasets as they are by default.
    n_jobs
        Layers trained at once, each in a process of its own.
    progress
        Called as ``progress(done, total, note)``: steps with one job, layers with several.
    """
    from joblib import Parallel, delayed

    if not isinstance(source, Spool):
        spool_frames(source, layers, plan=plan)
    folder, wanted = source.folder if isinstance(source, Spool) else plan.path, sorted(set(layers))
    Spool(folder).training_frames(wanted[0], weights=weights)  # mistakes are told before any work begins
    if n_jobs == 1:
        told = [_within(progress, number, n_layers=len(wanted), layer=layer) for number, layer in enumerate(wanted)]
        return {
            layer: _train_one(folder, layer, settings=settings, seed=seed, weights=weights, progress=tell)
            for layer, tell in zip(wanted, told, strict=True)
        }
    tasks = (delayed(_train_apart)(folder, layer, settings=settings, seed=seed, weights=weights) for layer in wanted)
    coders: dict[int, SparseCoder] = {}
    for layer, coder in zip(wanted, Parallel(n_jobs=n_jobs, return_as="generator")(tasks), strict=True):
        coders[layer] = coder
        if progress:
            progress(len(coders), len(wanted), f"layer {layer} trained")
    return coders


def _train_one(
    folder: Path,
    layer: int,
    *,
    settings: SaeTraining,
    seed: int,
    weights: Mapping[str, float] | None,
    progress: Progress | None = None,
) -> SparseCoder:
    """Train one layer from the disk (in a worker the frames are mapped anew, never sent)."""
    spool = Spool(folder)
    name = digest([plain(settings), seed, weights])[:12]
    return train_sae(
        spool.training_frames(layer, weights=weights),
        settings,
        seed=seed,
        held_out=spool.trajectories(layer, held_out=True),
        run=RunFolder(folder / "runs" / name / f"layer-{layer:03d}"),
        progress=progress,
    )


def _train_apart(
    folder: Path, layer: int, *, settings: SaeTraining, seed: int, weights: Mapping[str, float] | None
) -> SparseCoder:
    never_retire()
    return _train_one(folder, layer, settings=settings, seed=seed, weights=weights)


def _within(progress: Progress | None, number: int, *, n_layers: int, layer: int) -> Progress | None:
    """Return a progress of one layer as a part of all layers' steps."""
    if progress is None:
        return None
    tell = progress

    def _told(done: int, total: int, note: str) -> None:
        tell(number * total + done, n_layers * total, f"layer {layer}: {note}")

    return _told
