"""Who learns the planted truth, and with which recipe? Our variants here, other libraries in a Python of their own."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks._recovery_score import score
from benchmarks._recovery_world import Size, World
from brainalign.sae.bases import ica, nmf, pca
from brainalign.sae.coder import Rule, SparseCoder
from brainalign.sae.controls import random_coder
from brainalign.sae.settings import SaeTraining
from brainalign.sae.stream import survey
from brainalign.sae.train import train_sae

Found = dict[str, Any]
N_CHECK = 256
AGREES = 1e-3


class PeerFailed(RuntimeError):
    """Another library's Python ended with an error, whose last lines these are."""


@dataclass(frozen=True)
class Bench:
    """One world, and where other libraries are.

    Parameters
    ----------
    size, world
        The world.
    folder
        For frames and results on their way.
    python
        The Python that has the other libraries; None leaves them out.
    """

    size: Size
    world: World
    folder: Path
    python: Path | None

    @property
    def recipe(self) -> SaeTraining:
        """Our default recipe at this budget."""
        size = self.size
        return SaeTraining(
            k=round(size.n_active), expansion=size.n_atoms / size.d_in, n_steps=size.n_steps, n_batch=size.n_batch
        )


def own(bench: Bench, seed: int, **changes: Any) -> Found:
    """Train one of our variants."""
    recipe = SaeTraining(**{**vars(bench.recipe), **changes})
    start = time.process_time()
    coder = train_sae(bench.world.training, recipe, seed=seed)
    return {**score(coder, bench.world), "seconds": time.process_time() - start}


def hurried(bench: Bench, seed: int) -> Found:
    """Train BatchTopK at three times the rate: what a short budget leaves undone, and not the method, is seen so."""
    return own(bench, seed, learning_rate=3 * _peak(bench))


def basis(bench: Bench, seed: int, *, make: Callable[..., SparseCoder], n: int | None = None) -> Found:
    """Fit a basis that keeps the k largest components."""
    size, named = bench.size, {} if make is pca else {"seed": seed}
    start = time.process_time()
    coder = make(bench.world.training, n or size.d_in, k=round(size.n_active), **named)
    spent = time.process_time() - start
    return {**score(coder, bench.world), "seconds": spent}


def chance(bench: Bench, seed: int) -> Found:
    """Draw random directions of the same number and sparsity."""
    recipe = SaeTraining(**{**vars(bench.recipe), "n_steps": 1})
    start = train_sae(bench.world.training, recipe, seed=seed)
    return score(random_coder(start, bench.world.training, seed=seed), bench.world)


def peer(
    bench: Bench,
    seeds: Sequence[int],
    *,
    library: str,
    equal: bool,
    our_start: bool = False,
    architecture: Literal["batchtopk", "topk"] = "batchtopk",
) -> list[Found]:
    """Train another library's coder in its own Python, on the same frames at the scale it expects.

    Parameters
    ----------
    bench
        The world.
    seeds
        Of the trainings.
    library
        A name in `benchmarks._recovery_peers.PEERS`.
    equal
        Whether learning rate, warm-up and decay are ours; if not, all is as the library has it.
    our_start
        SAELens only: decoder bias at the data's mean, decoder norms of 1, features dead after a tenth of the run.
    architecture
        Which of its coders.
    """
    frames = np.concatenate([item.values for item in bench.world.training])
    scale = survey(bench.world.training).scale
    if library == "SAELens" and not equal:
        # its rule "expected average": a mean norm of the root of the width
        scale = float(frames.shape[1] ** 0.5 / np.linalg.norm(frames, axis=1).mean())
    job = {"library": library, "seeds": list(seeds), "our_start": our_start, "architecture": architecture}
    job |= _budget(bench, equal=equal)
    rule: Rule = "top-k" if architecture == "topk" else "threshold"
    results, version = _their(bench, frames * np.float32(scale), job)
    found = []
    for arrays in results:
        parts = {name: arrays[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")}
        coder = SparseCoder(**parts, scale=scale, k=round(bench.size.n_active), rule=rule)
        off = float(np.abs(coder.reconstruct(frames[:N_CHECK]) * np.float32(scale) - arrays["check"]).max())
        told = {"seconds": float(arrays["seconds"]), "off": off, "agrees": off < AGREES, "version": version}
        found.append({**score(coder, bench.world), **told})
    return found


def _budget(bench: Bench, *, equal: bool) -> dict[str, Any]:
    size, recipe = bench.size, bench.recipe
    schedule = {
        "learning_rate": _peak(bench),
        "warm_up": max(1, round(recipe.warm_up * size.n_steps)),
        "decay_from": round((1 - recipe.decay) * size.n_steps),
    }
    return {
        "d_sae": size.n_atoms,
        "k": round(size.n_active),
        "n_batch": size.n_batch,
        "n_steps": size.n_steps,
        "schedule": schedule if equal else None,
        "n_check": N_CHECK,
    }


def _peak(bench: Bench) -> float:
    size = bench.size
    return max(bench.recipe.rate_at(step, n_steps=size.n_steps, d_sae=size.n_atoms) for step in range(size.n_steps))


def _their(bench: Bench, frames: np.ndarray, job: dict[str, Any]) -> tuple[list[dict[str, np.ndarray]], str]:
    """Run a job in the other Python and return its arrays and the library's version."""
    out = [str(bench.folder / f"out-{seed}.npz") for seed in job["seeds"]]
    np.save(bench.folder / "frames.npy", frames)
    told = bench.folder / "job.json"
    told.write_text(json.dumps({**job, "frames": str(bench.folder / "frames.npy"), "out": out}), encoding="utf-8")
    script = Path(__file__).with_name("_recovery_peers.py")
    done = subprocess.run([str(bench.python), str(script), str(told)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerFailed(f"{job['library']} failed:\n{done.stderr[-2000:]}")
    return [dict(np.load(path)) for path in out], json.loads(done.stdout.splitlines()[-1])["version"]


OURS: dict[str, Callable[[Bench, int], Found]] = {
    "batchtopk": own,
    "batchtopk, dead features revived": partial(own, revive_after=0.05),
    "batchtopk, norms free": partial(own, options={"unit_norm": False}),
    "batchtopk, three times the rate": hurried,
    "topk": partial(own, variant="topk"),
    "gated": partial(own, variant="gated"),
    "jumprelu": partial(own, variant="jumprelu"),
    "relu-l1": partial(own, variant="relu-l1"),
    "matryoshka": partial(own, variant="matryoshka"),
    "temporal": partial(own, variant="temporal"),
    "frozen-decoder": partial(own, variant="frozen-decoder"),
    "random directions": chance,
    "PCA, k largest": partial(basis, make=pca),
    "ICA, k largest": partial(basis, make=ica),
    "semi-NMF, k largest": partial(basis, make=partial(nmf, origin="mean")),
}
PEERS: dict[str, Callable[[Bench, Sequence[int]], list[Found]]] = {
    "SAELens, equal": partial(peer, library="SAELens", equal=True),
    "SAELens, its defaults": partial(peer, library="SAELens", equal=False),
    "SAELens, equal, our start": partial(peer, library="SAELens", equal=True, our_start=True),
    "dictionary_learning, equal": partial(peer, library="dictionary_learning", equal=True),
    "SAELens TopK, equal, our start": partial(peer, library="SAELens", equal=True, our_start=True, architecture="topk"),
    "dictionary_learning TopK, equal": partial(peer, library="dictionary_learning", equal=True, architecture="topk"),
    "dictionary_learning, its defaults": partial(peer, library="dictionary_learning", equal=False),
}
