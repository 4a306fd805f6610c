"""What would the EEG be without its reference? A reference at infinity, and currents through the skull."""

from __future__ import annotations

from dataclasses import dataclass

import mne
import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.eeg.guards import require_eeg


@dataclass(frozen=True)
class RestReference:
    """Refer the EEG to a point at infinity, estimated with a spherical head (REST).

    Parameters
    ----------
    spacing_millimetres
        Distance between the dipoles of the head model.
    """

    spacing_millimetres: float = 15.0

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a re-referenced copy; bad channels must have been interpolated."""
        _require_places(raw, step="RestReference")
        with mne.use_log_level("error"):
            sphere = mne.make_sphere_model("auto", "auto", raw.info)
            sources = mne.setup_volume_source_space(sphere=sphere, pos=self.spacing_millimetres, exclude=30.0)
            forward = mne.make_forward_solution(raw.info, trans=None, src=sources, bem=sphere, meg=False)
            return raw.copy().set_eeg_reference("REST", forward=forward)


@dataclass(frozen=True)
class Laplacian:
    """Turn potentials into current source densities: the surface Laplacian of spherical splines.

    Free of any reference, and sharper in space. Channels become of MNE's kind ``"csd"``, in volts per square
    metre. What follows must not need EEG: let it be the last step.

    Parameters
    ----------
    regularisation
        Added to the splines' diagonal (lambda squared).
    stiffness
        Of the splines (m); larger is smoother.
    """

    regularisation: float = 1e-5
    stiffness: float = 4.0

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy whose EEG channels are current source densities."""
        _require_places(raw, step="Laplacian")
        return mne.preprocessing.compute_current_source_density(
            raw, lambda2=self.regularisation, stiffness=self.stiffness, copy=True, verbose="error"
        )


def _require_places(raw: mne.io.BaseRaw, *, step: str) -> None:
    """Refuse bad EEG channels and those without a position."""
    names = require_eeg(raw)
    bads = [name for name in raw.info["bads"] if name in names]
    if bads:
        raise ValueProblem(
            f"{step} mixes all channels, and some are bad",
            got=", ".join(bads[:8]),
            fix="interpolate them first: put Interpolate() before it",
        )
    places = np.array([raw.info["chs"][raw.ch_names.index(name)]["loc"][:3] for name in names])
    lost = [name for name, place in zip(names, places, strict=True) if not np.isfinite(place).all() or not place.any()]
    if lost:
        raise ValueProblem(
            f"{step} needs sensor positions",
            got=f"{len(lost)} channels without one: {', '.join(lost[:8])}",
            fix="give the recording a montage, e.g. read_eeg(..., montage='biosemi64')",
        )
