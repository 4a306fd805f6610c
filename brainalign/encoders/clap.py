"""How is CLAP's audio tower run, whose layers do not share one clock? Each stage's frames on its own.

A stage's frames are half as many per second as those of the stage before (25.575, 12.7875, ...
for the published models), and never a whole number of samples apart. Layers are blocks, counted
over all stages. Windows begin where frames of the slowest stage do, so that one pass gives
layers of all stages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, groupby
from typing import Any

import numpy as np
import torch
from torch import nn

from brainalign.core.amounts import parse_bytes
from brainalign.core.errors import ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import nearest
from brainalign.encoders.budget import MOST_AT_ONCE
from brainalign.encoders.causal import Causal
from brainalign.encoders.clap_mel import FoldedMel
from brainalign.encoders.inputs import Statistics
from brainalign.encoders.pace import Progress
from brainalign.encoders.running import HuggingEncoder
from brainalign.encoders.sites import SiteKey, checked_sites, part_of
from brainalign.encoders.windows import Window

# Tensors alive at the same time in the first stage, the widest: a token's own and its hidden units.
_HIDDEN_COPIES, _INNER_COPIES, _MAP_COPIES = 8, 3, 3


@dataclass(frozen=True, eq=False)
class ClapEncoder(HuggingEncoder):
    """CLAP's audio tower, on the clock of one of its stages (`at` gives it on another's).

    Its own ``clock`` and ``axis`` are those of ``inputs.stage``, of the first stage as `load_encoder`
    makes it. `encode` and `encode_sites` take layers of any stages, and give each its own times; progress is counted on
    the encoder's own clock whatever is asked for. `pieces` gives sites on the encoder's own clock alone.
    """

    @property
    def blocks(self) -> nn.ModuleList:
        """The model's blocks, first to last over all stages."""
        return nn.ModuleList(block for stage in self._stages for block in stage.blocks)

    def stage_of(self, key: SiteKey) -> int:
        """Return the stage that a site belongs to, from 0.

        Parameters
        ----------
        key
            Pair of site and layer.
        """
        ends = accumulate(len(stage.blocks) for stage in self._stages)
        return next(i for i, end in enumerate(ends) if key[1] <= end)

    def at(self, wanted: Sequence[SiteKey]) -> ClapEncoder:
        """Return the encoder on the clock of some sites, which must all belong to one stage.

        Parameters
        ----------
        wanted
            Pairs of site and layer.
        """
        wanted = checked_sites(wanted, self.family, n_layers=self.n_layers, name=self.name)
        stages = {self.stage_of(key) for key in wanted}
        if len(stages) > 1:
            raise ValueProblem(
                f"these sites of {self.name} are on different clocks",
                got=f"{list(wanted)}: stages {sorted(stages)}",
                fix="ask for one stage's sites at a time, or use encode_sites, which gives each its own clock",
            )
        return replace(self, inputs=replace(self._hears, stage=stages.pop()))

    @property
    def _stages(self) -> Any:
        return part_of(self.model, self.family.blocks)

    @property
    def _hears(self) -> FoldedMel:
        hears: FoldedMel = self.inputs  # type: ignore[assignment]
        return hears

    def _by_clock(self, keys: Sequence[SiteKey]) -> list[tuple[ClapEncoder, list[SiteKey]]]:
        """Return the stages' encoders, fastest first, each with its sites."""
        ordered = groupby(sorted(keys, key=self.stage_of), key=self.stage_of)
        return [(self.at(own), own) for own in (list(group) for _, group in ordered)]

    def _check_clock(self, wanted: Sequence[SiteKey]) -> None:
        if (stage := self.at(wanted)._hears.stage) != self._hears.stage:
            raise ValueProblem(
                f"these sites of {self.name} are not on its clock",
                got=f"stage {stage}, the encoder is at stage {self._hears.stage}",
                fix="give encoder.at(sites) instead of the encoder",
            )

    def _rows(
        self, stimulus: Stimulus, wanted: Sequence[SiteKey], *, progress: Progress | None
    ) -> dict[SiteKey, np.ndarray]:
        parts, tell = self._by_clock(wanted), self._in_own_frames(progress, stimulus)
        if len(parts) == 1:
            own, _ = parts[0]
            return super(ClapEncoder, own)._rows(stimulus, wanted, progress=tell)
        if isinstance(self.windowing, Causal):
            raise ValueProblem(
                f"these sites of {self.name} are on different clocks, and a causal window ends with one frame",
                got=f"{list(wanted)}",
                fix="ask for one stage's layers at a time",
            )
        return self._rows_of_stages(stimulus, parts, progress=tell)

    def _in_own_frames(self, progress: Progress | None, stimulus: Stimulus) -> Progress | None:
        if progress is None:
            return None
        tell, n_frames = progress, self.axis(stimulus).n
        return lambda done, total: tell(done * n_frames // max(total, 1), n_frames)

    def _rows_of_stages(
        self, stimulus: Stimulus, parts: list[tuple[ClapEncoder, list[SiteKey]]], *, progress: Progress | None
    ) -> dict[SiteKey, np.ndarray]:
        """Run every window once, and put each stage's frames where they belong."""
        tell, first = progress or (lambda done, total: None), parts[0][0]
        keys = [key for _, own in parts for key in own]
        pieces: dict[SiteKey, list[np.ndarray]] = {key: [] for key in keys}
        n_done, n_frames = 0, first.axis(stimulus).n
        tell(n_done, n_frames)
        for batches in zip(*(part._batches(stimulus) for part, _ in parts), strict=True):
            found = first._run(first._given(stimulus, batches[0], None), keys)
            for (part, own), batch in zip(parts, batches, strict=True):
                for key in own:
                    pieces[key].append(part._kept(found.pop(key), key, batch))
            n_done += sum(window.keep_stop - window.keep_start for window in batches[0])
            tell(n_done, n_frames)
        return {key: np.concatenate(found) for key, found in pieces.items()}

    def _frames(self, tensor: torch.Tensor, key: SiteKey) -> torch.Tensor:
        """Unfold the picture: a row of patches holds the same band of one quarter, and the quarters lie below."""
        tokens = tensor.float()
        if tokens.ndim == 4:
            # A convolution's output, with its channels first.
            tokens = tokens.flatten(2).transpose(1, 2)
        n_parts, n_bands = self._hears.n_parts, self._hears.n_bands
        patches = tokens.unflatten(1, (n_parts, n_bands, -1)).transpose(2, 3).flatten(1, 2)
        return patches.flatten(2) if self.bands == "apart" else patches.mean(dim=2)

    def _batches(self, stimulus: Stimulus) -> Iterator[tuple[Window, ...]]:
        if isinstance(self.windowing, Causal):
            return super()._batches(stimulus)
        self._check_stimulus(stimulus)
        ticks, steps = self._hears.ticks
        planned = self.windowing.batches(stimulus.axis.n, ticks)
        n_frames = self.clock.n_frames(stimulus.axis.n)
        windows = [_stepped(window, steps=steps, n_frames=n_frames) for batch in planned for window in batch]
        size = self._n_of_windows()
        return (tuple(windows[i : i + size]) for i in range(0, len(windows), size))

    def _given(self, stimulus: Stimulus, batch: Sequence[Window], statistics: Statistics | None) -> torch.Tensor:
        if isinstance(self.windowing, Causal):
            return super()._given(stimulus, batch, statistics)
        starts = [nearest(Fraction(window.start * self.clock.stride)) for window in batch]
        cuts = [stimulus.waveform[start : start + self._hears.n_samples] for start in starts]
        given = np.stack([self.inputs.given(cut, statistics) for cut in cuts])
        return torch.from_numpy(given).to(next(self.model.parameters()).device, self.dtype)

    def _run(self, given: torch.Tensor, wanted: Sequence[SiteKey]) -> dict[SiteKey, torch.Tensor]:
        """Run the model; one that fuses is told that no sound is longer than what it is given."""

        def short(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return args, {**kwargs, "is_longer": torch.zeros(len(given), 1, dtype=torch.bool)}

        handle = self.model.register_forward_pre_hook(short, with_kwargs=True)
        try:
            return super()._run(given, wanted)
        finally:
            handle.remove()

    def _n_of_windows(self) -> int:
        config: Any = self.model.config
        n_tokens = (self._hears.side // self._hears.patch) ** 2
        width = int(config.patch_embeds_hidden_size)
        per_token = _HIDDEN_COPIES * width + _INNER_COPIES * int(config.mlp_ratio * width)
        per_token += _MAP_COPIES * int(config.num_attention_heads[0]) * int(config.window_size) ** 2
        return max(1, min(MOST_AT_ONCE, parse_bytes(self.memory) // (self.dtype.itemsize * n_tokens * per_token)))


def _stepped(window: Window, *, steps: int, n_frames: int) -> Window:
    """Count a window in the frames of one stage, of which there may be fewer than whole ticks hold."""
    keep = [min(n_frames, steps * edge) for edge in (window.keep_start, window.keep_stop)]
    return Window(steps * window.start, steps * window.stop, keep[0], keep[1])
