"""What is an encoder? One protocol and one call; the types that are known are in `families`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol, runtime_checkable

from brainalign.core.stimulus import Stimulus
from brainalign.core.trajectory import Trajectory
from brainalign.encoders.frames import FrameClock


@runtime_checkable
class Encoder(Protocol):
    """Anything that turns a stimulus into hidden states on an exact clock."""

    @property
    def name(self) -> str:
        """What to call it: a hub id, or the model type and the hash of its weights."""
        ...

    @property
    def sample_rate(self) -> Fraction:
        """Rate of the waveforms it takes, in Hz."""
        ...

    @property
    def clock(self) -> FrameClock:
        """When its frames happen."""
        ...

    @property
    def n_layers(self) -> int:
        """Number of transformer blocks; hidden states are numbered 0 to ``n_layers``."""
        ...

    def encode(self, stimulus: Stimulus, layers: Sequence[int]) -> dict[int, Trajectory]:
        """Return hidden states by number: 0 goes into block 1, ``k`` comes out of block ``k``."""
        ...


def encode(stimulus: Stimulus, source: Encoder | Path | str, *, layer: int) -> Trajectory:
    """Run one stimulus through an encoder and return one hidden state.

    Parameters
    ----------
    stimulus
        The sound, at the encoder's sampling rate.
    source
        An encoder, a hub id such as ``"facebook/hubert-base-ls960"``, or a local folder. Load
        an encoder once with `load_encoder` when there are many stimuli.
    layer
        Hidden state 0 is what goes into block 1 (the convolutional front end's output,
        projected, with its positions); block ``k``'s output is hidden state ``k``.

    Returns
    -------
    Trajectory
        Dense float32, shape ``(n_frames, hidden size)``, stamped with frame centres.
    """
    if isinstance(source, (str, Path)):
        # Imported here, so that a reader of the protocol does not pay for torch.
        from brainalign.encoders.hugging import load_encoder

        source = load_encoder(source)
    return source.encode(stimulus, [layer])[layer]
