"""How many windows run at once? As many of equal length as a memory budget holds, by a count of the largest tensors.

The count follows from the config alone, so that a batch's size, on which the last bits of a
matrix product depend, does not depend on what else the machine is doing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from math import prod
from typing import Any

from brainalign.encoders.frames import FrameClock
from brainalign.encoders.windows import Window

# More at once only fill the memory: products are large enough long before.
MOST_AT_ONCE = 32
# Tensors alive at the same time where they are largest (measured on base-sized models, and rounded up).
_FRONT_COPIES, _HIDDEN_COPIES, _INNER_COPIES, _MAP_COPIES = 4, 8, 3, 4


def default_memory(device: str) -> str:
    """Return the budget that suits a type of device: 2 GB, but on a CPU just enough to put very small windows together.

    There is nothing to be gained there from batches of windows that fill its caches by themselves: three at once of 50
    MB each took 1.2 times the core-seconds of one at a time, eight 1.4 times.
    """
    return "100MB" if device == "cpu" else "2GB"


def window_bytes(config: Any, *, n_samples: int, n_tokens: int, item: int, maps: bool) -> int:
    """Return about how much memory one window takes while a model runs over it, without the weights; 0 if not known.

    Parameters
    ----------
    config
        The model's config.
    n_samples
        Samples of the window.
    n_tokens
        Tokens of the window in the transformer blocks.
    item
        Bytes of one number.
    maps
        Whether attention forms its maps, token by token, for all heads at once.
    """
    if not all(hasattr(config, name) for name in ("hidden_size", "num_attention_heads", "num_hidden_layers")):
        return 0
    hidden = int(config.hidden_size)
    inner = int(getattr(config, "intermediate_size", 0) or getattr(config, "encoder_ffn_dim", 0) or 4 * hidden)
    per_pair = _MAP_COPIES * int(config.num_attention_heads) if maps else 0
    if getattr(config, "position_embeddings_type", None) == "relative_key":
        # One head's width of numbers for every pair of tokens.
        per_pair += hidden // int(config.num_attention_heads)
    block = n_tokens * max(_HIDDEN_COPIES * hidden, _HIDDEN_COPIES // 2 * hidden + _INNER_COPIES * inner)
    front = _FRONT_COPIES * _widest(config, n_samples, n_tokens)
    # Every block's output may have been asked for, and is there until the pass is over.
    states = (int(config.num_hidden_layers) + 1) * n_tokens * hidden
    return item * (max(front, block + per_pair * n_tokens**2) + states)


def _widest(config: Any, n_samples: int, n_tokens: int) -> int:
    """Return the size of the largest tensor in the front end: a convolution's output."""
    if not hasattr(config, "conv_stride"):
        # Spectrograms: no convolution of theirs gives more than two frames per token (Whisper's first).
        return 2 * n_tokens * int(config.hidden_size)
    strides = [prod(config.conv_stride[: i + 1]) for i in range(len(config.conv_stride))]
    return max(width * -(-n_samples // stride) for width, stride in zip(config.conv_dim, strides, strict=True))


def together(
    batches: Iterable[tuple[Window, ...]],
    n_samples: int,
    clock: FrameClock,
    *,
    n_at_once: Callable[[Window, int], int],
) -> Iterator[tuple[Window, ...]]:
    """Put windows that follow one another and have the same number of samples into one batch.

    Parameters
    ----------
    batches
        The windows of a sound, in order.
    n_samples
        Length of the sound.
    clock
        The encoder's clock.
    n_at_once
        Most windows in a batch, given one of them and its number of samples.
    """

    def length(window: Window) -> int:
        cut = window.samples(clock, n_samples)
        return int(cut.stop - cut.start)

    for n, windows in groupby((window for batch in batches for window in batch), key=length):
        alike = list(windows)
        size = n_at_once(alike[0], n)
        yield from (tuple(alike[i : i + size]) for i in range(0, len(alike), size))
