"""How do an encoder's frames become an SAE trajectory? Sparse features on the same clock.

In memory, or block by block into a folder: an hour of 768 inputs is 550 MB dense and its
features are 70 MB, of which neither needs to be in memory at once.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from scipy import sparse

from brainalign.core.artefact import Artefact, write_artefact
from brainalign.core.errors import ShapeMismatch, StoreProblem, ValueProblem
from brainalign.core.slices import CSR_PARTS, read_rows
from brainalign.core.trajectory import Trajectory

if TYPE_CHECKING:
    from brainalign.core.provenance import Provenance
    from brainalign.sae.coder import SparseCoder

BLOCK_FRAMES = 2048


def apply_sae(
    coder: SparseCoder, trajectory: Trajectory, *, prefix: str = "sae-", folder: str | Path | None = None
) -> Trajectory:
    """Turn a trajectory of dense frames into one of sparse features.

    Parameters
    ----------
    coder
        A coder trained on this layer.
    trajectory
        Dense frames, shape ``(n_frames, d_in)``, memory-mapped or not.
    prefix
        Features are named ``prefix + number``.
    folder
        A new folder for the features. They are then written block by block and come back memory-mapped: however long
        the sound is, in the memory of one block and the files' own pages. `Trajectory.open` opens the folder
        again. By default the features stay in memory.

    Returns
    -------
    Trajectory
        CSR, shape ``(n_frames, d_sae)``, on the same axis; its provenance names the coder by
        content, so two coders of one name are never mistaken for each other.
    """
    if trajectory.is_sparse:
        raise ValueProblem(
            "a coder reads dense frames",
            got=f"a sparse trajectory ({trajectory.n_features} features)",
            fix="apply it once",
        )
    if trajectory.n_features != coder.d_in:
        raise ShapeMismatch(
            "the trajectory does not fit the coder",
            got=f"{trajectory.n_features} features, the coder reads {coder.d_in}",
            fix="give frames of the encoder and layer that the coder was trained on",
        )
    provenance = trajectory.provenance.then("apply_sae", coder=coder.content, prefix=prefix, k=coder.k, rule=coder.rule)
    names = tuple(f"{prefix}{number}" for number in range(coder.d_sae))
    if folder is None:
        return Trajectory(coder.encode(trajectory.values), trajectory.axis, names, provenance)
    _to_folder(coder, trajectory, Path(folder), names=names, provenance=provenance)
    # By now the maps that the folder was written from are gone: their pages would count as ours.
    return Trajectory.open(folder)


def _to_folder(
    coder: SparseCoder, trajectory: Trajectory, folder: Path, *, names: tuple[str, ...], provenance: Provenance
) -> None:
    """Write the parts of the CSR as they grow, then all of it as an artefact."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        pointers = _write_blocks(coder, np.asarray(trajectory.values), aside)
        parts = {"data": _grown(aside / "data", np.float32), "indices": _grown(aside / "indices", np.int32)}
        # An artefact's header says what its arrays are: an empty trajectory gives it clock, names and provenance.
        empty = sparse.csr_array((trajectory.axis.n, coder.d_sae), dtype=np.float32)
        meta = Trajectory(empty, trajectory.axis, names, provenance).pack().meta
        arrays = {**parts, "indptr": pointers}
        write_artefact(Artefact("trajectory", meta, {part: arrays[part] for part in CSR_PARTS}), folder)
    except OSError as error:
        raise error if isinstance(error, StoreProblem) else _unwritable(folder, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_blocks(coder: SparseCoder, values: np.ndarray, aside: Path) -> np.ndarray:
    """Write values and column numbers of one block after another; return where the rows begin."""
    pointers = np.zeros(len(values) + 1, dtype=np.int64)
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {
            part: stack.enter_context((aside / part).open("wb")) for part in ("data", "indices")
        }
        for start in range(0, len(values), BLOCK_FRAMES):
            stop = min(start + BLOCK_FRAMES, len(values))
            block = coder.encode(read_rows(values, start, stop))
            block.data.tofile(files["data"])
            block.indices.astype(np.int32, copy=False).tofile(files["indices"])
            pointers[start + 1 : stop + 1] = pointers[start] + block.indptr[1:]
    return pointers


def _grown(path: Path, dtype: type[np.generic]) -> np.ndarray:
    return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype=dtype)


def _unwritable(folder: Path, error: OSError) -> StoreProblem:
    return StoreProblem(
        "features cannot be written", got=f"{folder}: {error.strerror or error}", fix="give a writable folder with room"
    )
