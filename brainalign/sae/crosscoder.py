"""How is one code learnt for several layers? Frames stacked side by side, each layer at its own scale.

A crosscoder reads all layers at once and writes all of them, so a feature that lives on through the model is one
feature and not one in every layer. It is trained as any coder (``variant="crosscoder"``) on what `stack_layers` gives;
the layers' names, widths and scales travel in the coder's metadata; `crosscode` and `split_reconstruction` use them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.time import require_same_axis
from brainalign.core.trajectory import Trajectory
from brainalign.sae.apply import apply_sae
from brainalign.sae.coder import SparseCoder
from brainalign.sae.stream import survey

STEP = "stack_layers"


@dataclass(frozen=True)
class Layer:
    """One layer's part of a stacked frame.

    Parameters
    ----------
    name
        The layer's name, as it was given.
    width
        Its number of inputs.
    scale
        What its frames are multiplied by: it makes their mean squared norm 1.
    """

    name: str
    width: int
    scale: float


def stack_layers(
    layers: Mapping[str, Sequence[Trajectory]], *, scales: Mapping[str, float] | None = None
) -> tuple[Trajectory, ...]:
    """Put several layers' frames side by side, each at a mean squared norm of 1.

    Parameters
    ----------
    layers
        For each layer (or encoder), its trajectories; all in the same order, the n-th of each on one clock.
    scales
        Each layer's factor, where it is known already (held-out sounds must have that of the training sounds:
        `layer_scales`). By default it is measured on these frames.

    Returns
    -------
    tuple of Trajectory
        Shape ``(n_frames, sum of widths)``; features are named ``layer/feature``.
    """
    _check(layers)
    found = [
        Layer(name, items[0].n_features, survey(items).scale if scales is None else _given(scales, name))
        for name, items in layers.items()
    ]
    n_trajectories = len(next(iter(layers.values())))
    return tuple(_stack({name: items[i] for name, items in layers.items()}, found) for i in range(n_trajectories))


def layers_of(trajectory: Trajectory) -> tuple[Layer, ...]:
    """Return the layers of a stacked trajectory, in order."""
    steps = trajectory.provenance.steps
    if not steps or steps[-1].name != STEP:
        got = f"{trajectory.n_features} features made by {steps[-1].name if steps else 'nothing known'}"
        raise ValueProblem("a crosscoder reads stacked layers", got=got, fix="stack_layers({name: trajectories, ...})")
    return tuple(Layer(name, width, scale) for name, width, scale in steps[-1].parameters["layers"])


def coder_layers(coder: SparseCoder) -> tuple[Layer, ...]:
    """Return the layers that a crosscoder reads and writes, in order."""
    if "layers" not in coder.metadata:
        got = f"architecture {coder.metadata.get('architecture', 'unknown')!r}"
        raise ValueProblem("this coder is not a crosscoder", got=got, fix="train one with variant='crosscoder'")
    return tuple(Layer(name, width, scale) for name, width, scale in coder.metadata["layers"])


def layer_scales(coder: SparseCoder) -> dict[str, float]:
    """Return each layer's factor, for `stack_layers` on other sounds."""
    return {layer.name: layer.scale for layer in coder_layers(coder)}


def crosscode(coder: SparseCoder, layers: Mapping[str, Trajectory], *, prefix: str = "sae-") -> Trajectory:
    """Turn one sound's layers into the crosscoder's sparse features.

    Parameters
    ----------
    coder
        A crosscoder.
    layers
        Its layers' dense frames, by name; the order does not matter.
    prefix
        Features are named ``prefix + number``.
    """
    wanted = coder_layers(coder)
    if set(layers) != {layer.name for layer in wanted}:
        fix = f"give {', '.join(layer.name for layer in wanted)}"
        raise ValueProblem("a crosscoder needs exactly its own layers", got=", ".join(layers), fix=fix)
    ordered = {layer.name: (layers[layer.name],) for layer in wanted}
    (stacked,) = stack_layers(ordered, scales=layer_scales(coder))
    return apply_sae(coder, stacked, prefix=prefix)


def split_reconstruction(coder: SparseCoder, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Divide a crosscoder's reconstruction among its layers, each in its own units.

    Parameters
    ----------
    coder
        A crosscoder.
    frames
        What it decoded, shape ``(n_frames, sum of widths)``.

    Returns
    -------
    dict
        For each layer, shape ``(n_frames, width)``.
    """
    layers = coder_layers(coder)
    total = sum(layer.width for layer in layers)
    if np.ndim(frames) != 2 or np.shape(frames)[1] != total:
        fix = "give what this crosscoder decoded"
        raise ShapeMismatch(f"frames must have shape (n, {total})", got=np.shape(frames), fix=fix)
    parts = np.split(np.asarray(frames), np.cumsum([layer.width for layer in layers])[:-1], axis=1)
    return {layer.name: part / np.float32(layer.scale) for layer, part in zip(layers, parts, strict=True)}


def decoder_norms(coder: SparseCoder) -> np.ndarray:
    """Return how strongly each feature writes to each layer, at the layers' common scale.

    Returns
    -------
    numpy.ndarray
        Shape ``(d_sae, n_layers)``. A feature's row tells where in the model it lives: one large entry is a
        feature of one layer, equal entries a feature that lasts.
    """
    edges = np.cumsum([layer.width for layer in coder_layers(coder)])[:-1]
    return np.stack([np.linalg.norm(part, axis=1) for part in np.split(coder.W_dec, edges, axis=1)], axis=1)


def _check(layers: Mapping[str, Sequence[Trajectory]]) -> None:
    if not layers or not all(layers.values()):
        counts = {name: len(items) for name, items in layers.items()}
        raise ValueProblem("there is nothing to stack", got=counts, fix="give at least one trajectory for every layer")
    first, *others = layers
    for name in others:
        if len(layers[name]) != len(layers[first]):
            got = f"{len(layers[first])} of {first!r}, {len(layers[name])} of {name!r}"
            raise ShapeMismatch("layers must have the same sounds", got=got, fix="encode every sound at every layer")
        for one, other in zip(layers[first], layers[name], strict=True):
            require_same_axis(one.axis, other.axis, names=(first, name))


def _given(scales: Mapping[str, float], name: str) -> float:
    if name not in scales:
        raise ValueProblem("a layer has no scale", got=f"{name!r}; known: {', '.join(scales)}", fix="name it in scales")
    return float(scales[name])


def _stack(items: Mapping[str, Trajectory], layers: Sequence[Layer]) -> Trajectory:
    parts, names = [], []
    for layer in layers:
        item = items[layer.name]
        if item.is_sparse or item.n_features != layer.width:
            got = f"{item.n_features} {'sparse ' if item.is_sparse else ''}features of {layer.name!r}"
            raise ShapeMismatch(f"this layer has {layer.width} dense features", got=got, fix="use one encoder's layer")
        parts.append(np.asarray(item.values) * np.float32(layer.scale))
        names += [f"{layer.name}/{feature}" for feature in item.features]
    first = items[layers[0].name]
    told = [[layer.name, layer.width, layer.scale] for layer in layers]
    made_by = {name: item.provenance.to_json() for name, item in items.items()}
    provenance = first.provenance.then(STEP, layers=told, made_by=made_by)
    return Trajectory(np.concatenate(parts, axis=1), first.axis, tuple(names), provenance)
