"""How is a pretrained encoder run, and what is heard in it? Any sites of a transformers model, on its clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from brainalign.core.errors import GridMismatch, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoders.causal import Causal
from brainalign.encoders.families import Family, Layout
from brainalign.encoders.frames import FrameClock
from brainalign.encoders.hooks import captured
from brainalign.encoders.inputs import Inputs, Statistics
from brainalign.encoders.sites import (
    AttentionMaps,
    SiteKey,
    as_frames,
    checked_sites,
    feature_names,
    find_site,
    maps_as_frames,
    part_of,
)
from brainalign.encoders.windows import Context, Window


@dataclass(frozen=True, eq=False)
class HuggingEncoder:
    """A transformers audio encoder with its clock (see `load_encoder`).

    Parameters
    ----------
    name
        Hub id, or model type and the beginning of the weights' hash.
    model
        The model, in evaluation mode; it is never changed.
    family
        Where its parts are.
    inputs
        What it hears. Where a model normalises over the utterance, it is done once, over the
        whole stimulus, before any cutting into windows.
    windowing
        How sounds are cut: where they are too long (`Windowing`), for every frame (`Causal`), or
        never (`OnePass`).
    identity
        What provenance records about the model (JSON values).
    bands
        For models whose tokens are patches of a spectrogram: ``"mean"`` over a frame's patches,
        or all of them side by side (``"apart"``).
    """

    name: str
    model: nn.Module
    family: Family
    inputs: Inputs
    windowing: Context
    identity: Mapping[str, Any] = field(default_factory=dict)
    bands: Literal["mean", "apart"] = "mean"

    def __post_init__(self) -> None:
        self.windowing.check(self.clock, n_most=self.inputs.n_most)
        if isinstance(self.windowing, Causal) and self.windowing.statistics is not None and not self.inputs.adapts:
            raise ValueProblem(
                f"{self.name} does not normalise what it hears",
                got=f"statistics={self.windowing.statistics}",
                fix="leave statistics out of Causal(...)",
            )

    @property
    def blocks(self) -> nn.ModuleList:
        """The model's transformer blocks, first to last."""
        return part_of(self.model, self.family.blocks)  # type: ignore[return-value]

    @property
    def n_layers(self) -> int:
        """Number of transformer blocks; hidden states are numbered 0 to ``n_layers``."""
        return len(self.blocks)

    @property
    def sample_rate(self) -> Fraction:
        """Rate of the waveforms it takes, in Hz."""
        return self.inputs.sample_rate

    @property
    def clock(self) -> FrameClock:
        """When its frames happen."""
        return self.inputs.clock

    def axis(self, stimulus: Stimulus) -> TimeAxis:
        """Return the times of all frames that a stimulus gives."""
        return self.windowing.axis(stimulus.axis.n, self.clock).moved(stimulus.axis.t0)

    def encode(self, stimulus: Stimulus, layers: Sequence[int], *, site: str = "residual") -> dict[int, Trajectory]:
        """Run a stimulus through the model, as far up as the highest wanted block.

        Parameters
        ----------
        stimulus
            The sound, at the encoder's sampling rate.
        layers
            Blocks wanted, from 1. For the residual stream these are hidden states: 0 is what goes
            into block 1 (front end, projection and positions), ``k`` is what comes out of block
            ``k``.
        site
            Where in a block: ``"residual"``, ``"mlp"``, ``"attention"``, ``"heads"``, ... (see
            `encode_sites`).

        Returns
        -------
        dict
            Layer -> dense float32 trajectory, shape ``(n_frames, n_features)``, with frame
            centres as its times. Same input, same bytes, for one number of threads (torch's own
            setting, which is left alone here).
        """
        found = self.encode_sites(stimulus, [(site, layer) for layer in layers])
        return {layer: trajectory for (_, layer), trajectory in found.items()}

    def encode_sites(self, stimulus: Stimulus, wanted: Sequence[SiteKey]) -> dict[SiteKey, Trajectory]:
        """Listen at many sites in one pass.

        Parameters
        ----------
        stimulus
            The sound, at the encoder's sampling rate.
        wanted
            Pairs of site and layer, such as ``[("mlp", 3), ("residual", 9)]``: ``"residual"`` (0
            to ``n_layers``), ``"mlp"`` (hidden units after the non-linearity), ``"attention"``
            (what a block's attention adds to the residual stream), ``"heads"`` (each head's own
            share of it, before the heads are mixed), ``"front"`` (layer 0: the front end), and
            ``"final"`` (layer ``n_layers``: after the model's last norm).

        Returns
        -------
        dict
            ``(site, layer)`` -> dense float32 trajectory, all on one clock.
        """
        wanted = checked_sites(wanted, self.family, n_layers=self.n_layers, name=self.name)
        pieces = list(self.pieces(stimulus, wanted))
        rows = {key: np.concatenate([piece[key] for piece in pieces]) for key in wanted}
        return {key: self.trajectory(stimulus, key, rows[key]) for key in wanted}

    def attention_maps(self, stimulus: Stimulus, layers: Sequence[int]) -> dict[int, AttentionMaps]:
        """Return who attends to whom, per block and head, for a sound that fits into one pass.

        Parameters
        ----------
        stimulus
            The sound, at the encoder's sampling rate.
        layers
            Blocks wanted, from 1.

        Returns
        -------
        dict
            Layer -> maps of shape ``(n_heads, n_frames, n_frames)``.

        Notes
        -----
        Fused attention never forms the maps. Load the encoder with ``attention="eager"``, which
        computes the same numbers in the open (and some 10 % slower).
        """
        checked_sites([("attention", layer) for layer in layers], self.family, n_layers=self.n_layers, name=self.name)
        if self.family.maps is None or getattr(self.model.config, "_attn_implementation", "eager") != "eager":
            why = self.family.without.get("maps")
            raise ValueProblem(
                f"{self.name} gives no attention maps",
                got=why or "fused attention",
                fix="use another type of encoder" if why else "load it with load_encoder(..., attention='eager')",
            )
        batches = list(self._batches(stimulus))
        if len(batches) > 1 or isinstance(self.windowing, Causal):
            raise ValueProblem(
                "attention maps are made in one pass",
                got=f"{len(batches)} windows for {float(stimulus.axis.duration):g} s",
                fix="cut the sound, or load the encoder with longer windows",
            )
        (window,) = batches[0]
        keys = [("maps", int(layer)) for layer in layers]
        found = self._run(self._given(stimulus, batches[0], self._statistics(stimulus)), keys)
        maps = {key: maps_as_frames(found[key], self._layout(key), grid=self._grid)[0] for key in keys}
        kept, axis = window.kept, self.axis(stimulus)
        return {
            key[1]: AttentionMaps(maps[key][:, kept, kept].cpu().numpy(), axis, self.provenance(stimulus, key))
            for key in keys
        }

    def pieces(
        self, stimulus: Stimulus, wanted: Sequence[SiteKey], *, n_done: int = 0
    ) -> Iterator[dict[SiteKey, np.ndarray]]:
        """Yield the wanted sites' frames piece by piece, in order and without gaps.

        Parameters
        ----------
        stimulus
            The sound, at the encoder's sampling rate.
        wanted
            Pairs of site and layer.
        n_done
            Pieces to leave out at the beginning, because they are there already.

        Yields
        ------
        dict
            ``(site, layer)`` -> float32 array, shape ``(frames of this piece, n_features)``.
        """
        wanted = checked_sites(wanted, self.family, n_layers=self.n_layers, name=self.name)
        shared = self._statistics(stimulus)
        for batch in islice(self._batches(stimulus), n_done, None):
            found = self._run(self._given(stimulus, batch, shared), wanted)
            yield {key: _kept(self._frames(found[key], key), batch) for key in wanted}

    def trajectory(self, stimulus: Stimulus, key: SiteKey, values: np.ndarray) -> Trajectory:
        """Put clock, names and provenance to all frames of one site.

        Parameters
        ----------
        stimulus
            The sound they were made from.
        key
            Site and layer.
        values
            Shape ``(n_frames, n_features)``, float32.
        """
        names = feature_names(key, values.shape[1], n_groups=self._n_groups(key))
        return Trajectory(values, self.axis(stimulus), names, self.provenance(stimulus, key))

    def provenance(self, stimulus: Stimulus, key: SiteKey) -> Provenance:
        """Return what will be recorded about one site's frames.

        Parameters
        ----------
        stimulus
            The sound they are made from.
        key
            Site and layer.
        """
        n_windows = sum(1 for _ in self._batches(stimulus))
        cuts = self.windowing.describe(n_windows=n_windows)
        bands = {"bands": self.bands} if self.inputs.n_bands > 1 else {}
        site = {"site": key[0], "layer": key[1]}
        made = {**self.identity, **site, **self.inputs.describe(), **bands, **cuts}
        return stimulus.provenance.then("encode", stimulus=stimulus.content, **made)

    @property
    def _grid(self) -> tuple[int, int]:
        return self.inputs.n_bands, self.inputs.n_most or 0

    def _layout(self, key: SiteKey) -> Layout:
        return find_site(self.model, self.blocks, key, self.family)[1]

    def _frames(self, tensor: torch.Tensor, key: SiteKey) -> torch.Tensor:
        return as_frames(tensor, self._layout(key), grid=self._grid, apart=self.bands == "apart")

    def _n_groups(self, key: SiteKey) -> int:
        bands = self.inputs.n_bands if self.bands == "apart" else 1
        config: Any = self.model.config
        return int(config.num_attention_heads) if key[0] == "heads" and bands == 1 else bands

    def _batches(self, stimulus: Stimulus) -> Iterator[tuple[Window, ...]]:
        self._check_stimulus(stimulus)
        return iter(self.windowing.batches(stimulus.axis.n, self.clock))

    def _statistics(self, stimulus: Stimulus) -> Statistics | None:
        """Return what all windows are normalised with; a frame that hears its past alone may not know it."""
        if isinstance(self.windowing, Causal):
            return self.windowing.statistics
        return self.inputs.statistics(stimulus.waveform)

    def _given(self, stimulus: Stimulus, batch: Sequence[Window], statistics: Statistics | None) -> torch.Tensor:
        cuts = [stimulus.waveform[window.samples(self.clock, stimulus.axis.n)] for window in batch]
        given = [self.inputs.given(cut, statistics or self.inputs.statistics(cut)) for cut in cuts]
        return torch.from_numpy(np.stack(given)).to(next(self.model.parameters()).device)

    def _run(self, given: torch.Tensor, wanted: Sequence[SiteKey]) -> dict[SiteKey, torch.Tensor]:
        sites = {key: find_site(self.model, self.blocks, key, self.family)[0] for key in wanted}
        with torch.inference_mode(), captured(sites) as found:
            self.model(given)
        if len(found) < len(sites):
            missed = [key for key in wanted if key not in found]
            raise ValueProblem(
                f"{self.name} ran without passing every site",
                got=f"nothing at {missed}",
                fix="check the Family's paths against the model",
            )
        return found

    def _check_stimulus(self, stimulus: Stimulus) -> None:
        if stimulus.axis.rate != self.sample_rate:
            raise GridMismatch(
                f"stimulus {stimulus.name!r} is not at the encoder's sampling rate",
                got=f"{float(stimulus.axis.rate):g} Hz, {self.name} takes {float(self.sample_rate):g} Hz",
                fix=f"bring it there with resample_audio(stimulus, {float(self.sample_rate):g})",
            )
        if not self.clock.n_frames(stimulus.axis.n):
            raise ValueProblem(
                f"stimulus {stimulus.name!r} is shorter than one frame",
                got=f"{stimulus.axis.n} samples",
                fix=f"give at least {self.clock.least} samples",
            )


def _kept(frames: torch.Tensor, batch: Sequence[Window]) -> np.ndarray:
    rows = [item[window.kept] for item, window in zip(frames, batch, strict=True)]
    return torch.cat(rows).float().cpu().numpy()
