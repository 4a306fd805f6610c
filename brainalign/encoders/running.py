"""How is a pretrained encoder run, and what is heard in it? Any sites of a transformers model, on its clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from brainalign.core.amounts import parse_bytes
from brainalign.core.errors import GridMismatch, NotFinite, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoders.budget import MOST_AT_ONCE, together, window_bytes
from brainalign.encoders.causal import Causal
from brainalign.encoders.families import Family, Layout
from brainalign.encoders.frames import FrameClock
from brainalign.encoders.hooks import captured
from brainalign.encoders.inputs import Inputs, Statistics
from brainalign.encoders.pace import Progress
from brainalign.encoders.pieces import counted, gathered
from brainalign.encoders.precision import named
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
    memory
        Budget for what a pass needs besides weights and result: windows of equal length run
        together as far as it reaches, and at least one at a time. Another budget is
        ``dataclasses.replace(encoder, memory="500MB")``.
    """

    name: str
    model: nn.Module
    family: Family
    inputs: Inputs
    windowing: Context
    identity: Mapping[str, Any] = field(default_factory=dict)
    bands: Literal["mean", "apart"] = "mean"
    memory: str | int = "100MB"

    def __post_init__(self) -> None:
        parse_bytes(self.memory)
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
    def dtype(self) -> torch.dtype:
        """What the model computes in."""
        return next(self.model.parameters()).dtype

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
            centres as its times. Same input, same bytes, for one memory budget and one number of
            threads (torch's own setting, which is left alone here).
        """
        found = self.encode_sites(stimulus, [(site, layer) for layer in layers])
        return {layer: trajectory for (_, layer), trajectory in found.items()}

    def encode_sites(
        self, stimulus: Stimulus, wanted: Sequence[SiteKey], *, progress: Progress | None = None
    ) -> dict[SiteKey, Trajectory]:
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
        progress
            Told of frames done and of all frames (`brainalign.encoders.pace.Pace` puts it into words).

        Returns
        -------
        dict
            ``(site, layer)`` -> dense float32 trajectory, all on one clock (CLAP's: each on its stage's).
        """
        wanted = checked_sites(wanted, self.family, n_layers=self.n_layers, name=self.name)
        rows = self._rows(stimulus, wanted, progress=progress)
        return self.trajectories(stimulus, {key: rows[key] for key in wanted})

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
        windows = [window for batch in self._batches(stimulus) for window in batch]
        if len(windows) > 1 or isinstance(self.windowing, Causal):
            raise ValueProblem(
                "attention maps are made in one pass",
                got=f"{len(windows)} windows for {float(stimulus.axis.duration):g} s",
                fix="cut the sound, or load the encoder with longer windows",
            )
        keys = [("maps", int(layer)) for layer in layers]
        found = self._run(self._given(stimulus, windows, self._statistics(stimulus)), keys)
        maps = {key: maps_as_frames(found[key], self._layout(key), grid=self._grid)[0] for key in keys}
        kept, axis, told = windows[0].kept, self.axis(stimulus), self.provenances(stimulus, keys)
        return {key[1]: AttentionMaps(maps[key][:, kept, kept].float().cpu().numpy(), axis, told[key]) for key in keys}

    def pieces(
        self, stimulus: Stimulus, wanted: Sequence[SiteKey], *, n_done: int = 0
    ) -> Iterator[dict[SiteKey, np.ndarray]]:
        """Yield the wanted sites' frames batch by batch, in order and without gaps.

        Parameters
        ----------
        stimulus
            The sound, at the encoder's sampling rate.
        wanted
            Pairs of site and layer.
        n_done
            Frames to leave out at the beginning, because they are there already.

        Yields
        ------
        dict
            ``(site, layer)`` -> float32 array, shape ``(frames of this piece, n_features)``.
        """
        wanted = checked_sites(wanted, self.family, n_layers=self.n_layers, name=self.name)
        self._check_clock(wanted)
        shared = self._statistics(stimulus)
        for batch in self._batches(stimulus):
            n_kept = sum(window.keep_stop - window.keep_start for window in batch)
            skipped, n_done = min(n_done, n_kept), max(0, n_done - n_kept)
            if skipped == n_kept:
                continue
            found = self._run(self._given(stimulus, batch, shared), wanted)
            yield {key: self._kept(found.pop(key), key, batch)[skipped:] for key in wanted}

    def trajectories(self, stimulus: Stimulus, rows: Mapping[SiteKey, np.ndarray]) -> dict[SiteKey, Trajectory]:
        """Put clock, names and provenance to all frames of some sites.

        Parameters
        ----------
        stimulus
            The sound they were made from.
        rows
            Site -> float32 array, shape ``(n_frames, n_features)``.
        """
        found: dict[SiteKey, Trajectory] = {}
        for part, keys in self._by_clock(list(rows)):
            axis, told = part.axis(stimulus), part.provenances(stimulus, keys)
            for key in keys:
                names = feature_names(key, rows[key].shape[1], n_groups=part._n_groups(key))
                found[key] = Trajectory(rows[key], axis, names, told[key])
        return {key: found[key] for key in rows}

    def provenances(self, stimulus: Stimulus, keys: Sequence[SiteKey]) -> dict[SiteKey, Provenance]:
        """Return what will be recorded about some sites' frames.

        Parameters
        ----------
        stimulus
            The sound they are made from.
        keys
            Pairs of site and layer.
        """
        # Once for all sites: the whole sound is read for its hash.
        content = stimulus.content
        found: dict[SiteKey, Provenance] = {}
        for part, own in self._by_clock(keys):
            windows = (window for batch in part._batches(stimulus) for window in batch)
            cuts = part.windowing.describe(n_windows=sum(window.keep_stop > window.keep_start for window in windows))
            bands = {"bands": part.bands} if part.inputs.n_bands > 1 else {}
            made = {**part.inputs.describe(), **bands, **cuts, "stimulus": content}
            for key in own:
                found[key] = stimulus.provenance.then("encode", **part.identity, site=key[0], layer=key[1], **made)
        return {key: found[key] for key in keys}

    def _by_clock(self, keys: Sequence[SiteKey]) -> Sequence[tuple[HuggingEncoder, list[SiteKey]]]:
        """Return sites, together where they share a clock, each time with the encoder on that clock."""
        return [(self, list(keys))]

    def _check_clock(self, wanted: Sequence[SiteKey]) -> None:
        """Refuse sites that are on another clock than the encoder's; here there is but one."""

    def _rows(
        self, stimulus: Stimulus, wanted: Sequence[SiteKey], *, progress: Progress | None
    ) -> dict[SiteKey, np.ndarray]:
        """Return all frames of some sites."""
        n_frames = self.axis(stimulus).n
        return gathered(counted(self.pieces(stimulus, wanted), n_frames, progress=progress), n_frames)

    @property
    def _grid(self) -> tuple[int, int]:
        return self.inputs.n_bands, self.inputs.n_most or 0

    def _layout(self, key: SiteKey) -> Layout:
        return find_site(self.model, self.blocks, key, self.family)[1]

    def _frames(self, tensor: torch.Tensor, key: SiteKey) -> torch.Tensor:
        return as_frames(tensor.float(), self._layout(key), grid=self._grid, apart=self.bands == "apart")

    def _kept(self, tensor: torch.Tensor, key: SiteKey, batch: Sequence[Window]) -> np.ndarray:
        """Return a batch's kept frames as float32: what the model made itself, if all of it is kept."""
        frames = self._frames(tensor, key)
        rows = [item[window.kept] for item, window in zip(frames, batch, strict=True)]
        # Part of a window is copied, so that the rest of it can go.
        values = rows[0] if len(rows) == 1 and len(rows[0]) == frames.shape[1] else torch.cat(rows)
        if self.dtype != torch.float32 and not values.isfinite().all():
            raise NotFinite(
                f"{self.name} leaves the range of its numbers",
                got=f"{key[0]} {key[1]} in {named(self.dtype)}",
                fix="use load_encoder(..., dtype='bfloat16') or 'float32'",
            )
        return values.contiguous().cpu().numpy()

    def _n_groups(self, key: SiteKey) -> int:
        bands = self.inputs.n_bands if self.bands == "apart" else 1
        config: Any = self.model.config
        return int(config.num_attention_heads) if key[0] == "heads" and bands == 1 else bands

    def _batches(self, stimulus: Stimulus) -> Iterator[tuple[Window, ...]]:
        self._check_stimulus(stimulus)
        batches = iter(self.windowing.batches(stimulus.axis.n, self.clock))
        if isinstance(self.windowing, Causal):
            # Batches of a fixed size: a frame's bits must not depend on how much sound follows.
            return batches
        return together(batches, stimulus.axis.n, self.clock, n_at_once=self._n_at_once)

    def _n_at_once(self, window: Window, n_samples: int) -> int:
        """Return how many windows like this one fit into the memory budget."""
        n_tokens = (self.inputs.n_most or window.stop - window.start) * self.inputs.n_bands
        maps = self.family.open_maps or getattr(self.model.config, "_attn_implementation", "") == "eager"
        item = self.dtype.itemsize
        each = window_bytes(self.model.config, n_samples=n_samples, n_tokens=n_tokens, item=item, maps=maps)
        # A config that names its sizes otherwise is run one window at a time.
        return max(1, min(MOST_AT_ONCE, parse_bytes(self.memory) // each)) if each else 1

    def _statistics(self, stimulus: Stimulus) -> Statistics | None:
        """Return what all windows are normalised with; a frame that hears its past alone may not know it."""
        if isinstance(self.windowing, Causal):
            return self.windowing.statistics
        return self.inputs.statistics(stimulus.waveform)

    def _given(self, stimulus: Stimulus, batch: Sequence[Window], statistics: Statistics | None) -> torch.Tensor:
        cuts = [stimulus.waveform[window.samples(self.clock, stimulus.axis.n)] for window in batch]
        given = [self.inputs.given(cut, statistics or self.inputs.statistics(cut)) for cut in cuts]
        stacked = given[0][None] if len(given) == 1 else np.stack(given)
        return torch.from_numpy(stacked).to(next(self.model.parameters()).device, self.dtype)

    def _run(self, given: torch.Tensor, wanted: Sequence[SiteKey]) -> dict[SiteKey, torch.Tensor]:
        sites = {key: find_site(self.model, self.blocks, key, self.family)[0] for key in wanted}
        mixed = self.family.single and self.dtype != torch.float32
        caster = torch.autocast(given.device.type, dtype=self.dtype) if mixed else nullcontext()
        with torch.inference_mode(), caster, captured(sites) as found:
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
