"""What is an M2D encoder, computed? A plain vision transformer over patches of a log-mel spectrogram.

Names of parts are those of the published checkpoints (``patch_embed.proj``, ``blocks.0.attn.qkv``,
...), so that their tensors fit as they are. Tokens are ordered band by band, lowest first, and
by time within a band; a summary token stands before them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

NORM_FLOOR = 1e-6
SPREAD = 0.02


@dataclass(frozen=True)
class M2DConfig:
    """The sizes of an M2D encoder.

    Parameters
    ----------
    hidden_size
        Width of the residual stream.
    num_hidden_layers, num_attention_heads
        Blocks, and heads in each.
    intermediate_size
        Hidden units of a block.
    n_bands, n_frames
        Patches above one another, and most patches one after the other.
    patch
        Mel bands and spectrogram frames of a patch.
    """

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    n_bands: int
    n_frames: int
    patch: tuple[int, int]


class M2D(nn.Module):
    """An M2D encoder.

    Parameters
    ----------
    config
        Its sizes.
    """

    def __init__(self, config: M2DConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.patch_embed = PatchEmbed(width, config.patch)
        self.cls_token = nn.Parameter(SPREAD * torch.randn(1, 1, width))
        # Sines and cosines that were never trained.
        self.pos_embed = nn.Parameter(_waves(config), requires_grad=False)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(width, eps=NORM_FLOOR)

    def forward(self, levels: Tensor) -> Tensor:
        """Return what comes out after the last norm, shape ``(batch, 1 + bands * frames, width)``.

        Parameters
        ----------
        levels
            Normalised log-mel spectrogram, shape ``(batch, 1, n_mels, n_frames)``, of whole patches, no more than
            the model has positions for; shorter ones take the first positions.
        """
        patches = self.patch_embed(levels)
        places = self.pos_embed[:, 1:].unflatten(1, (self.config.n_bands, -1))
        tokens = patches + places[:, :, : levels.shape[-1] // self.config.patch[1]].flatten(1, 2)
        summary = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        states = torch.cat([summary, tokens], dim=1)
        for block in self.blocks:
            states = block(states)
        return self.norm(states)


class PatchEmbed(nn.Module):
    """Patches of a spectrogram, each mapped to a token.

    Parameters
    ----------
    width
        Of a token.
    patch
        Mel bands and spectrogram frames of a patch.
    """

    def __init__(self, width: int, patch: tuple[int, int]) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, kernel_size=patch, stride=patch)

    def forward(self, levels: Tensor) -> Tensor:
        """Return tokens, shape ``(batch, bands * frames, width)``."""
        return self.proj(levels).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Attention and hidden units, each after a norm and added to the stream.

    Parameters
    ----------
    config
        The model's sizes.
    """

    def __init__(self, config: M2DConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=NORM_FLOOR)
        self.attn = Attention(config.hidden_size, config.num_attention_heads)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=NORM_FLOOR)
        self.mlp = Units(config.hidden_size, config.intermediate_size)

    def forward(self, states: Tensor) -> Tensor:
        """Return the stream after this block."""
        states = states + self.attn(self.norm1(states))
        return states + self.mlp(self.norm2(states))


class Attention(nn.Module):
    """Every token listens to all.

    Parameters
    ----------
    width
        Of the residual stream.
    n_heads
        Number of heads.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, states: Tensor) -> Tensor:
        """Return what is added to the stream."""
        query, key, value = self.qkv(states).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Units(nn.Module):
    """The hidden units of a block.

    Parameters
    ----------
    width
        Of the residual stream.
    inner
        Number of hidden units.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, states: Tensor) -> Tensor:
        """Return what is added to the stream."""
        return self.fc2(gelu(self.fc1(states)))


def _waves(config: M2DConfig) -> Tensor:
    """Say where patches are: half of the numbers by their band, half by their frame, slow waves after fast ones."""
    half = config.hidden_size // 2
    speeds = 10_000.0 ** -(torch.arange(half // 2) / (half // 2))
    bands, frames = (
        torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
        for angles in (torch.arange(n)[:, None] * speeds for n in (config.n_bands, config.n_frames))
    )
    grid = (config.n_bands, config.n_frames, -1)
    tokens = torch.cat([frames[None].expand(grid), bands[:, None].expand(grid)], dim=-1).flatten(0, 1)
    return torch.cat([torch.zeros(1, tokens.shape[1]), tokens])[None]
