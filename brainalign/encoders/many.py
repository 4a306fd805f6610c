"""How are many sounds encoded? In order, and each waveform once, however often it is played."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from brainalign.core.stimulus import Stimulus
from brainalign.core.trajectory import Trajectory
from brainalign.encoders.running import HuggingEncoder


def encode_many(
    encoder: HuggingEncoder, stimuli: Sequence[Stimulus], *, layers: Sequence[int], site: str = "residual"
) -> Iterator[dict[int, Trajectory]]:
    """Encode sounds one after the other; those with the same samples and clock are run once.

    Parameters
    ----------
    encoder
        What to run.
    stimuli
        The sounds, at the encoder's sampling rate. Their names do not matter, `Stimulus.content`
        does.
    layers
        Blocks wanted (see `HuggingEncoder.encode`).
    site
        Where in a block.

    Yields
    ------
    dict
        Per stimulus, layer -> trajectory, as `HuggingEncoder.encode` gives it. Repetitions share
        their values with the first, and have their own provenance. What will not be asked for
        again is let go.
    """
    contents = [stimulus.content for stimulus in stimuli]
    left = Counter(contents)
    kept: dict[str, dict[int, Trajectory]] = {}
    for stimulus, content in zip(stimuli, contents, strict=True):
        found = kept.pop(content, None) or encoder.encode(stimulus, layers, site=site)
        left[content] -= 1
        if left[content]:
            kept[content] = found
        rows = {(site, layer): np.asarray(trajectory.values) for layer, trajectory in found.items()}
        yield {layer: trajectory for (_, layer), trajectory in encoder.trajectories(stimulus, rows).items()}
