"""What is compared? Gradients with autograd's, losses and core-seconds with the peers', and shares of the limit."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch

from benchmarks._sae_speed_data import Shape, batches, first_parameters, make_world
from benchmarks._sae_speed_inference import (
    CODERS,
    LIMIT,
    PEER,
    Agreement,
    agreement,
    int8_product,
    make_coder,
    peer_calls,
)
from benchmarks._sae_speed_steps import (
    DICTIONARY,
    FREE,
    FREE_BF16,
    OWN,
    OWN_BF16,
    SAELENS,
    STEPS,
    MissingPeer,
    Step,
    cost,
    one_thread,
    our_step,
    products,
)
from brainalign.sae.loss import Parameters
from brainalign.sae.screening import SCREENS
from brainalign.sae.variants.batchtopk import BatchTopK

Row = dict[str, Any]
NOT_INSTALLED = "not installed"
EQUAL_LOSS, EQUAL_GRADIENTS, ROUNDING = 0.01, 1e-5, 1e-5
OURS = (OWN, OWN_BF16, FREE, FREE_BF16)


@dataclass(frozen=True)
class Size:
    """How large a run is.

    Attributes
    ----------
    shape
        Of the training step whose speed is measured.
    turns
        Steps that everybody takes, in turns; the fastest counts.
    curve, n_curve
        A smaller shape and its number of steps, for the loss over a longer run.
    n_encoded, encode_turns
        Frames that are encoded, and how often.
    judged
        Whether times are judged.
    """

    shape: Shape = Shape(d_in=768, d_sae=6144, k=50, n_batch=4096, learning_rate=5e-4)
    turns: int = 5
    curve: Shape = Shape(d_in=128, d_sae=1024, k=16, n_batch=512, learning_rate=5e-4)
    n_curve: int = 120
    n_encoded: int = 4096
    encode_turns: int = 5
    judged: bool = True


FULL = Size()
QUICK = Size(
    shape=Shape(d_in=128, d_sae=1024, k=16, n_batch=512, learning_rate=5e-4),
    turns=3,
    curve=Shape(d_in=64, d_sae=512, k=12, n_batch=256, learning_rate=5e-4),
    n_curve=40,
    n_encoded=1024,
    encode_turns=2,
    judged=False,
)


@dataclass(eq=False)
class Found:
    """A run: how large, and what has been found.

    Attributes
    ----------
    size
        Of the run.
    rows, claims
        Found so far.
    trained
        Parameters that a task has trained, for the next.
    """

    size: Size
    rows: list[Row] = field(default_factory=list)
    claims: list[Row] = field(default_factory=list)
    trained: Parameters | None = None

    def add(self, task: str, who: str, *, note: str = "", **shown: Any) -> None:
        """Keep a row."""
        self.rows.append({"task": task, "who": who, "shown": shown, "note": note})

    def claim(self, name: str, value: Any, *, unit: str, target: str, ok: bool | None, timed: bool = False) -> None:
        """Keep a claim; one about times is judged at full size only."""
        verdict = None if ok is None or (timed and not self.size.judged) else bool(ok)
        number = float(value) if isinstance(value, (int, float, np.floating)) else value
        self.claims.append({"name": name, "value": number, "unit": unit, "target": target, "ok": verdict})

    def ratio(self, name: str, peer: float | None, own: float, *, at_least: float) -> None:
        """Claim that a peer takes so many times our core-seconds; no claim without the peer."""
        unit, target = "x our core-seconds", f"at least {at_least:g}"
        if peer is None:
            self.claim(name, NOT_INSTALLED, unit=unit, target=target, ok=None)
            return
        self.claim(name, peer / own, unit=unit, target=target, ok=peer / own >= at_least, timed=True)


def gradients(found: Found) -> None:
    """Measure (a): one step's gradients against autograd's of the dense loss, and who is active."""
    shape = found.size.shape
    world = make_world(shape, seed=0)
    parameters = first_parameters(world, shape, seed=0)
    stream = batches(world, shape, seed=2)
    warm = our_step(parameters, shape, screening="exact")
    warm(next(stream))
    parameters, x = warm.parameters, next(stream)  # type: ignore[attr-defined]
    loss, active, expected = by_autograd(parameters, x, shape.k)
    for screening in SCREENS:
        variant = BatchTopK(screening=screening)
        with torch.no_grad():
            for _ in range(2):  # the second knows where to look
                step = variant.step(parameters, x, k=shape.k)
        ours = step.pattern.rows * shape.d_sae + step.pattern.columns
        apart = {name: float((step.gradients[name] - g).norm() / g.norm()) for name, g in expected.items()}
        differ = len(np.setxor1d(ours.numpy(), active.numpy()))
        worst = max(apart.values())
        shown = {f"d {name}": f"{value:.1e}" for name, value in apart.items()}
        shown |= {
            "d loss": f"{abs(step.loss - loss) / loss:.1e}",
            "active pairs that differ": f"{differ} of {len(ours)}",
        }
        found.add("gradients", screening, **shown)
        name = f"gradients, {screening}: largest relative difference from autograd's"
        found.claim(name, worst, unit="", target=f"at most {EQUAL_GRADIENTS:g}", ok=worst <= EQUAL_GRADIENTS)


def by_autograd(parameters: Parameters, x: torch.Tensor, k: int) -> tuple[float, torch.Tensor, Parameters]:
    """Return loss, active pairs (flat) and gradients of the dense loss, with PyTorch's own top-k and autograd."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
    pre = (x - leaves["b_dec"]) @ leaves["encoder"].T + leaves["b_enc"]
    top = pre.detach().relu().flatten().topk(k * len(x))
    active = top.indices[top.values > 0].sort().values
    mask = torch.zeros(pre.numel()).index_fill_(0, active, 1.0).reshape(pre.shape)
    x_hat = (pre * mask) @ leaves["decoder"] + leaves["b_dec"]
    loss = (x_hat - x).square().sum(1).mean()
    found = torch.autograd.grad(loss, list(leaves.values()))
    return float(loss.detach()), active, dict(zip(leaves, found, strict=True))


def training(found: Found) -> None:
    """Measure (b): everybody's step, in turns, on the same frames."""
    shape = found.size.shape
    steps, missing = _contestants(shape)
    costs, losses = run_turns(steps, shape, found.size.turns, products(shape))
    best = {who: min(values[1:]) for who, values in costs.items()}
    floor = {name: best.pop(f"product, {name}") for name in ("float32", "bfloat16")}
    for who, least in best.items():
        kind = "bfloat16" if "screening" in who else "float32"
        share = {f"is the {kind} product": f"{floor[kind] / least:.0%}"} if who in OURS else {}
        found.add(
            "training",
            who,
            note="; ".join(f"{value} {name}" for name, value in share.items()),
            **{
                "ms per step": f"{1e3 * least:.0f}",
                "median": f"{1e3 * statistics.median(costs[who][1:]):.0f}",
                "frames per core-second": f"{shape.n_batch / least:,.0f}",
                "x SAELens": _times(best.get(SAELENS), least),
                "x dictionary_learning": _times(best.get(DICTIONARY), least),
                "last loss": f"{losses[who][-1]:.4f}",
            },
        )
    for name, least in floor.items():
        found.add("training", f"the encoder's product alone, {name}", **{"ms per step": f"{1e3 * least:.0f}"})
    for who in missing:
        found.add("training", who, note=NOT_INSTALLED)
    _training_claims(found, best, floor)
    equal_losses(found, losses, what=f"{found.size.turns} steps at full size")
    found.trained = steps[OWN].parameters  # type: ignore[attr-defined]


def _times(peer: float | None, own: float) -> str:
    return "" if peer is None else f"{peer / own:.2f}"


def _contestants(shape: Shape) -> tuple[dict[str, Step], list[str]]:
    first = first_parameters(make_world(shape, seed=0), shape, seed=0)
    steps: dict[str, Step] = {}
    missing = []
    for who, make in STEPS.items():
        try:
            steps[who] = make(first, shape)
        except MissingPeer:
            missing.append(who)
    return steps, missing


def run_turns(
    steps: dict[str, Step], shape: Shape, n: int, products: dict[str, Callable[[], Any]]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Let everybody take n steps in turns; return core-seconds and losses, by name."""
    costs: dict[str, list[float]] = {who: [] for who in (*steps, *products)}
    losses: dict[str, list[float]] = {who: [] for who in steps}
    for x in islice(batches(make_world(shape, seed=0), shape, seed=1), n):
        for who, step in steps.items():
            seconds, loss = cost(lambda step=step, x=x: step(x))
            costs[who].append(seconds)
            losses[who].append(loss)
        for who, product in products.items():
            costs[who].append(cost(product)[0])
    return costs, losses


def _training_claims(found: Found, best: dict[str, float], floor: dict[str, float]) -> None:
    # each peer against our step that learns the very same thing: SAELens leaves the decoder's norm free
    found.ratio("a step of SAELens, float32", best.get(SAELENS), best[FREE], at_least=6)
    found.ratio("a step of dictionary_learning, float32", best.get(DICTIONARY), best[OWN], at_least=5)
    found.ratio("a step of SAELens, to ours with bfloat16 screening", best.get(SAELENS), best[FREE_BF16], at_least=9)
    share = floor["float32"] / best[OWN]
    name = "the encoder's product as a share of our step, float32"
    found.claim(name, share, unit="of the limit", target="above 0.5", ok=share > 0.5, timed=True)
    share = floor["bfloat16"] / best[OWN_BF16]
    name = "the bfloat16 product as a share of our step with screening"
    found.claim(name, share, unit="of the limit", target="reported", ok=None)


def equal_losses(found: Found, losses: dict[str, list[float]], *, what: str) -> None:
    """Claim that curves of the same recipe are the same, at every step."""
    for one, other in ((OWN_BF16, OWN), (FREE_BF16, FREE), (SAELENS, FREE), (DICTIONARY, OWN)):
        if one not in losses:
            continue
        apart = float(np.abs(np.array(losses[one]) / np.array(losses[other]) - 1).max())
        found.claim(
            f"loss of {one} and {other} after equal frames, {what}",
            apart,
            unit="largest relative difference",
            target=f"at most {EQUAL_LOSS:g}",
            ok=apart <= EQUAL_LOSS,
        )


def curves(found: Found) -> None:
    """Measure (c): the loss over a longer run, at a smaller size."""
    shape, n = found.size.curve, found.size.n_curve
    steps, missing = _contestants(shape)
    _, losses = run_turns(steps, shape, n, {})
    places = sorted({round(n * share) - 1 for share in (0.01, 0.03, 0.1, 0.3, 1.0)} | {0})
    for who, values in losses.items():
        found.add("curves", who, **{f"step {place + 1}": f"{values[place]:.4f}" for place in places if place >= 0})
    for who in missing:
        found.add("curves", who, note=NOT_INSTALLED)
    equal_losses(found, losses, what=f"{n} steps at d_in {shape.d_in}, d_sae {shape.d_sae}")


def inference(found: Found) -> None:
    """Measure (d): frames to features, in a process that does nothing else, as one that applies a coder does.

    What training leaves in a process' memory makes dense results cheaper there, and says nothing of applying.
    """
    parameters = found.trained or first_parameters(make_world(found.size.shape, seed=0), found.size.shape, seed=0)
    arrays = {name: tensor.detach().numpy() for name, tensor in parameters.items()}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        best, alike = alone.submit(encode_in_turns, found.size, arrays).result()
    _told_of_inference(found, best, alike)


def encode_in_turns(size: Size, arrays: dict[str, np.ndarray]) -> tuple[dict[str, float], dict[str, Agreement]]:
    """Return everybody's least core-seconds for the same frames, and how far their features agree with ours."""
    shape = size.shape
    parameters = {name: torch.from_numpy(array) for name, array in arrays.items()}
    frames = next(batches(make_world(shape, seed=0), replace(shape, n_batch=2 * size.n_encoded), seed=3)).numpy()
    coder = make_coder(parameters, frames[size.n_encoded :], k=shape.k)
    x = np.ascontiguousarray(frames[: size.n_encoded])
    calls: dict[str, Callable[[], Any]] = {who: (lambda make=make: make(coder, x)) for who, make in CODERS.items()}
    calls |= peer_calls(coder, x) | {LIMIT: int8_product(coder, len(x))}
    costs: dict[str, list[float]] = {who: [] for who in calls}
    kept: dict[str, Any] = {}
    with one_thread():
        for _ in range(size.encode_turns):
            for who, call in calls.items():
                seconds, kept[who] = cost(call)
                costs[who].append(seconds)
    del kept[LIMIT]
    alike = {who: agreement(kept[OWN], features, coder.threshold) for who, features in kept.items()}
    return {who: min(values) for who, values in costs.items()}, alike


def _told_of_inference(found: Found, best: dict[str, float], alike: dict[str, Agreement]) -> None:
    n = found.size.n_encoded
    limit = best.pop(LIMIT)
    for who, least in best.items():
        found.add(
            "inference",
            who,
            **{
                "active pairs that differ": str(alike[who].pairs),
                "largest difference": f"{alike[who].apart:.1e}",
                "ms": f"{1e3 * least:.0f}",
                "frames per core-second": f"{n / least:,.0f}",
                "x SAELens": _times(best.get(PEER), least),
            },
        )
    if PEER not in best:
        found.add("inference", PEER, note=NOT_INSTALLED)
    found.add("inference", LIMIT, ms=f"{1e3 * limit:.0f}")
    own = list(CODERS)
    fastest = min(own, key=lambda who: best[who])
    found.ratio(f"SAELens' encode, to ours to CSR ({fastest})", best.get(PEER), best[fastest], at_least=4)
    for who in own[1:]:
        name = f"{who}: features that are not those of the float32 product"
        ok = max(alike[who].above, alike[who].apart) <= ROUNDING
        found.claim(name, alike[who].pairs, unit="pairs", target=f"0 but for rounding ({ROUNDING:g})", ok=ok)


TASKS: dict[str, tuple[str, Callable[[Found], None]]] = {
    "gradients": ("(a) One step's gradients, relative to autograd's of the dense loss", gradients),
    "training": ("(b) Training steps in turns, the same frames from the same weights", training),
    "curves": ("(c) The loss over a longer run at a smaller size", curves),
    "inference": ("(d) Frames to features, with a threshold", inference),
}
