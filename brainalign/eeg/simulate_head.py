"""What does a current inside the head look like at 64 sensors? A spherical forward model.

The montage is biosemi64; the head is MNE's four-shell sphere (brain, CSF, skull, skin with
the default radii and conductivities) with the radius of the montage's own sphere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import mne
import numpy as np

from brainalign.core.errors import ShapeMismatch, ValueProblem

MONTAGE = "biosemi64"
EOG = "VEOG"
HEAD_CENTRE = (0.0, 0.0, 0.04)
HEAD_RADIUS = 0.095
BRAIN_RADIUS = 0.9 * HEAD_RADIUS
EYES = np.array([[-0.032, 0.085, 0.01], [0.032, 0.085, 0.01]])
EYE_REACH = 0.03
MICROVOLTS_PER_NANOAMPERE_METRE = 1e-9 / 1e-6

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Site:
    """A place in the head where a response may be planted.

    Parameters
    ----------
    position
        Metres in head coordinates (x to the right ear, y to the nose, z up).
    orientation
        Direction of the current, of length one.
    """

    position: Vector
    orientation: Vector


def _unit(x: float, y: float, z: float) -> Vector:
    length = float(np.sqrt(x * x + y * y + z * z))
    return (x / length, y / length, z / length)


# Auditory dipoles stand on the supratemporal plane and point to the vertex and the front,
# which gives speech responses their fronto-central maximum; the others are near their sensors.
PLANTED_SITES: Mapping[str, Site] = MappingProxyType(
    {
        "auditory_left": Site((-0.050, 0.000, 0.055), _unit(0.20, 0.30, 0.93)),
        "auditory_right": Site((0.050, 0.000, 0.055), _unit(-0.20, 0.30, 0.93)),
        "temporal_left": Site((-0.062, 0.020, 0.035), _unit(-0.95, 0.30, 0.00)),
        "temporal_right": Site((0.062, 0.020, 0.035), _unit(0.95, 0.30, 0.00)),
        "frontal": Site((0.000, 0.055, 0.070), _unit(0.00, 0.75, 0.66)),
        "central": Site((0.000, -0.005, 0.100), _unit(0.00, 0.00, 1.00)),
        "parietal_left": Site((-0.035, -0.050, 0.080), _unit(-0.45, -0.65, 0.61)),
        "parietal_right": Site((0.035, -0.050, 0.080), _unit(0.45, -0.65, 0.61)),
    }
)


def head_info(rate: float) -> mne.Info:
    """Return MNE's description of the simulated cap: 64 EEG sensors and one EOG channel.

    Parameters
    ----------
    rate
        Samples per second.
    """
    montage = mne.channels.make_standard_montage(MONTAGE)
    kinds = ["eeg"] * len(montage.ch_names) + ["eog"]
    info = mne.create_info([*montage.ch_names, EOG], rate, kinds, verbose="error")
    info.set_montage(montage, verbose="error")
    return info


def sensor_names() -> tuple[str, ...]:
    """Return the 64 sensors' names, in the order of every pattern here."""
    return tuple(mne.channels.make_standard_montage(MONTAGE).ch_names)


def project(positions: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    """Compute the potentials of unit dipoles at the sensors, against infinity.

    Parameters
    ----------
    positions
        Metres in head coordinates, shape ``(n_dipoles, 3)``.
    orientations
        Unit vectors, shape ``(n_dipoles, 3)``.

    Returns
    -------
    numpy.ndarray
        Microvolts per nanoampere metre, shape ``(64, n_dipoles)``.
    """
    places, directions = np.atleast_2d(positions).astype(float), np.atleast_2d(orientations).astype(float)
    require_in_brain(places, directions)
    sphere = mne.make_sphere_model(HEAD_CENTRE, HEAD_RADIUS, verbose="error")
    grid = mne.setup_volume_source_space(
        pos={"rr": places, "nn": directions}, sphere=sphere, sphere_units="m", verbose="error"
    )
    forward = mne.make_forward_solution(
        head_info(128.0), trans=None, src=grid, bem=sphere, meg=False, eeg=True, verbose="error"
    )
    gain = forward["sol"]["data"].reshape(-1, len(places), 3)
    return np.einsum("cnk,nk->cn", gain, directions) * MICROVOLTS_PER_NANOAMPERE_METRE


def require_in_brain(positions: np.ndarray, orientations: np.ndarray) -> None:
    """Refuse dipoles (metres and unit vectors, each of shape ``(n_dipoles, 3)``) that no brain could hold."""
    if positions.shape != orientations.shape or positions.shape[1] != 3:
        raise ShapeMismatch(
            "positions and orientations must both be dipoles by xyz",
            got=f"{positions.shape} and {orientations.shape}",
            fix="give three metres and three direction cosines per dipole",
        )
    radius = np.linalg.norm(positions - HEAD_CENTRE, axis=1)
    if (radius >= BRAIN_RADIUS).any():
        raise ValueProblem(
            f"a dipole must lie inside the brain, less than {BRAIN_RADIUS * 1e3:.1f} mm from {HEAD_CENTRE} m",
            got=f"{positions[int(radius.argmax())].tolist()} m, {radius.max() * 1e3:.1f} mm away",
            fix="give metres (not millimetres) in head coordinates, or take one of PLANTED_SITES",
        )
    length = np.linalg.norm(orientations, axis=1)
    if not np.allclose(length, 1, atol=1e-3):
        raise ValueProblem(
            "an orientation must have length one", got=f"length {length.min():.3g}", fix="divide it by its length"
        )


def sensor_pattern(position: Vector | np.ndarray, orientation: Vector | np.ndarray) -> np.ndarray:
    """Compute a dipole's pattern over the sensors after average reference.

    Parameters
    ----------
    position, orientation
        Metres in head coordinates and a unit vector, each of shape ``(3,)``.

    Returns
    -------
    numpy.ndarray
        Microvolts per nanoampere metre, shape ``(64,)``, in the order of `sensor_names`;
        it sums to zero.
    """
    pattern = project(np.asarray(position), np.asarray(orientation))[:, 0]
    return pattern - pattern.mean()


def blink_pattern() -> np.ndarray:
    """Return how much of a blink each sensor sees, shape ``(64,)``; the most exposed one sees 1.

    The share falls off exponentially with the distance to the nearer eye.
    """
    places = np.array([channel["loc"][:3] for channel in head_info(128.0)["chs"][:-1]])
    distance = np.linalg.norm(places[:, None] - EYES[None], axis=2).min(axis=1)
    return np.exp((distance.min() - distance) / EYE_REACH)
