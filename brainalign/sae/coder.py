"""What is a sparse coder? Arrays that turn frames into features and back, one frame at a time.

A `SparseCoder` is the trained thing only: arrays, a threshold, an input scale. However it
was trained (a batch's top k, an L0 penalty), a frame's features here depend on that frame
alone: batch-top-k selection at inference changes 14 % of the active set between batches
of 10 and of 1,000 frames, one fixed threshold changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from brainalign.core.arrays import read_only, require_finite, require_shape
from brainalign.core.artefact import Artefact
from brainalign.core.errors import ShapeMismatch, ValueProblem, unknown_name
from brainalign.core.hashing import array_digest, digest, plain
from brainalign.sae.apply import apply_sae
from brainalign.sae.rules import non_negative, signed_top_k
from brainalign.sae.units import row_norms, unit_rows

if TYPE_CHECKING:
    from brainalign.core.trajectory import Trajectory
    from brainalign.sae.screened import Screened

KIND = "sparse-coder"
BLOCK_ROWS, SCREENED_ROWS = 512, 1024
ARRAYS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")

Screening = Literal["exact", "bfloat16", "int8"]
Rule = Literal["threshold", "top-k", "signed-top-k", "non-negative"]


@dataclass(frozen=True, eq=False)
class SparseCoder:
    """A sparse autoencoder at inference.

    ::

        pre   = (scale * x - b_dec) @ W_enc + b_enc
        value = pre where pre > threshold and pre > 0, else 0
        x_hat = (value @ W_dec + b_dec) / scale

    Parameters
    ----------
    W_enc, b_enc
        Encoder, shapes ``(d_in, d_sae)`` and ``(d_sae,)``.
    W_dec, b_dec
        Decoder (one row per feature) and its bias, shapes ``(d_sae, d_in)`` and ``(d_in,)``.
    threshold
        What a pre-activation must exceed, shape ``(d_sae,)``; a scalar is repeated. NaN means
        "never calibrated" (published files without a threshold): `encode` then refuses.
    scale
        Factor on the input that makes its mean squared norm 1 on the training frames.
    k
        Mean number of active features per frame that the coder was trained for; 0 where the
        file it came from does not say.
    metadata
        JSON values: architecture, layer, encoder, rate and whatever else is known.
    rule
        How the active features are chosen: ``"threshold"`` as above, ``"top-k"`` for the
        ``k`` largest positive pre-activations of each frame on its own, ``"signed-top-k"`` for the ``k``
        farthest from zero, ``"non-negative"`` for a least-squares fit by at most ``k`` non-negative weights (both for
        `brainalign.sae.bases`).
    unit_frames
        Whether every frame is first divided by its own norm. Then `decode` gives frames in units of their norm,
        and `reconstruct` in the input's units (it knows the norms).
    """

    W_enc: np.ndarray
    b_enc: np.ndarray
    W_dec: np.ndarray
    b_dec: np.ndarray
    threshold: np.ndarray
    scale: float
    k: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    rule: Rule = "threshold"
    unit_frames: bool = False

    def __post_init__(self) -> None:
        if np.ndim(self.W_enc) != 2:
            raise ShapeMismatch("W_enc must be inputs by features", got=np.shape(self.W_enc), fix="give (d_in, d_sae)")
        d_in, d_sae = np.shape(self.W_enc)
        shapes = {"W_enc": (d_in, d_sae), "b_enc": (d_sae,), "W_dec": (d_sae, d_in), "b_dec": (d_in,)}
        for name, shape in shapes.items():
            self._keep(name, np.asarray(getattr(self, name), dtype=np.float32), shape)
            require_finite(getattr(self, name), name=name, fix="use another checkpoint, or train with a lower rate")
        threshold = np.asarray(self.threshold, dtype=np.float32)
        self._keep("threshold", np.full(d_sae, threshold) if threshold.ndim == 0 else threshold, (d_sae,))
        object.__setattr__(self, "scale", float(self.scale))
        object.__setattr__(self, "k", int(self.k))
        object.__setattr__(self, "metadata", plain(self.metadata))
        self._check()

    def _keep(self, name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
        require_shape(array.shape, shape, name=name, axes="d_in = inputs, d_sae = features")
        object.__setattr__(self, name, read_only(np.ascontiguousarray(array)))

    def _check(self) -> None:
        if self.rule not in RULES:
            raise unknown_name(self.rule, among=RULES, kind="rule for the active features")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueProblem("an input scale must be positive", got=self.scale, fix="give 1.0 for unscaled input")
        if not (self.rule != "threshold") <= self.k <= self.d_sae:
            raise ValueProblem("k must lie between 1 and d_sae", got=f"k={self.k}, d_sae={self.d_sae}", fix="change k")

    @property
    def d_in(self) -> int:
        """Number of inputs (the encoder's hidden size)."""
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return self.W_enc.shape[1]

    @property
    def needs_calibration(self) -> bool:
        """Whether the file it came from held no usable threshold."""
        return self.rule == "threshold" and bool(np.isnan(self.threshold).any())

    @cached_property
    def content(self) -> str:
        """SHA-256 of everything that decides a feature's value (the metadata does not)."""
        arrays = {name: array_digest(getattr(self, name)) for name in ARRAYS}
        unit = {"unit_frames": True} if self.unit_frames else {}
        return digest({"arrays": arrays, "scale": self.scale, "k": self.k, "rule": self.rule, **unit})

    def encode(self, x: np.ndarray, *, screening: Screening = "exact") -> sparse.csr_array:
        """Turn frames into features, in row blocks at flat memory.

        A value depends on its own frame only, to the last bit: every product has one shape
        (`BLOCK_ROWS` rows, the last block padded with zeros), so that a row's rounding does
        not change with the rows beside it.

        Parameters
        ----------
        x
            Frames in the encoder's units, shape ``(n, d_in)``.
        screening
            ``"exact"``: every pre-activation in float32. Faster, for a threshold: a rough product says
            where to look, and only candidates are computed in float32. ``"bfloat16"`` overlooks
            nothing; ``"int8"`` may, beyond 8 standard deviations of its rounding. Values and
            thresholds agree with the exact ones to float32's rounding (about 1e-7), not to the bit.

        Returns
        -------
        scipy.sparse.csr_array
            Features, float32, shape ``(n, d_sae)``, columns sorted within a row.
        """
        if self.needs_calibration:
            raise ValueProblem(
                "this coder has no threshold yet, so its active features are undefined",
                got=f"threshold NaN, k={self.k}",
                fix="calibrate(coder, trajectory) from brainalign.sae.calibrate, on frames of its layer",
            )
        if screening != "exact":
            return self._screened(screening).encode(self._centred(x, SCREENED_ROWS))
        parts = [_to_csr(pre, RULES[self.rule](pre, self)) for pre in self.pre_activations(x)]
        if not parts:
            return sparse.csr_array((0, self.d_sae), dtype=np.float32)
        return sparse.csr_array(sparse.vstack(parts, format="csr"))

    def pre_activations(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Yield ``(scale * x - b_dec) @ W_enc + b_enc`` for blocks of up to `BLOCK_ROWS` rows.

        Each block is valid until the next one is asked for: the buffer is used again.
        """
        block = np.zeros((BLOCK_ROWS, self.d_in), dtype=np.float32)
        pre = np.empty((BLOCK_ROWS, self.d_sae), dtype=np.float32)
        for rows in self._centred(x, BLOCK_ROWS):
            block[: len(rows)] = rows
            block[len(rows) :] = 0
            np.matmul(block, self.W_enc, out=pre)
            pre += self.b_enc
            yield pre[: len(rows)]

    def _centred(self, x: np.ndarray, n_rows: int) -> Iterator[np.ndarray]:
        """Yield ``scale * x - b_dec`` in blocks of up to so many rows."""
        if np.ndim(x) != 2 or np.shape(x)[1] != self.d_in:
            raise ShapeMismatch(
                f"frames must have shape (n, {self.d_in})",
                got=np.shape(x),
                fix="give this coder frames of the layer it was trained on",
            )
        for start in range(0, len(x), n_rows):
            rows = np.asarray(x[start : start + n_rows], dtype=np.float32)
            require_finite(rows, name=f"frames {start} to {start + len(rows) - 1}", fix="check the encoder's output")
            yield np.float32(self.scale) * (unit_rows(rows) if self.unit_frames else rows) - self.b_dec

    def _screened(self, screening: str) -> Screened:
        """Return what looks roughly first; what it has prepared is kept for the next frames."""
        from brainalign.sae.screened import Screened  # PyTorch, and it knows this class

        if screening not in self._prepared:
            self._prepared[screening] = Screened(self, screening)
        return self._prepared[screening]

    @cached_property
    def _prepared(self) -> dict[str, Screened]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_prepared"}

    def decode(self, features: sparse.csr_array) -> np.ndarray:
        """Turn features back into frames, float32, shape ``(n, d_in)``, in the input's units."""
        if features.shape[1] != self.d_sae:
            raise ShapeMismatch(
                f"features must have shape (n, {self.d_sae})", got=features.shape, fix="give what this coder encoded"
            )
        return (np.asarray(features @ self.W_dec, dtype=np.float32) + self.b_dec) / np.float32(self.scale)

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """Send frames through the coder and back, float32, shape ``(n, d_in)``."""
        return self.decode(self.encode(x)) * self.lengths(x)

    def lengths(self, x: np.ndarray) -> np.ndarray:
        """Return what `decode` must be multiplied by for these frames, ``(n, 1)``: 1, or their norms."""
        return row_norms(x) if self.unit_frames else np.ones((len(x), 1), dtype=np.float32)

    def apply(self, trajectory: Trajectory, *, prefix: str = "sae-", folder: str | Path | None = None) -> Trajectory:
        """Return the trajectory's features: the method form of `brainalign.sae.apply.apply_sae`."""
        return apply_sae(self, trajectory, prefix=prefix, folder=folder)

    def pack(self) -> Artefact:
        """Return the coder as an artefact, exactly."""
        meta: dict[str, Any] = {"scale": self.scale, "k": self.k, "rule": self.rule, "metadata": self.metadata}
        meta |= {"unit_frames": True} if self.unit_frames else {}
        return Artefact(KIND, meta, {name: getattr(self, name) for name in ARRAYS})

    @classmethod
    def unpack(cls, artefact: Artefact) -> SparseCoder:
        """Read back what `pack` wrote."""
        meta, arrays = artefact.meta, artefact.arrays
        named: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
        named |= {name: meta[name] for name in ("scale", "k", "metadata", "rule")}
        return cls(**named, unit_frames=meta.get("unit_frames", False))


def _above_threshold(pre: np.ndarray, coder: SparseCoder) -> np.ndarray:
    return np.flatnonzero(pre > np.maximum(coder.threshold, 0))


def _top_of_each_row(pre: np.ndarray, coder: SparseCoder) -> np.ndarray:
    """Keep exactly k per frame, the lower feature number first among equals (a stable sort)."""
    columns = np.argsort(-pre, axis=1, kind="stable")[:, : coder.k]
    chosen = np.sort(columns, axis=1) + np.arange(len(pre))[:, None] * coder.d_sae
    flat = chosen.reshape(-1)
    return flat[pre.reshape(-1)[flat] > 0]


RULES: dict[str, Callable[[np.ndarray, SparseCoder], np.ndarray]] = {
    "threshold": _above_threshold,
    "top-k": _top_of_each_row,
    "signed-top-k": signed_top_k,
    "non-negative": non_negative,
}


def _to_csr(pre: np.ndarray, active: np.ndarray) -> sparse.csr_array:
    """Keep the values at flat indices (sorted) of one block."""
    rows, columns = np.divmod(active, pre.shape[1])
    pointers = np.zeros(len(pre) + 1, dtype=np.int32)
    np.cumsum(np.bincount(rows, minlength=len(pre)), out=pointers[1:])
    return sparse.csr_array((pre.reshape(-1)[active], columns.astype(np.int32), pointers), shape=pre.shape)
