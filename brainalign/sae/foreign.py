"""What do all readers of other people's coders share? Files read without running code, weights put into one form.

Every reader ends in `built`, which gives a `SparseCoder` or says what does not fit and in which file.
The forms that others use differ in three ways only: a decoder bias that is not taken off the
input (`uncentred`), a gate beside the magnitudes (`ungated`), a scale on the input (`folded`).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises for a file that is not plain tensors
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from brainalign.core.errors import BrainalignError, UnreadableFile, ValueProblem
from brainalign.sae.coder import Rule, SparseCoder

Weights = dict[str, np.ndarray]

PARTS = ("W_enc", "b_enc", "W_dec", "b_dec")
WRITABLE: tuple[Rule, ...] = ("threshold", "top-k")


def read_json(path: Path) -> dict[str, Any]:
    """Read a configuration, which must be a JSON object."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise UnreadableFile(
            "a coder's configuration is not JSON", got=f"{path}: {error}", fix="get it again"
        ) from error
    if not isinstance(config, dict):
        raise UnreadableFile("a coder's configuration is not a JSON object", got=path, fix="get it again")
    return config


def read_safetensors(path: Path) -> Weights:
    """Read a safetensors file as float32."""
    try:
        return {name: tensor.float().numpy() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise UnreadableFile(
            "a coder's weights cannot be read", got=f"{path}: {error}", fix="get them again"
        ) from error


def read_state(path: Path) -> Weights:
    """Read a PyTorch state dict as float32; a file with anything but plain tensors in it is refused unread."""
    try:
        with warnings.catch_warnings():
            # A file of another pickle protocol is either read or refused: there is nothing to be warned of.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UnreadableFile(
            "a coder's weights cannot be read safely",
            got=f"{path}: {first_line(error)}",
            fix="get the file again; one that holds more than plain tensors is refused, since reading it runs code",
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UnreadableFile("a coder's weights must be a state dict", got=path, fix="save model.state_dict()")
    return {str(name): value.detach().float().numpy() for name, value in state.items()}


def read_npz(path: Path) -> Weights:
    """Read an archive of plain arrays as float32; arrays of objects, which hide code, are refused unread."""
    try:
        # Opened here, so that a damaged archive is closed again.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name], dtype=np.float32) for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, BadZipFile, AttributeError, TypeError) as error:
        raise UnreadableFile(
            "a coder's weights cannot be read safely",
            got=f"{path}: {first_line(error)}",
            fix="get the file again; an array of Python objects is refused, since reading it runs code",
        ) from error


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def require_names(weights: Mapping[str, np.ndarray], names: Iterable[str], *, path: Path, kind: str) -> None:
    """Refuse a file that lacks some of a kind's weights, saying what it holds instead."""
    if missing := sorted(set(names) - weights.keys()):
        raise UnreadableFile(
            f"{kind} lacks weights",
            got=f"{path}: no {', '.join(missing)}; it holds {', '.join(sorted(weights)) or 'nothing'}",
            fix="get it again, or name its class rightly in the configuration beside it",
        )


def require_widths(weights: Weights, stated: Mapping[str, Any], *, path: Path) -> None:
    """Refuse weights whose shape is not the one that the configuration beside them states.

    Parameters
    ----------
    weights
        ``W_enc`` among them, ``(d_in, d_sae)``.
    stated
        ``d_in`` and ``d_sae``, or None where the configuration does not say.
    path
        The file of weights.
    """
    found = dict(zip(("d_in", "d_sae"), np.shape(weights["W_enc"]), strict=False))
    for name, width in stated.items():
        if width is not None and int(width) != found.get(name):
            raise UnreadableFile(
                "a coder's weights are not of the width that its configuration states",
                got=f"{path}: {name} = {found.get(name)}, stated {width}",
                fix="get both files again from one place",
            )


def built(
    weights: Weights,
    *,
    path: Path,
    k: int,
    metadata: Mapping[str, Any],
    rule: Rule = "threshold",
    scale: float = 1.0,
) -> SparseCoder:
    """Make a coder of the weights in a file, or say which file does not hold one.

    Parameters
    ----------
    weights
        `PARTS`, and ``threshold`` (zeros where there is none).
    path
        The file, for errors.
    k, metadata, rule, scale
        As for `SparseCoder`.
    """
    require_names(weights, PARTS, path=path, kind="a coder")
    arrays: dict[str, Any] = {name: weights[name] for name in PARTS}
    threshold = weights.get("threshold", np.zeros(weights["b_enc"].size, dtype=np.float32))
    try:
        return SparseCoder(**arrays, threshold=threshold, scale=scale, k=k, metadata=metadata, rule=rule)
    except BrainalignError as error:
        raise UnreadableFile(
            "a coder's weights cannot be used together", got=f"{path}: {error.what}, got {error.got}", fix=error.fix
        ) from error


def uncentred(weights: Weights, *, path: Path) -> Weights:
    """Return the weights of an encoder that takes no bias off its input, for one that does: the same features."""
    require_names(weights, PARTS, path=path, kind="a coder")
    with fitting(path):
        shift = weights["b_dec"].astype(np.float64) @ weights["W_enc"]
        return {**weights, "b_enc": weights["b_enc"] + shift}


def ungated(weights: Weights, *, path: Path) -> Weights:
    """Return a gated coder's weights in the form of a threshold on its magnitudes, which gives the same features.

    ::

        gate:       W x + b_gate > 0
        magnitude:  m = exp(r_mag) * (W x) + b_mag
        so          gate open  <=>  m > b_mag - exp(r_mag) * b_gate
    """
    require_names(weights, ("W_enc", "b_gate", "b_mag", "r_mag", "W_dec", "b_dec"), path=path, kind="a gated coder")
    with fitting(path):
        gain = np.exp(weights["r_mag"].astype(np.float64))
        common = {"W_dec": weights["W_dec"], "b_dec": weights["b_dec"], "b_enc": weights["b_mag"]}
        return {
            **common,
            "W_enc": weights["W_enc"] * gain,
            "threshold": weights["b_mag"] - gain * weights["b_gate"],
        }


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Tell arrays that do not fit one another as a fault of their file."""
    try:
        yield
    except BrainalignError:
        raise
    except (ValueError, IndexError) as error:
        raise UnreadableFile(
            "a coder's weights do not fit together", got=f"{path}: {first_line(error)}", fix="get it again"
        ) from error


def folded(coder: SparseCoder) -> Weights:
    """Return the weights of the same coder for unscaled input: same features, same reconstruction.

    ``(scale * x - b) @ W = (x - b / scale) @ (scale * W)``, and the output divided by scale.
    """
    scale = np.float64(coder.scale)
    weights = {
        "W_enc": coder.W_enc * scale,
        "b_enc": coder.b_enc,
        "W_dec": coder.W_dec / scale,
        "b_dec": coder.b_dec / scale,
    }
    if coder.rule == "threshold":
        weights["threshold"] = np.maximum(coder.threshold, 0)
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in weights.items()}


def require_writable(coder: SparseCoder, *, format: str, uncalibrated: bool = False) -> None:
    """Refuse a coder that a format cannot hold.

    Parameters
    ----------
    coder
        What is to be written.
    format
        Its name, for the error.
    uncalibrated
        Whether the format has a place for coders without a threshold.
    """
    if coder.rule not in WRITABLE or coder.unit_frames:
        raise ValueProblem(
            f"{format} has no form for this coder",
            got=f"rule {coder.rule!r}, unit_frames={coder.unit_frames}",
            fix="save it as format='brainalign', which keeps everything",
        )
    if coder.needs_calibration and not uncalibrated:
        raise ValueProblem(
            "a coder without a threshold cannot be written for others to use",
            got="threshold NaN",
            fix="calibrate(coder, trajectory) first",
        )
