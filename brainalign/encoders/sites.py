"""Where in a model can one listen, and how does what is heard there become frames?

A site is named by what passes there and numbered by its block, counted from 1 as hidden
states are: ``("mlp", 3)`` are the hidden units of block 3, ``("residual", 9)`` is block 9's
output, ``("residual", 0)`` is what goes into block 1, ``("front", 0)`` what the front end
gives, and ``("final", n)`` what the last norm makes of the last of ``n`` blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TypeAlias

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import gelu

from brainalign.core.arrays import read_only
from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.core.provenance import Provenance
from brainalign.core.time import TimeAxis
from brainalign.encoders.families import Family, Layout, Place
from brainalign.encoders.hooks import Site

SiteKey: TypeAlias = tuple[str, int]


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Who listens to whom, per head.

    Parameters
    ----------
    values
        Shape ``(n_heads, n_frames, n_frames)``, float32: how much the frame of the row takes from
        the frame of the column. A row sums to 1, or to less where the model also attends to
        padding or to tokens that are no frames.
    axis
        The frames' clock.
    provenance
        The steps that made it.
    """

    values: np.ndarray
    axis: TimeAxis
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", read_only(np.asarray(self.values, dtype=np.float32)))


def part_of(module: nn.Module, path: str) -> nn.Module:
    """Follow an attribute path, the first of its alternatives that exists."""
    for alternative in path.split("|"):
        try:
            return reduce(getattr, alternative.split("."), module)
        except AttributeError:
            continue
    raise ValueProblem(
        "a model lacks a part that its type should have",
        got=f"no {path} in a {type(module).__name__}",
        fix="check the Family's paths against the model, or use another version of transformers",
    )


def site_names(family: Family) -> tuple[str, ...]:
    """Return the names of all sites of a model type."""
    ends = [name for name, place in (("front", family.front), ("final", family.final)) if place]
    return ("residual", *family.sites, *ends)


def checked_sites(wanted: Sequence[SiteKey], family: Family, *, n_layers: int, name: str) -> tuple[SiteKey, ...]:
    """Return the wanted sites, each once, or refuse those that are not there.

    Parameters
    ----------
    wanted
        Pairs of a site's name and a block's number.
    family
        The model's type.
    n_layers
        Number of blocks.
    name
        What to call the encoder in an error.
    """
    if not wanted:
        raise ValueProblem(
            f"{name} has hidden states 0 to {n_layers}, and none was asked for",
            got="an empty list",
            fix=_others(family),
        )
    keys = []
    for site, layer in dict.fromkeys(wanted):
        if site in family.without:
            raise ValueProblem(f"{name} cannot give {site!r}", got=family.without[site], fix=_others(family))
        if site not in site_names(family):
            raise unknown_name(str(site), among=site_names(family), kind=f"site in {name}")
        first, last = _layers_of(site, n_layers)
        if not isinstance(layer, (int, np.integer)) or not first <= layer <= last:
            what = "hidden states" if site == "residual" else f"{site!r} in layers"
            raise ValueProblem(
                f"{name} has {what} {first} to {last}",
                got=f"layers={[k for s, k in wanted if s == site]}",
                fix=f"ask for one or more of {first} to {last} ('residual' 0 goes into block 1)",
            )
        keys.append((site, int(layer)))
    return tuple(keys)


def _layers_of(site: str, n_layers: int) -> tuple[int, int]:
    if site in ("front", "final"):
        return (0, 0) if site == "front" else (n_layers, n_layers)
    return (0 if site == "residual" else 1), n_layers


def _others(family: Family) -> str:
    return f"ask for one of {', '.join(site_names(family))}"


def find_site(model: nn.Module, blocks: nn.ModuleList, key: SiteKey, family: Family) -> tuple[Site, Layout]:
    """Find the module of a checked site, and how its tensor lies.

    Parameters
    ----------
    model, blocks
        The model, and its blocks.
    key
        Name and number of the site; ``"maps"`` are attention maps.
    family
        The model's type.
    """
    name, layer = key
    if name == "residual":
        return (Site(blocks[layer - 1]) if layer else Site(blocks[0], "input")), family.layout
    outside = {"front": family.front, "final": family.final}.get(name)
    place = outside or (family.maps if name == "maps" else family.sites[name]) or Place("")
    module = part_of(model if outside else blocks[layer - 1], place.path)
    return Site(module, place.end, place.part), place.layout


def as_frames(tensor: Tensor, layout: Layout, *, grid: tuple[int, int], apart: bool) -> Tensor:
    """Bring what a site gave into the shape ``(batch, frame, feature)``.

    Parameters
    ----------
    tensor
        As the model gave it.
    layout
        How it lies (see `Place`).
    grid
        For the layout ``"patches"``: bands above one another and frames; other tokens come first
        and are left out.
    apart
        Whether bands stay apart, side by side (low frequencies first), or are averaged.
    """
    if layout == "frames":
        return tensor
    if layout == "patches":
        patches = tensor[:, -grid[0] * grid[1] :].unflatten(1, grid)
        return patches.transpose(1, 2).flatten(2) if apart else patches.mean(dim=1)
    return (gelu(tensor) if layout == "gelu-channels" else tensor).transpose(1, 2)


def maps_as_frames(maps: Tensor, layout: Layout, *, grid: tuple[int, int]) -> Tensor:
    """Bring attention maps between tokens into maps between frames: mean over a frame's queries, sum over its keys.

    Parameters
    ----------
    maps
        Shape ``(batch, head, token, token)``.
    layout, grid
        As for `as_frames`.
    """
    if layout != "patches":
        return maps
    n = grid[0] * grid[1]
    patches = maps[..., -n:, -n:].unflatten(-1, grid).sum(dim=-2)
    return patches.unflatten(-2, grid).mean(dim=-3)


def feature_names(key: SiteKey, n_features: int, *, n_groups: int = 1) -> tuple[str, ...]:
    """Name the columns of a site: ``layer9-17``, ``layer3-mlp-17``, ``layer3-heads1-17``, ``front-17``.

    Parameters
    ----------
    key
        The site.
    n_features
        Number of columns.
    n_groups
        Number of heads or bands that lie side by side and are counted apart, from 0.
    """
    name, layer = key
    start = {"residual": f"layer{layer}", "front": "front", "final": "final"}.get(name, f"layer{layer}-{name}")
    if n_groups == 1:
        return tuple(f"{start}-{i}" for i in range(n_features))
    each, separator = n_features // n_groups, "" if name == "heads" else "-band"
    return tuple(f"{start}{separator}{group}-{i}" for group in range(n_groups) for i in range(each))
