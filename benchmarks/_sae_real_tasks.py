"""What is found out about coders on real speech, task by task: rows and claims."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._sae_real_data import ENCODER, Sound, States, encoded, sounds
from brainalign.core.hashing import digest, plain
from brainalign.core.trajectory import Trajectory
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.running import HuggingEncoder
from brainalign.sae.bases import pca
from brainalign.sae.checkpoint import load_sae, save_sae
from brainalign.sae.coder import SparseCoder
from brainalign.sae.controls import random_coder
from brainalign.sae.metrics import measure_sae
from brainalign.sae.settings import SaeTraining
from brainalign.sae.splice import Downstream, recovered, replaced, spliced
from brainalign.sae.stability import stability_table
from brainalign.sae.stream import survey
from brainalign.sae.train import train_sae

Row = dict[str, Any]
Say = Callable[[str], None]

LEAST_EXPLAINED = 0.85
POINTS_LOST = 0.02


@dataclass(frozen=True)
class Size:
    """How much is done.

    Parameters
    ----------
    n_each
        Recordings of each digit by each speaker (50 are there).
    n_steps
        Training steps, of 1,024 frames.
    expansion, k, learning_rate
        Of the coders.
    seeds
        Of the runs that are compared.
    compared
        Hidden states whose seeds are compared.
    shares
        Of the training sound, for the curve.
    n_strings
        Strings of held-out digits that are sent through the model with a coder in it.
    judged
        Whether claims are judged.
    """

    n_each: int = 50
    n_steps: int = 250
    expansion: float = 8
    k: int = 50
    learning_rate: float = 1e-3
    seeds: tuple[int, ...] = (0, 1, 2)
    compared: tuple[int, ...] = (6, 1)
    shares: tuple[float, ...] = (1 / 16, 1 / 4)
    n_strings: int = 4
    judged: bool = True


FULL = Size()
QUICK = Size(n_each=2, n_steps=20, expansion=2, seeds=(0, 1), compared=(6,), shares=(1 / 2,), n_strings=1, judged=False)


@dataclass
class Found:
    """A run: its data and coders, made when first asked for, and what has been found."""

    size: Size
    data: Path
    cache: Path
    say: Say
    rows: list[Row] = field(default_factory=list)
    claims: list[Row] = field(default_factory=list)
    keep: Callable[[], None] = lambda: None
    note: str = ""
    coders: dict[tuple[int, int, float], SparseCoder] = field(default_factory=dict)

    @cached_property
    def encoder(self) -> HuggingEncoder:
        """The model."""
        torch.set_num_threads(1)
        return load_encoder(self.data / ENCODER)

    @cached_property
    def states(self) -> States:
        """Every hidden state of every sound."""
        chosen = sounds(self.data, n_each=self.size.n_each, seed=0, quick=not self.size.judged)
        return encoded(chosen, self.encoder, self.cache, say=self.say)

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers of the hidden states (0 is the convolutional front end's output)."""
        return tuple(self.states.layers)

    @property
    def last(self) -> int:
        """The last one."""
        return self.layers[-1]

    def coder(self, layer: int, *, seed: int = 0, share: float = 1.0) -> SparseCoder:
        """Return a coder trained on a layer, or on some of its sound."""
        if (layer, seed, share) not in self.coders:
            self.coders[layer, seed, share] = self._trained(layer, seed, share)
        return self.coders[layer, seed, share]

    def _trained(self, layer: int, seed: int, share: float) -> SparseCoder:
        """Train a coder, or take it from the cache of an earlier run of this recipe."""
        recipe = digest([plain(self.settings), self.size.n_each, layer, seed, share])[:12]
        if (kept := self.cache / f"coder-{recipe}").is_dir():
            return load_sae(kept)
        begun = time.process_time()
        coder = train_sae(part_of(self.states.half(layer, held_out=False), share), self.settings, seed=seed)
        self.say(f"layer {layer}, seed {seed}, {share:.0%} of the sound: {time.process_time() - begun:.0f} core-s")
        save_sae(coder, kept, format="brainalign")
        return coder

    @property
    def settings(self) -> SaeTraining:
        """The recipe."""
        size = self.size
        return SaeTraining(
            k=size.k, expansion=size.expansion, n_steps=size.n_steps, learning_rate=size.learning_rate, warm_up=0.1
        )

    def add(self, task: str, row: Row) -> None:
        """Keep a row, here and where the report goes."""
        self.rows.append({"task": task, **{name: _short(value) for name, value in row.items()}})
        self.keep()

    def claim(self, name: str, value: float, *, target: str, ok: bool, unit: str = "") -> None:
        """Keep a claim, judged at full size only."""
        verdict = bool(ok) if self.size.judged else None
        self.claims.append({"name": name, "value": _short(value), "unit": unit, "target": target, "ok": verdict})


def _short(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return round(float(value), 4) if np.isfinite(value) else None
    return value


def part_of(items: Sequence[Trajectory], share: float) -> tuple[Trajectory, ...]:
    """Return about a share of the sound, spread over all of it: every n-th trajectory."""
    if share >= 1:
        return tuple(items)
    kept = np.unique(np.linspace(0, len(items) - 1, max(1, round(share * len(items)))).round().astype(int))
    return tuple(items[i] for i in kept)


def layers(found: Found) -> None:
    """Every layer, the last one first: a trained coder, a random one, and principal components, on held-out sound."""
    for layer in reversed(found.layers):
        train, test = (found.states.half(layer, held_out=held_out) for held_out in (False, True))
        probe = Probe.fitted(found.states, layer)
        for name, coder in _kinds(found, layer, train).items():
            quality = measure_sae(coder, test)
            read = recovered(coder, probe.frames, probe.accuracy)
            found.add("layers", {"layer": layer, "coder": name, "features": coder.d_sae, **_told(quality.row(), read)})
    found.rows.sort(key=lambda row: (row["task"] != "layers", row.get("layer", 0)))
    _claim_layers(found)


def _kinds(found: Found, layer: int, train: Sequence[Trajectory]) -> dict[str, SparseCoder]:
    trained, k = found.coder(layer), found.size.k
    return {
        "SAE": trained,
        "random SAE, best gain": _best_gain(random_coder(trained, part_of(train, 1 / 4), seed=0), train),
        f"PCA, {k} components": pca(train, k),
        f"PCA, {k} of {trained.d_in} per frame": pca(train, trained.d_in, k=k),
    }


def _best_gain(coder: SparseCoder, train: Sequence[Trajectory]) -> SparseCoder:
    """Return a coder whose decoder is multiplied by the one factor that explains most: the fairest a random one can be.

    Directions that overlap explain a frame many times over; without a factor the random coder's
    error is several times the variance.
    """
    frames = np.concatenate([np.asarray(item.values) for item in part_of(train, 1 / 16)])
    origin = coder.b_dec / np.float32(coder.scale)
    wanted, got = frames - origin, coder.reconstruct(frames) - origin
    gain = float(np.vdot(wanted, got) / np.vdot(got, got))
    return replace(coder, W_dec=gain * coder.W_dec)


def _told(row: Row, read: Downstream) -> Row:
    wanted = ("l0", "explained_variance", "normalised_mse", "cosine", "dead_share")
    digits = {"digits": read.original, "digits_through": read.reconstructed, "digits_of_mean": read.baseline}
    return {name: row[name] for name in wanted} | digits


def _claim_layers(found: Found) -> None:
    by = {(row["layer"], row["coder"]): row for row in found.rows if row["task"] == "layers"}
    own = by[found.last, "SAE"]
    found.claim(
        f"explained variance of the last layer at k = {found.size.k}, held-out speakers and utterances",
        own["explained_variance"],
        target=f">= {LEAST_EXPLAINED}",
        ok=own["explained_variance"] >= LEAST_EXPLAINED,
    )
    lost = own["digits"] - own["digits_through"]
    found.claim(
        "digits lost by a fixed probe through the last layer's reconstruction, unheard speakers",
        100 * lost,
        target=f"<= {100 * POINTS_LOST:.0f}",
        ok=lost <= POINTS_LOST,
        unit="points",
    )
    worst = min(
        by[layer, "SAE"]["explained_variance"] - by[layer, "random SAE, best gain"]["explained_variance"]
        for layer in found.layers
    )
    found.claim("explained variance above a random SAE of equal L0, worst layer", worst, target="> 0", ok=worst > 0)


@dataclass(frozen=True)
class Probe:
    """A linear probe of digits, fitted on the training speakers' mean frames, and the held-out words to read."""

    model: Pipeline
    frames: tuple[Trajectory, ...]
    sounds: tuple[Sound, ...]

    @classmethod
    def fitted(cls, states: States, layer: int) -> Probe:
        """Fit on one half and keep the other."""
        halves: dict[bool, list[tuple[Sound, Trajectory]]] = {False: [], True: []}
        for sound, item in zip(states.sounds, states.layers[layer], strict=True):
            if sound.words:
                halves[sound.held_out].append((sound, item))
        means, digits = _words([(sound, np.asarray(item.values)) for sound, item in halves[False]])
        model = make_pipeline(StandardScaler(), RidgeClassifier(100.0)).fit(means, digits)
        heard = halves[True]
        return cls(model, tuple(item for _, item in heard), tuple(sound for sound, _ in heard))

    def accuracy(self, frames: Sequence[np.ndarray]) -> float:
        """Return the share of words that are read right."""
        means, digits = _words(list(zip(self.sounds, frames, strict=True)))
        return float(self.model.score(means, digits))

    def of(self, n: int) -> Probe:
        """Return the same probe for the first strings only."""
        return Probe(self.model, self.frames[:n], self.sounds[:n])


def _words(pairs: Sequence[tuple[Sound, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return each word's mean frame, and its digit. Frame i is centred at 20 i ms."""
    means, digits = [], []
    for sound, values in pairs:
        for word in sound.words:
            start = round(word.start / 320)
            means.append(values[start : max(start + 1, round(word.stop / 320))].mean(axis=0))
            digits.append(word.digit)
    return np.array(means), np.array(digits)


def through(found: Found) -> None:
    """Inside the model: a block's output replaced by its reconstruction, the last layer's digits read after it."""
    probe = Probe.fitted(found.states, found.last).of(found.size.n_strings)
    before = probe.accuracy([np.asarray(item.values) for item in probe.frames])
    blocks = found.encoder.blocks
    for layer in (number for number in found.layers[1:-1] if number % 2 == 0):
        coder, block = found.coder(layer), blocks[layer - 1]
        with spliced(block, coder):
            after = _read_last(found, probe)
        mean = survey(found.states.half(layer, held_out=False)).mean.astype(np.float32)
        with replaced(block, lambda x, mean=mean: np.broadcast_to(mean, x.shape)):  # type: ignore[misc]
            nothing = _read_last(found, probe)
        score = Downstream(before, after, nothing)
        row = {"layer": layer, "words": sum(len(sound.words) for sound in probe.sounds), "digits": before}
        found.add("through", row | {"digits_through": after, "digits_of_mean": nothing, "recovered": score.recovered})


def _read_last(found: Found, probe: Probe) -> float:
    frames = [found.encoder.encode(sound.stimulus, [found.last])[found.last].values for sound in probe.sounds]
    return probe.accuracy([np.asarray(x) for x in frames])


def stability(found: Found) -> None:
    """Seeds compared on held-out sound: coverage and matched directions, with chance."""
    for layer in found.size.compared:
        test = found.states.half(layer, held_out=True)
        coders = {f"seed {seed}": found.coder(layer, seed=seed) for seed in found.size.seeds}
        codes = {name: [coder.apply(item) for item in test] for name, coder in coders.items()}
        # Pairing thousands of directions one-to-one is slow, and is done for the last layer only.
        rows = stability_table(codes, coders if layer == found.last else None, n_shifts=1, min_frames=5)
        for row in rows:
            found.add("stability", {"layer": layer, **row})
        above = min(row["coverage"] - row["coverage_chance"] for row in rows)
        found.claim(
            f"coverage between seeds above chance, layer {layer}, worst pair",
            100 * above,
            target="> 0",
            ok=above > 0,
            unit="points",
        )


def hours(found: Found) -> None:
    """More sound: the last layer's coder trained as long on less of it."""
    train, test = (found.states.half(found.last, held_out=held_out) for held_out in (False, True))
    for share in (*found.size.shares, 1.0):
        part = part_of(train, share)
        n_frames = sum(item.axis.n for item in part)
        coder = found.coder(found.last, share=share)
        own, unheard = measure_sae(coder, part), measure_sae(coder, test)
        told = {"minutes": n_frames / 50 / 60, "n_frames": n_frames}
        told |= {"explained_variance_own": own.explained_variance, "explained_variance": unheard.explained_variance}
        found.add("hours", told | {"l0": unheard.l0, "dead_share": unheard.dead_share})


TASKS: dict[str, tuple[str, Callable[[Found], None]]] = {
    "layers": (
        "(a) Every hidden state: trained coders, random ones and principal components on held-out sound",
        layers,
    ),
    "hours": ("(b) More sound: the last layer's coder, trained as long on less of it", hours),
    "through": ("(c) Inside the model: a block's output replaced, digits read from the last layer", through),
    "stability": ("(d) Other seeds: coverage (theta 0.5) and matched directions, each with chance", stability),
}
