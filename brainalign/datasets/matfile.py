"""What is in a MATLAB file? Variables of files up to v7.2 and of v7.3 (HDF5), in one and the same form.

Structs become dictionaries, cells lists, and text text. MATLAB keeps no vectors, only matrices,
and what has one row, one column or one cell comes unwrapped: `cells` and `matrix` put back what
that loses.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brainalign.core.errors import MissingFile, MissingPackage, ShapeMismatch, UnreadableFile


def read_variable(path: Path, *names: str) -> Any:
    """Read one variable of a MATLAB file, the first of `names` that it holds.

    Parameters
    ----------
    path
        The file.
    *names
        Names of the variable, the usual one first; none given means the file's only variable.
    """
    held = _held(path)
    if not names and len(held) == 1:
        names = (held[0],)
    name = next((name for name in names if name in held), None)
    if name is None:
        raise UnreadableFile(
            f"{path.name} does not hold the variable that this kind of file is known by",
            got=f"variables {', '.join(held) or 'none'}",
            fix=f"it should be called {' or '.join(names) or 'something'}; or take another reader: docs/datasets.md",
        )
    return _load(path, name)


def cells(value: Any) -> list[Any]:
    """Return a cell array's cells; one that has a single cell comes unwrapped and is wrapped again."""
    return list(value) if isinstance(value, list) else [value]


def struct(value: Any, *fields: str, name: str, path: Path) -> Mapping[str, Any]:
    """Return a value as a struct that has some fields, or say what is there instead.

    Parameters
    ----------
    value
        What was read.
    *fields
        Fields that it must have.
    name
        What to call it in the message.
    path
        The file that it comes from.
    """
    lacking = [field for field in fields if not isinstance(value, Mapping) or field not in value]
    if lacking:
        there = ", ".join(value) if isinstance(value, Mapping) else type(value).__name__
        raise UnreadableFile(
            f"{name} of {path.name} lacks what this kind of file must have",
            got=f"no {', '.join(lacking)}; there is {there}",
            fix="check that the file is of this family: docs/datasets.md names what each reader expects",
        )
    return value


def texts(value: Any) -> tuple[str, ...]:
    """Return a cell array of text as text, whichever way it came."""
    if isinstance(value, str):
        return (value,)
    return tuple(str(item).strip() for item in (value.tolist() if isinstance(value, np.ndarray) else value))


def matrix(value: Any, *, n_channels: int, name: str) -> np.ndarray:
    """Return samples x channels, turned round where the file has channels x samples.

    Parameters
    ----------
    value
        What was read; a single channel or sample may have come as a vector.
    n_channels
        How many channels there are.
    name
        What to call it in the message.

    Returns
    -------
    array of shape (n_samples, n_channels), float64
    """
    values = np.asarray(value, dtype=float)
    if values.ndim == 1:
        values = values.reshape(-1, n_channels) if n_channels and values.size % n_channels == 0 else values[:, None]
    if values.ndim == 2 and n_channels in values.shape:
        return values if values.shape[1] == n_channels else values.T
    raise ShapeMismatch(
        f"{name} does not have the channels that it should have",
        got=f"shape {values.shape}, and {n_channels} channel names",
        fix="check that the file is whole, and that its channel names belong to it",
    )


def _held(path: Path) -> list[str]:
    if not path.exists():
        near = sorted(item.name for item in path.parent.glob("*.mat")) if path.parent.is_dir() else []
        hint = f"beside it lie {', '.join(near[:4])}" if near else "check the folder and the spelling"
        raise MissingFile("there is no such MATLAB file", got=path.as_posix(), fix=hint)
    reader = _pymatreader()
    return sorted(_safely(path, lambda: [row[0] for row in reader.whosmat(path)]))


def _load(path: Path, name: str) -> Any:
    reader = _pymatreader()
    with warnings.catch_warnings():
        # It warns of MATLAB's own objects (tables, strings); those are not what is read here.
        warnings.simplefilter("ignore", UserWarning)
        return _safely(path, lambda: reader.read_mat(path, variable_names=[name]))[name]


def _safely(path: Path, read: Any) -> Any:
    try:
        return read()
    # Readers of damaged files fail in every way there is; all of them mean the same to the user.
    except Exception as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise UnreadableFile(
            "this MATLAB file cannot be read",
            got=f"{path.name}: {type(error).__name__}: {reason}",
            fix="copy or fetch it again from its source; brainalign fetch checks what it fetches",
        ) from error


def _pymatreader() -> Any:
    try:
        import pymatreader
    except ImportError as error:
        raise MissingPackage(
            "reading MATLAB files needs pymatreader and h5py",
            got=str(error),
            fix="pip install 'brainalign[mat]'",
        ) from error
    return pymatreader
