"""How is a pretrained audio encoder loaded and run? A hub id or a local folder, through transformers.

Weights come as safetensors where there are any, no remote code is ever run, and every weight
of the model must be in the checkpoint: a part left at its random start would look like a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from brainalign.core.errors import GridMismatch, MissingFile, UnreadableFile, ValueProblem, unknown_name
from brainalign.core.hashing import digest, file_digest
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import exact
from brainalign.core.trajectory import Trajectory
from brainalign.encoders.base import ENCODERS, Family
from brainalign.encoders.frames import FrameClock, clock_of_convolutions
from brainalign.encoders.hooks import Site, captured
from brainalign.encoders.windows import Window, Windowing, plan_windows

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
WEIGHT_FILES = ("*.safetensors", "*.bin")
# transformers' own guard against a variance of zero
VARIANCE_FLOOR = 1e-7
_LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError)


@dataclass(frozen=True, eq=False)
class HuggingEncoder:
    """A transformers audio encoder with its clock (see `load_encoder`).

    Parameters
    ----------
    name
        Hub id, or model type and the beginning of the weights' hash.
    model
        The model, in evaluation mode; it is never changed.
    blocks
        Its transformer blocks, first to last.
    sample_rate
        Rate of the waveforms it takes, in Hz.
    clock
        When its frames happen.
    normalise
        Whether the waveform is brought to mean 0 and variance 1 first: once, over the whole
        stimulus, before any cutting into windows.
    windowing
        How long sounds are cut.
    identity
        What provenance records about the model (JSON values).
    """

    name: str
    model: nn.Module
    blocks: nn.ModuleList
    sample_rate: Fraction
    clock: FrameClock
    normalise: bool
    windowing: Windowing
    identity: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_layers(self) -> int:
        """Number of transformer blocks; hidden states are numbered 0 to ``n_layers``."""
        return len(self.blocks)

    def encode(self, stimulus: Stimulus, layers: Sequence[int]) -> dict[int, Trajectory]:
        """Run a stimulus through the model, as far up as the highest wanted block.

        Parameters
        ----------
        stimulus
            The sound, at the encoder's sampling rate.
        layers
            Hidden states wanted: 0 is what goes into block 1 (convolutional front end,
            projection and positions); ``k`` is what comes out of block ``k``.

        Returns
        -------
        dict
            Hidden state -> dense float32 trajectory, shape ``(n_frames, hidden size)``, with
            frame centres as its times. Same input, same bytes, for one number of threads
            (torch's own setting, which is left alone here).
        """
        layers = self._checked_layers(layers)
        self._check_stimulus(stimulus)
        waveform = _normalised(stimulus.waveform) if self.normalise else stimulus.waveform
        windows = plan_windows(waveform.size, self.clock, windowing=self.windowing)
        pieces = [self._run(waveform, window, layers) for window in windows]
        return {layer: self._trajectory(stimulus, layer, [piece[layer] for piece in pieces]) for layer in layers}

    def _run(self, waveform: np.ndarray, window: Window, layers: Sequence[int]) -> dict[int, np.ndarray]:
        samples = waveform[window.samples(self.clock, waveform.size)]
        sites = {k: Site(self.blocks[k - 1]) if k else Site(self.blocks[0], "input") for k in layers}
        device = next(self.model.parameters()).device
        batch = torch.from_numpy(np.array(samples, dtype=np.float32))[None].to(device)
        with torch.inference_mode(), captured(sites) as states:
            self.model(batch)
        return {k: state[0, window.kept].float().cpu().numpy() for k, state in states.items()}

    def _trajectory(self, stimulus: Stimulus, layer: int, pieces: Sequence[np.ndarray]) -> Trajectory:
        values = np.concatenate(pieces) if len(pieces) > 1 else np.array(pieces[0])
        axis = self.clock.axis(stimulus.axis.n).moved(stimulus.axis.t0)
        cuts = {"max_seconds": self.windowing.max_seconds, "seam_seconds": self.windowing.seam_seconds}
        windows = {"windows": len(pieces)} | (cuts if len(pieces) > 1 else {})
        provenance = stimulus.provenance.then(
            "encode", **self.identity, layer=layer, normalised=self.normalise, stimulus=stimulus.content, **windows
        )
        names = tuple(f"layer{layer}-{i}" for i in range(values.shape[1]))
        return Trajectory(values, axis, names, provenance)

    def _checked_layers(self, layers: Sequence[int]) -> tuple[int, ...]:
        wanted = tuple(dict.fromkeys(layers))
        if not wanted or not all(isinstance(k, (int, np.integer)) and 0 <= k <= self.n_layers for k in wanted):
            raise ValueProblem(
                f"{self.name} has hidden states 0 to {self.n_layers}",
                got=f"layers={list(layers)}",
                fix=f"ask for one or more of 0 (before block 1) to {self.n_layers} (after the last block)",
            )
        return tuple(int(k) for k in wanted)

    def _check_stimulus(self, stimulus: Stimulus) -> None:
        if stimulus.axis.rate != self.sample_rate:
            raise GridMismatch(
                f"stimulus {stimulus.name!r} is not at the encoder's sampling rate",
                got=f"{float(stimulus.axis.rate):g} Hz, {self.name} takes {float(self.sample_rate):g} Hz",
                fix=f"bring it there with resample_audio(stimulus, {float(self.sample_rate):g})",
            )
        if stimulus.axis.n < self.clock.span:
            raise ValueProblem(
                f"stimulus {stimulus.name!r} is shorter than one frame",
                got=f"{stimulus.axis.n} samples",
                fix=f"give at least {self.clock.span} samples",
            )


def _normalised(waveform: np.ndarray) -> np.ndarray:
    wide = waveform.astype(np.float64)
    return ((wide - wide.mean()) / np.sqrt(wide.var() + VARIANCE_FLOOR)).astype(np.float32)


def load_encoder(
    source: Path | str,
    *,
    revision: str | None = None,
    device: str = "cpu",
    windowing: Windowing | None = None,
) -> HuggingEncoder:
    """Load a wav2vec2, HuBERT, WavLM or data2vec-audio encoder, in float32.

    Parameters
    ----------
    source
        A hub id such as ``"facebook/hubert-base-ls960"``, or a folder holding
        ``config.json``, ``preprocessor_config.json`` and weights.
    revision
        Branch, tag or commit of a hub model. The commit goes into provenance.
    device
        Where it runs: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    windowing
        How sounds too long for one pass are cut; the family's default if not given (windows
        of 120 s, WavLM 40 s, with 4 s thrown away on each side of a seam).

    Returns
    -------
    HuggingEncoder
        In evaluation mode. A local folder goes by the hash of its files, never by its path.
    """
    folder = _local_folder(source)
    where = str(folder or source)
    config = _config(where, revision=revision)
    family = _family(config)
    # Everything after the config is read from the very commit the config came from.
    revision = getattr(config, "_commit_hash", None) or revision
    preprocessor = _preprocessor(where, revision=revision)
    model = _model(where, config, revision=revision).to(_device(device))
    sample_rate = exact(preprocessor["sampling_rate"])
    identity = _identity(source, folder, config, revision=revision)
    return HuggingEncoder(
        name=identity["model"],
        model=model,
        blocks=attrgetter(family.blocks)(model),
        sample_rate=sample_rate,
        clock=clock_of_convolutions(getattr(config, family.kernels), getattr(config, family.strides), sample_rate),
        normalise=bool(preprocessor["do_normalize"]),
        windowing=windowing or Windowing(max_seconds=family.max_seconds),
        identity=identity,
    )


def _local_folder(source: Path | str) -> Path | None:
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


def _config(where: str, *, revision: str | None) -> PretrainedConfig:
    path = _file(where, CONFIG, revision=revision, needed_for="it says what kind of model this is")
    try:
        kind = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise UnreadableFile(
            "a model's config is damaged", got=f"{CONFIG}: {error}", fix="download it again"
        ) from error
    if kind not in ENCODERS:
        raise unknown_name(str(kind), among=ENCODERS, kind="known encoder type (config.json's model_type)")
    try:
        return AutoConfig.from_pretrained(where, revision=revision, trust_remote_code=False)
    except _LOAD_ERRORS as error:
        raise UnreadableFile(
            "a model's config cannot be used", got=_first_line(error), fix=f"compare {CONFIG} with the original model's"
        ) from error


def _family(config: PretrainedConfig) -> Family:
    return ENCODERS[config.model_type]


def _preprocessor(where: str, *, revision: str | None) -> dict[str, Any]:
    path = _file(where, PREPROCESSOR, revision=revision, needed_for="it holds sampling_rate and do_normalize")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {"sampling_rate": int(values["sampling_rate"]), "do_normalize": bool(values["do_normalize"])}
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableFile(
            "the rate and normalisation of a model's waveforms are not known",
            got=f"{PREPROCESSOR}: {error!r}",
            fix="write both sampling_rate and do_normalize into it, as the model was trained",
        ) from error


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


def _model(where: str, config: PretrainedConfig, *, revision: str | None) -> nn.Module:
    try:
        with _quiet():
            model, report = AutoModel.from_pretrained(
                where,
                config=config,
                revision=revision,
                trust_remote_code=False,
                use_safetensors=_has_safetensors(where, revision=revision),
                dtype=torch.float32,
                output_loading_info=True,
            )
    except _LOAD_ERRORS as error:
        raise UnreadableFile(
            "an encoder's weights cannot be read",
            got=f"{config.model_type}: {_first_line(error)}",
            fix="download the model again, and check that config.json belongs to these weights",
        ) from error
    _check_complete(report)
    return model.eval().requires_grad_(False)


def _has_safetensors(where: str, *, revision: str | None) -> bool:
    # Asked outright: left to choose, transformers may have the hub convert a model that has none.
    found = (
        cached_file(where, name, revision=revision, _raise_exceptions_for_missing_entries=False) for name in SAFETENSORS
    )
    return any(found)


def _check_complete(report: Mapping[str, Any]) -> None:
    # The mask's embedding is used in pretraining only, and many checkpoints leave it out.
    missing = sorted(key for key in report["missing_keys"] if "masked_spec_embed" not in key)
    missing += sorted(str(key) for key in report.get("mismatched_keys", ()))
    if missing:
        raise UnreadableFile(
            "an encoder's checkpoint lacks some of the model's weights",
            got=f"{len(missing)} missing, e.g. {missing[0]}",
            fix="download the model again, and check that config.json belongs to these weights",
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


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueProblem(
            "this device is not here", got=f"device={name!r}: {_first_line(error)}", fix="use device='cpu'"
        ) from error
    return device


def _identity(
    source: Path | str, folder: Path | None, config: PretrainedConfig, *, revision: str | None
) -> dict[str, Any]:
    shared = {"model_type": config.model_type, "dtype": "float32"}
    if folder is None:
        return {"model": str(source), "revision": revision, **shared}
    paths = [folder / CONFIG, folder / PREPROCESSOR, *(p for kind in WEIGHT_FILES for p in sorted(folder.glob(kind)))]
    content = digest({path.name: file_digest(path) for path in paths})
    return {"model": f"{config.model_type}-{content[:12]}", "sha256": content, **shared}


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]
