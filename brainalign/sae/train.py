"""How is a sparse coder learnt from frames? Adam on hand-written sparse gradients, the same bytes every time.

Recipe: input scaled to a mean squared norm of 1; decoder bias at the data's mean (speech
frames lie far off the origin); encoder starts as the transposed decoder; decoder rows keep
unit norm; the threshold is calibrated at the end. No aux loss, as in AudioSAE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainalign.core.errors import ValueProblem
from brainalign.core.seeds import generator
from brainalign.core.trajectory import Trajectory
from brainalign.sae.batches import FrameStream, epochs
from brainalign.sae.coder import SparseCoder
from brainalign.sae.learner import Learner, VariantMemory, wants_neighbours
from brainalign.sae.lock import only_training
from brainalign.sae.loss import Parameters
from brainalign.sae.mixture import Mixture
from brainalign.sae.origin import as_coder, common_rate, identity_of, origin_of
from brainalign.sae.resume import Checkpoints, RunFolder
from brainalign.sae.settings import SaeTraining
from brainalign.sae.state import Resumable
from brainalign.sae.stopping import HeldOut
from brainalign.sae.stream import Corpus, survey
from brainalign.sae.threads import quiet_threads
from brainalign.sae.units import unit_rows
from brainalign.sae.variants.base import Variant, begin
from brainalign.sae.variants.known import variant_named
from brainalign.sae.watch import Progress, Watch, forget_lines

__all__ = ["SaeTraining", "train_sae"]

CALIBRATION_FRAMES = 131_072


def train_sae(
    trajectories: Sequence[Trajectory] | Mixture,
    settings: SaeTraining,
    *,
    seed: int,
    progress: Progress | None = None,
    held_out: Sequence[Trajectory] = (),
    run: RunFolder | None = None,
) -> SparseCoder:
    """Train a sparse coder on the frames of many trajectories.

    Parameters
    ----------
    trajectories
        Dense trajectories of one layer, or a mixture of datasets; memory-mapped ones are read in buffers.
    settings
        The recipe.
    seed
        Decides the first decoder and the order of the frames; same seed, same bytes.
    progress
        Called about a hundred times as ``progress(done, total, note)``.
    held_out
        Frames that are not trained on: the threshold is calibrated on them, their explained
        variance is measured as training goes, and ``settings.patience`` looks at it.
    run
        Where to keep checkpoints and metrics. A training that was killed goes on from its last
        checkpoint, to the same bytes as an unbroken one; one that still runs there is left alone.

    Returns
    -------
    SparseCoder
        Calibrated: its mean number of active features is ``k`` on the held-out frames, or on
        the training frames where there are none.
    """
    mixture = trajectories if isinstance(trajectories, Mixture) else None
    frames = trajectories.trajectories if isinstance(trajectories, Mixture) else tuple(trajectories)
    unseen = tuple(held_out)
    if settings.patience is not None and not unseen:
        raise ValueProblem("patience needs frames to judge by", got="no held-out frames", fix="give held_out=")
    unit, weights = settings.normalise == "frame", mixture.frame_weights if mixture else None
    corpus = survey(frames, weights=weights, unit_frames=unit)
    n_steps, d_sae = settings.steps(corpus.n_frames), settings.width(corpus.d_in)
    variant = _variant(settings)
    identity = identity_of(settings, corpus, frames=frames, seed=seed, held_out=unseen, mixture=mixture)
    with quiet_threads(settings.n_threads):
        begin(variant, frames, n_steps=n_steps)
        parameters = variant.parameters(_initial(corpus, d_sae, generator(seed, "sae", "init")))
        rate = common_rate(frames)
        learner = Learner(settings, variant, parameters=parameters, n_steps=n_steps, rate=rate, seed=seed)
        watch = Watch(learner, variance=corpus.variance * corpus.scale**2, rate=rate, progress=progress, run=run)
        judge = HeldOut(unseen, learner, scale=corpus.scale) if unseen else None
        stream = _stream(mixture or frames, learner, rng=generator(seed, "sae", "order"))
        _learn(learner, stream, corpus=corpus, watch=watch, judge=judge, keeping=(run, identity))
    notes = {**origin_of(frames), "n_frames": corpus.n_frames, "seed": seed, "n_steps": learner.step}
    coder = as_coder(parameters, corpus, settings, notes={**notes, **(mixture.to_json() if mixture else {})})
    return variant.finish(coder, unseen or (mixture.drawn(CALIBRATION_FRAMES, seed=seed) if mixture else frames))


def _variant(settings: SaeTraining) -> Variant:
    screening = {} if settings.screening == "exact" else {"screening": settings.screening}
    return variant_named(settings.variant, {**settings.options, **screening})


def _initial(corpus: Corpus, d_sae: int, rng: np.random.Generator) -> Parameters:
    directions = rng.standard_normal((d_sae, corpus.d_in))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    decoder = torch.from_numpy(directions.astype(np.float32)).clone()  # in PyTorch's own, aligned memory
    return {
        "encoder": decoder.clone(),
        "b_enc": torch.zeros(d_sae),
        "decoder": decoder,
        "b_dec": torch.from_numpy((corpus.mean * corpus.scale).astype(np.float32)).clone(),
    }


def _stream(source: Sequence[Trajectory] | Mixture, learner: Learner, *, rng: np.random.Generator) -> FrameStream:
    n_batch, neighbours = learner.settings.n_batch, wants_neighbours(learner.variant)
    if isinstance(source, Mixture):
        return source.stream(n_batch=n_batch, rng=rng, neighbours=neighbours)
    return epochs(source, n_batch=n_batch, rng=rng, neighbours=neighbours)


def _learn(
    learner: Learner,
    stream: FrameStream,
    *,
    corpus: Corpus,
    watch: Watch,
    judge: HeldOut | None,
    keeping: tuple[RunFolder | None, Mapping[str, Any]],
) -> None:
    """Take the steps that are left, or as many as the judge has patience for."""
    run, identity = keeping
    parts: dict[str, Resumable] = {
        "learner": learner,
        "variant": VariantMemory(learner.variant),
        "stream": stream,
        "watch": watch,
        **({"judge": judge} if judge else {}),
    }
    factor, unit = float(np.float32(corpus.scale)), learner.settings.normalise == "frame"
    with only_training(Path(run.path)) if run else nullcontext() as lock:
        checkpoints = Checkpoints(run, identity=identity, parts=parts) if run else None
        if run and checkpoints and not checkpoints.resume():
            forget_lines(run)
        while not _is_over(learner, judge):
            x = next(stream)
            step = learner.update(torch.from_numpy(unit_rows(x) if unit else x) * factor)
            found = judge.look_if_due() if judge else None
            last = _is_over(learner, judge)
            watch.note(step, held_out=found, last=last)
            if checkpoints:
                checkpoints.save_if_due(learner.step, last=last)
            if lock:
                lock.beat()
        watch.close()
    if judge:
        judge.restore_best()


def _is_over(learner: Learner, judge: HeldOut | None) -> bool:
    return learner.step >= learner.n_steps or (judge is not None and judge.is_over)
