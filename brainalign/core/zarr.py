"""How is a trajectory written for tools that read Zarr? Chunk by chunk, in the memory of a few.

Version 2 of the format is JSON and zlib, which Python has; every Zarr library reads it, and
xarray names the axes by ``_ARRAY_DIMENSIONS``. Zarr itself is needed by who reads it only.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from brainalign.core.errors import StoreProblem
from brainalign.core.export import DIMS, exact_clock
from brainalign.core.trajectory import Trajectory

_FRAMES, _FEATURES = 4096, 128
_LEVEL = 1
_GROUP = {"zarr_format": 2}


def to_zarr(trajectory: Trajectory, path: str | Path) -> Path:
    """Write a trajectory as a Zarr group (version 2 of the format), whole or not at all.

    The group holds ``trajectory`` (float32, frames by features, in chunks of 4,096 by 128, zlib), ``time``
    in seconds and ``feature``; its attributes the exact ``rate`` and ``t0`` and the provenance.
    ``xarray.open_zarr(path)["trajectory"]`` labels it. A sparse trajectory is never made dense
    as a whole: chunks of zeros shrink to 2 kB.

    Parameters
    ----------
    trajectory
        Dense or sparse.
    path
        The new group's folder, by custom ``name.zarr``; it must not exist.

    Returns
    -------
    Path
        The folder.
    """
    folder = Path(path)
    if folder.exists():
        raise StoreProblem(
            "there is something here already", got=folder, fix="write to a new folder, or delete this one first"
        )
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.{os.getpid()}.tmp")
    try:
        aside.mkdir(parents=True)
        _write_group(trajectory, aside)
        aside.rename(folder)
    except OSError as error:
        raise StoreProblem(
            "a Zarr group cannot be written",
            got=f"{folder}: {error.strerror or error}",
            fix="free space or pick a writable folder",
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _write_group(trajectory: Trajectory, folder: Path) -> None:
    n_frames, n_features = trajectory.values.shape
    chunk = (max(1, min(n_frames, _FRAMES)), max(1, min(n_features, _FEATURES)))
    clock = exact_clock(trajectory)
    names, times = _text(trajectory), trajectory.axis.times.astype("<f8")
    headers = {
        "trajectory": _array_header("<f4", (n_frames, n_features), chunk),
        "time": _array_header("<f8", (n_frames,), (max(1, n_frames),)),
        "feature": _array_header(names.dtype.str, (n_features,), (max(1, n_features),)),
    }
    labels: dict[str, dict[str, Any]] = {
        "trajectory": {"_ARRAY_DIMENSIONS": DIMS, **clock},
        "time": {"_ARRAY_DIMENSIONS": DIMS[:1], "units": "s", "long_name": "frame centre"},
        "feature": {"_ARRAY_DIMENSIONS": DIMS[1:]},
    }
    files: dict[str, Any] = {".zgroup": _GROUP, ".zattrs": clock}
    for name in headers:
        files |= {f"{name}/.zarray": headers[name], f"{name}/.zattrs": labels[name]}
        (folder / name).mkdir()
    for name, content in files.items():
        _write_json(folder / name, content)
    _write_json(folder / ".zmetadata", {"zarr_consolidated_format": 1, "metadata": files})
    for name, block in _chunks(trajectory, chunk):
        (folder / "trajectory" / name).write_bytes(_packed(block))
    if n_frames:
        (folder / "time" / "0").write_bytes(_packed(times))
    if n_features:
        (folder / "feature" / "0").write_bytes(_packed(names))


def _array_header(dtype: str, shape: tuple[int, ...], chunks: tuple[int, ...]) -> dict[str, Any]:
    return {
        **_GROUP,
        "shape": list(shape),
        "chunks": list(chunks),
        "dtype": dtype,
        "compressor": {"id": "zlib", "level": _LEVEL},
        # xarray takes a fill value of 0 for "missing" and would turn every zero into NaN.
        "fill_value": None,
        "order": "C",
        "filters": None,
    }


def _chunks(trajectory: Trajectory, chunk: tuple[int, int]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every chunk's name and content; those at the edges are filled up with zeros, as the format wants it."""
    for i, top in enumerate(range(0, trajectory.axis.n, chunk[0])):
        rows = trajectory.values[top : top + chunk[0]]
        columns = rows if isinstance(rows, np.ndarray) else rows.tocsc()
        for j, left in enumerate(range(0, trajectory.n_features, chunk[1])):
            part = columns[:, left : left + chunk[1]]
            whole = np.zeros(chunk, dtype="<f4")
            whole[: part.shape[0], : part.shape[1]] = part if isinstance(part, np.ndarray) else part.toarray()
            yield f"{i}.{j}", whole


def _packed(block: np.ndarray) -> bytes:
    return zlib.compress(np.ascontiguousarray(block).tobytes(), _LEVEL)


def _text(trajectory: Trajectory) -> np.ndarray:
    names = np.array(trajectory.features, dtype=np.str_)
    return names.astype(names.dtype.newbyteorder("<"))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
