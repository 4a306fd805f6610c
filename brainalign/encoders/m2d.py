"""How is an M2D checkpoint read? Its published layout: a file of tensors in a folder whose name holds the sizes.

The authors' folders are called ``m2d_vit_base-80x608p16x16-221006-mr7``: 80 mel bands by 608
spectrogram frames in one pass, in patches of 16 by 16, trained in October 2022; ``p32k`` after the patches
means 32 kHz. There is no config. What a name does not say and the tensors cannot show has
to be given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal

import torch
from torch import Tensor

from brainalign.core.errors import MissingFile, UnreadableFile, ValueProblem
from brainalign.core.hashing import digest, file_digest
from brainalign.encoders.budget import default_memory
from brainalign.encoders.centred import CentredMel
from brainalign.encoders.checkpoint import checked_device
from brainalign.encoders.families import Family, Place
from brainalign.encoders.m2d_mel import M2DMel
from brainalign.encoders.m2d_model import M2D, M2DConfig
from brainalign.encoders.precision import Precision, checked_dtype, named
from brainalign.encoders.running import HuggingEncoder
from brainalign.encoders.sites import SiteKey, as_frames
from brainalign.encoders.windows import Context, longest_windowing

SUFFIX = ".pth"
# Sizes stand after the first hyphen: mel bands x frames, p, patch, and the rate if it is not 16 kHz.
NAME = re.compile(r"^(?P<kind>[^-]+)-(\d+)x(\d+)p(\d+)x(\d+)(?:p(\d+)k)?(?:[-_](?P<rest>.*))?$")
BASE, BASE_WIDTH, BASE_HEADS = "vit_base", 768, 12
# What the authors used for all models of 2022, whose checkpoints do not hold it.
SCALE_OF_2022 = (-7.1, 4.2)
PREFIXES = ("", "module.ar.runtime.backbone.")
_FUSED = "its attention runs as one fused call that never forms the maps"
FAMILY = Family(
    inputs="m2d-mel",
    blocks="blocks",
    sites={
        "mlp": Place("mlp.fc2", "input", layout="patches"),
        "attention": Place("attn", layout="patches"),
        "heads": Place("attn.proj", "input", layout="patches"),
    },
    front=Place("patch_embed.proj", layout="patches"),
    final=Place("norm", layout="patches"),
    maps=None,
    without={"maps": _FUSED},
    layout="patches",
)


@dataclass(frozen=True, eq=False)
class M2DEncoder(HuggingEncoder):
    """An M2D encoder with its clock (see `load_m2d`)."""

    def _frames(self, tensor: Tensor, key: SiteKey) -> Tensor:
        """Leave the summary token out, and put a frame's bands together; windows may be of any length."""
        # A convolution's output, with its channels first and no summary, or tokens.
        tokens = tensor.flatten(2).transpose(1, 2) if tensor.ndim == 4 else tensor[:, 1:]
        n_bands = self.inputs.n_bands
        grid = n_bands, tokens.shape[1] // n_bands
        return as_frames(tokens.float(), "patches", grid=grid, apart=self.bands == "apart")


@dataclass(frozen=True)
class _Sizes:
    kind: str
    n_mels: int
    length: int
    patch: tuple[int, int]
    sample_rate: int
    of_2022: bool


def is_m2d(source: Path | str) -> bool:
    """Tell whether a source is an M2D checkpoint: a ``.pth`` file, or a folder with one and without a config."""
    path = Path(source).expanduser()
    if str(source) and path.is_dir():
        return not (path / "config.json").exists() and bool(list(path.glob(f"*{SUFFIX}")))
    return path.suffix == SUFFIX and path.is_file()


def load_m2d(
    source: Path | str,
    *,
    device: str = "cpu",
    windowing: Context | None = None,
    bands: Literal["mean", "apart"] = "mean",
    scale: tuple[float, float] | None = None,
    n_heads: int | None = None,
    dtype: Precision = "float32",
) -> M2DEncoder:
    """Load an M2D encoder from its published layout.

    Parameters
    ----------
    source
        A ``.pth`` file, or a folder that holds one. The folder's name must be the published one: it says how
        large the spectrogram and its patches are.
    device
        Where it runs.
    windowing
        How sounds are cut (see `load_encoder`); windows as long as the model's positions if not given.
    bands
        ``"mean"`` over a frame's patches, or ``"apart"``: side by side, lowest first, as the authors use them.
    scale
        Mean and standard deviation of the log-mel spectrogram. Needed where neither the checkpoint holds
        ``norm_stats`` nor the name tells that it is of 2022 (mean -7.1, standard deviation 4.2).
    n_heads
        Heads of a block. Needed where the name does not say ``vit_base`` (12): tensors cannot show it.
    dtype
        What the model computes in.
    """
    path = _file_of(Path(source).expanduser())
    sizes = _sizes_of(path.parent.name)
    state = _state_of(path)
    config = _config_of(state, sizes, n_heads=n_heads)
    place = checked_device(device)
    number = checked_dtype(dtype, place)
    inputs = _inputs_of(state, sizes, config, scale=scale)
    made = {"sizes": path.parent.name.split("-")[1], "scale": list(inputs.scale), "heads": config.num_attention_heads}
    content = digest({"weights": file_digest(path), **made})
    return M2DEncoder(
        name=f"m2d-{content[:12]}",
        model=_model_of(state, config).to(place, number).eval().requires_grad_(False),
        family=FAMILY,
        inputs=inputs,
        windowing=windowing or longest_windowing(inputs.clock, max_seconds=FAMILY.max_seconds, n_most=inputs.n_most),
        identity={"model": f"m2d-{content[:12]}", "sha256": content, "model_type": "m2d", "dtype": named(number)},
        bands=bands,
        memory=default_memory(place.type),
    )


def _file_of(source: Path) -> Path:
    found = sorted(source.glob(f"*{SUFFIX}")) if source.is_dir() else [source] * source.is_file()
    if len(found) == 1:
        return found[0].resolve()
    raise MissingFile(
        "an M2D checkpoint is one .pth file in a folder that says its sizes",
        got=f"{source.name}: {len(found)} of them",
        fix="give the file itself, in a folder with its published name",
    )


def _sizes_of(name: str) -> _Sizes:
    match = NAME.match(name)
    if match is None:
        raise ValueProblem(
            "the folder of an M2D checkpoint must have its published name, which says the model's sizes",
            got=repr(name),
            fix="name it like 'm2d_vit_base-80x608p16x16-221006-mr7'",
        )
    n_mels, length, high, wide = (int(match[i]) for i in range(2, 6))
    rate = int(match[6] or 16)
    if rate not in (16, 32) or n_mels % high or length < wide:
        raise ValueProblem(
            "an M2D checkpoint's name says sizes that do not fit one another",
            got=f"{n_mels} bands by {length} frames in patches of {high} by {wide}, {rate} kHz",
            fix="compare the folder's name with the published one (16 and 32 kHz are known)",
        )
    kind, rest = match["kind"], match["rest"] or ""
    return _Sizes(kind, n_mels, length, (high, wide), 1000 * rate, bool(re.match(r"22\d{4}(\D|$)", rest)))


def _state_of(path: Path) -> dict[str, Tensor]:
    """Read tensors and nothing else, of the encoder and nothing else."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        state = dict(found.get("model", found))
    except (OSError, ValueError, RuntimeError, AttributeError, TypeError, EOFError, UnpicklingError) as error:
        raise UnreadableFile(
            "an M2D checkpoint cannot be read as tensors",
            got=f"{path.name}: {str(error).strip().splitlines()[0] if str(error).strip() else error!r}",
            fix="download it again; from a file that holds more than tensors, save the model's state dict alone",
        ) from error
    for prefix in PREFIXES:
        if f"{prefix}patch_embed.proj.weight" in state:
            return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    raise UnreadableFile(
        "there is no M2D encoder in these weights",
        got=f"{path.name}: {', '.join(list(state)[:3])}, ...",
        fix="give the checkpoint that holds patch_embed, pos_embed and blocks",
    )


def _config_of(state: Mapping[str, Tensor], sizes: _Sizes, *, n_heads: int | None) -> M2DConfig:
    patches = state["patch_embed.proj.weight"]
    n_blocks = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    width = len(patches)
    grid = sizes.n_mels // sizes.patch[0], sizes.length // sizes.patch[1]
    places = state.get("pos_embed", torch.empty(1, 0, width)).shape[1]
    if tuple(patches.shape[1:]) != (1, *sizes.patch) or places != 1 + grid[0] * grid[1]:
        raise ValueProblem(
            "the folder's name does not belong to these weights",
            got=f"patches of {list(patches.shape[1:])} and {places} positions, the name says {sizes.patch} and "
            f"1 + {grid[0]} x {grid[1]}",
            fix="give the folder its published name",
        )
    heads = n_heads or (BASE_HEADS if BASE in sizes.kind and width == BASE_WIDTH else 0)
    if not heads or width % heads:
        raise ValueProblem(
            "how many heads an M2D encoder has cannot be seen in its weights",
            got=f"{sizes.kind}, {width} wide, n_heads={n_heads}",
            fix="give load_m2d(..., n_heads=...), as the model was trained",
        )
    inner = len(state.get("blocks.0.mlp.fc1.weight", ()))
    return M2DConfig(width, n_blocks, heads, inner, *grid, sizes.patch)


def _inputs_of(
    state: Mapping[str, Tensor], sizes: _Sizes, config: M2DConfig, *, scale: tuple[float, float] | None
) -> M2DMel:
    if scale is None and "norm_stats" in state:
        mean, deviation = state["norm_stats"].double().tolist()
        scale = mean, deviation
    if scale is None and sizes.of_2022:
        scale = SCALE_OF_2022
    if scale is None or scale[1] <= 0:
        raise ValueProblem(
            "the scale of an M2D encoder's spectrogram is not known",
            got=f"scale={scale}: the checkpoint holds no norm_stats, and its name is not of 2022",
            fix="give load_m2d(..., scale=(mean, standard deviation)) of the log-mel spectrograms it is to hear",
        )
    # A window of 25 ms every 10 ms at either rate, 50 Hz to half the rate.
    window, hop, half = sizes.sample_rate // 40, sizes.sample_rate // 100, sizes.sample_rate / 2
    mel = CentredMel(sizes.n_mels, fft=window, hop=hop, low=50.0, high=half)
    return M2DMel(Fraction(sizes.sample_rate), mel, scale, config.patch, config.n_frames)


def _model_of(state: Mapping[str, Tensor], config: M2DConfig) -> M2D:
    with torch.random.fork_rng(devices=[]):
        model = M2D(config)
    wanted = model.state_dict()
    wrong = sorted(_wrong(state, wanted))
    if wrong:
        raise UnreadableFile(
            "an M2D checkpoint lacks some of the model's weights", got=f"{len(wrong)}, e.g. {wrong[0]}",
            fix="download it again, and check that the folder's name is its own",
        )  # fmt: skip
    model.load_state_dict({key: state[key] for key in wanted})
    return model


def _wrong(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Iterator[str]:
    for key, tensor in wanted.items():
        if key not in state:
            yield f"{key} is missing"
        elif state[key].shape != tensor.shape:
            yield f"{key} is {list(state[key].shape)}, not {list(tensor.shape)}"
