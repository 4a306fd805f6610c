"""How does a pretrained model get from a hub id or a folder into memory, whole or not at all?

Weights come as safetensors where there are any, no remote code is ever run, old pickled
checkpoints are read as tensors only, and every weight of the model must be in the checkpoint:
a part left at its random start would look like a model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, PretrainedConfig
from transformers.models.clap.modeling_clap import ClapAudioModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from brainalign.core.errors import MissingFile, UnreadableFile, ValueProblem, unknown_name
from brainalign.core.hashing import digest, file_digest
from brainalign.encoders.families import ENCODERS, REFUSED, STAGED, Family
from brainalign.encoders.precision import named

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
WEIGHT_FILES = ("*.safetensors", "*.bin")


class Part(NamedTuple):
    """The part of a model that hears: its class and name, a tensor that it has, and where checkpoints may keep it."""

    kind: Any
    called: str
    mark: str
    prefixes: tuple[str, ...]


PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "whisper": Part(WhisperEncoder, "Whisper encoder", "conv1.weight", ("", "encoder.", "model.encoder.")),
        "clap_audio_model": Part(ClapAudioModel, "CLAP audio tower", "audio_encoder.norm.weight", ("", "audio_model.")),
    }
)
_LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError, UnpicklingError)


def local_folder(source: Path | str) -> Path | None:
    """Return the folder that a source names, or None if it is a hub id."""
    folder = Path(source).expanduser()
    if str(source) and folder.is_dir():
        return folder
    # A hub id is "name" or "owner/name"; anything else can only have meant a folder.
    looks_local = isinstance(source, Path) or source.startswith((".", "~")) or folder.is_absolute()
    if looks_local or len(folder.parts) > 2 or not str(source):
        raise MissingFile(
            "there is no encoder folder here",
            got=repr(str(source)),
            fix="check the path, or give a hub id 'owner/name'",
        )
    return None


def read_config(where: str, *, revision: str | None, family: Family | None = None) -> tuple[PretrainedConfig, Family]:
    """Read a model's config, and find the family it belongs to.

    Parameters
    ----------
    where
        Folder or hub id.
    revision
        Branch, tag or commit of a hub model.
    family
        The family, if it is not to be looked up by the model's type.
    """
    path = _file(where, CONFIG, revision=revision, needed_for="it says what kind of model this is")
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        kind = said.get("model_type")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise UnreadableFile(
            "a model's config is damaged", got=f"{CONFIG}: {error}", fix="download it again"
        ) from error
    if family is None:
        _check_kind(str(kind))
        family = {**ENCODERS, **STAGED}[kind]
    told = said.get(family.part) or {} if family.part else said
    if missing := [name for name in family.config if name not in told]:
        raise UnreadableFile(
            "a model's config does not say all that it must",
            got=f"{CONFIG} without {', '.join(missing)}",
            fix="download it again, or copy these entries from the original model's",
        )
    try:
        config = AutoConfig.from_pretrained(where, revision=revision, trust_remote_code=False)
        return _part_of_config(config, family), family
    except Exception as error:  # Values that contradict one another raise errors of the hub's own kind.
        raise UnreadableFile(
            "a model's config cannot be used", got=_first_line(error), fix=f"compare {CONFIG} with the original model's"
        ) from error


def _part_of_config(config: PretrainedConfig, family: Family) -> PretrainedConfig:
    if not family.part:
        return config
    part: PretrainedConfig = getattr(config, family.part)
    part._commit_hash = getattr(config, "_commit_hash", None)
    return part


def _check_kind(kind: str) -> None:
    known = {**ENCODERS, **STAGED}
    if kind in REFUSED:
        others = ", ".join(sorted(known))
        raise ValueProblem(f"encoders of type {kind!r} cannot be read", got=REFUSED[kind], fix=f"use one of {others}")
    if kind not in known:
        raise unknown_name(kind, among=known, kind="known encoder type (config.json's model_type)")


def read_settings(where: str, *, revision: str | None, needs: Sequence[str]) -> dict[str, Any]:
    """Read what a model's preprocessor must say; nothing is read if it must say nothing.

    Parameters
    ----------
    where, revision
        As for `read_config`.
    needs
        Keys that ``preprocessor_config.json`` must hold, the rate among them.
    """
    if not needs:
        return {}
    path = _file(where, PREPROCESSOR, revision=revision, needed_for=f"it holds {' and '.join(needs)}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = {name: values[name] for name in needs}
        int(found["sampling_rate"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableFile(
            "the rate and normalisation of a model's waveforms are not known",
            got=f"{PREPROCESSOR}: {error!r}",
            fix=f"write {', '.join(needs)} into it, as the model was trained",
        ) from error
    return found


def _file(where: str, name: str, *, revision: str | None, needed_for: str) -> Path:
    """Find one small file of a model, on the disk or through the hub's cache."""
    reason = "it is not there"
    try:
        # transformers answers None, not an error, for some files that a folder lacks.
        if (found := cached_file(where, name, revision=revision)) is not None:
            return Path(found)
    except OSError as error:
        reason = _first_line(error)
    if Path(where).is_dir():
        raise MissingFile(
            f"an encoder folder has no {name} ({needed_for})",
            got=sorted(p.name for p in Path(where).iterdir())[:8],
            fix="give the folder that save_pretrained or a download wrote, whole",
        )
    raise MissingFile(
        f"there is no such folder, and the hub did not give {name} either",
        got=f"{where!r}: {reason}",
        fix="check the name and the network (a gated model needs a login), or give a local folder",
    )


def read_model(
    where: str,
    config: PretrainedConfig,
    *,
    revision: str | None,
    blocks: str,
    attention: str | None,
    dtype: torch.dtype = torch.float32,
) -> nn.Module:
    """Build a model and fill it, in evaluation mode and without gradients.

    Parameters
    ----------
    where, revision
        As for `read_config`.
    config
        The model's config.
    blocks
        Path to the model's blocks, of which the checkpoint may hold no more than the model has.
    attention
        transformers' name of an attention implementation; its own choice if None.
    dtype
        Of the weights, whatever the checkpoint's is.
    """
    options = {"config": config, "dtype": dtype, "output_loading_info": True}
    if attention is not None:
        options["attn_implementation"] = attention
    try:
        with _quiet():
            model, report = _loader(where, config, revision=revision)(**options)
    except _LOAD_ERRORS as error:
        raise UnreadableFile(
            "an encoder's weights cannot be read",
            got=f"{config.model_type}: {_first_line(error)}",
            fix="download the model again, and check that config.json belongs to these weights",
        ) from error
    _check_complete(report, blocks=blocks)
    # Parts that the library would keep in another precision are brought along.
    # Weights go on requiring gradients, of which none is taken: without, torch multiplies WavLM's queries, keys and
    # values 20 times slower (it no longer folds the batch into one product).
    return model.to(dtype).eval()


def _loader(where: str, config: PretrainedConfig, *, revision: str | None) -> Callable[..., Any]:
    """Choose how weights are read: as transformers does, or as a bare set of tensors."""
    if config.model_type in PARTS:
        # Half of a whole Whisper is its decoder, most of a CLAP hears nothing: what is not used is not read at all.
        part = PARTS[config.model_type]
        state = _state_of(part, _weight_paths(where, revision=revision))
        return lambda **options: part.kind.from_pretrained(None, state_dict=state, **options)
    if not _has(where, SAFETENSORS + PICKLED, revision=revision) and (found := _single(where)):
        state = dict(_tensors([found]))
        kind: Any = MODEL_MAPPING[type(config)]
        return lambda **options: kind.from_pretrained(None, state_dict=state, **options)
    # Asked outright: left to choose, transformers may have the hub convert a model that has no safetensors.
    choice = {"revision": revision, "use_safetensors": _has(where, SAFETENSORS, revision=revision)}
    return lambda **options: AutoModel.from_pretrained(where, trust_remote_code=False, **choice, **options)


def _has(where: str, names: Sequence[str], *, revision: str | None) -> bool:
    return any(_found(where, name, revision=revision) for name in names)


def _found(where: str, name: str, *, revision: str | None) -> str | None:
    return cached_file(where, name, revision=revision, _raise_exceptions_for_missing_entries=False)


def _single(where: str) -> Path | None:
    """Return the one file of weights in a folder, whatever it is called."""
    found = [path for kind in WEIGHT_FILES for path in sorted(Path(where).glob(kind))] if Path(where).is_dir() else []
    if len(found) > 1:
        raise ValueError(f"{len(found)} files of weights and none of them {SAFETENSORS[0]}: {found[0].name}, ...")
    return found[0] if found else None


def _weight_paths(where: str, *, revision: str | None) -> list[Path]:
    for name in SAFETENSORS + PICKLED:
        if (path := _found(where, name, revision=revision)) is None:
            continue
        if not name.endswith(".index.json"):
            return [Path(path)]
        parts = sorted(set(json.loads(Path(path).read_text(encoding="utf-8"))["weight_map"].values()))
        return [_file(where, part, revision=revision, needed_for="it holds some of the weights") for part in parts]
    if (single := _single(where)) is None:
        raise OSError("there is no file of weights")
    return [single]


def _state_of(part: Part, paths: Sequence[Path]) -> dict[str, Tensor]:
    names = [name for name, _ in _tensors(paths, only=lambda name: name.endswith(part.mark))]
    prefix = next((start for start in part.prefixes if f"{start}{part.mark}" in names), None)
    if prefix is None:
        raise KeyError(f"there is no {part.called} in these weights")
    found = _tensors(paths, only=lambda name: name.startswith(prefix))
    return {name.removeprefix(prefix): tensor for name, tensor in found}


def _tensors(paths: Sequence[Path], *, only: Callable[[str], bool] = lambda name: True) -> Iterator[tuple[str, Tensor]]:
    for path in paths:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as stream:
                yield from ((name, stream.get_tensor(name)) for name in stream.keys() if only(name))  # noqa: SIM118
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            yield from ((name, tensor) for name, tensor in state.items() if only(name))


def _check_complete(report: Mapping[str, Any], *, blocks: str) -> None:
    # The mask's embedding is used in pretraining only, and many checkpoints leave it out.
    missing = sorted(key for key in report["missing_keys"] if "masked_spec_embed" not in key)
    missing += sorted(str(key) for key in report.get("mismatched_keys", ()))
    if missing:
        raise UnreadableFile(
            "an encoder's checkpoint lacks some of the model's weights",
            got=f"{len(missing)} missing, e.g. {missing[0]}",
            fix="download the model again, and check that config.json belongs to these weights",
        )
    # A head for some task may be left unread, a block may not.
    paths = [f".{path}." for path in blocks.split("|")]
    left = sorted(key for key in report["unexpected_keys"] if any(path in f".{key}" for path in paths))
    if left:
        raise UnreadableFile(
            "an encoder's checkpoint holds blocks that its config does not know of",
            got=f"{len(left)} weights left over, e.g. {left[0]}",
            fix="check that config.json belongs to these weights",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' bars and reports off the terminal, and leave its settings as they were."""
    bars, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def checked_device(name: str) -> torch.device:
    """Return a device, or refuse one that is not there."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueProblem(
            "this device is not here", got=f"device={name!r}: {_first_line(error)}", fix="use device='cpu'"
        ) from error
    return device


def identity_of(
    source: Path | str,
    folder: Path | None,
    config: PretrainedConfig,
    *,
    revision: str | None,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Any]:
    """Return what provenance records about a model: a hub id and commit, or the hash of a folder's files.

    Parameters
    ----------
    source, folder
        What was asked for, and the folder if it is one.
    config
        The model's config.
    revision
        Commit of a hub model.
    dtype
        What it computes in.
    """
    shared = {"model_type": config.model_type, "dtype": named(dtype)}
    if folder is None:
        return {"model": str(source), "revision": revision, **shared}
    small = [path for name in (CONFIG, PREPROCESSOR) if (path := folder / name).is_file()]
    paths = [*small, *(p for kind in WEIGHT_FILES for p in sorted(folder.glob(kind)))]
    content = digest({path.name: file_digest(path) for path in paths})
    return {"model": f"{config.model_type}-{content[:12]}", "sha256": content, **shared}


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]
