"""How does a trajectory get onto another clock? Dense ones by interpolation; sparse ones stay, or are upsampled.

Our own models bring the EEG to the frames, and leave sparse features as they are. Recipes that
want both on one faster clock have to say what a code of 50 frames a second is worth between
its frames: `UPSAMPLERS` are the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import floor

import numpy as np
from scipy import signal

from brainalign.core.errors import GridMismatch, ValueProblem, unknown_name
from brainalign.core.resample import resample
from brainalign.core.time import Number, TimeAxis, exact
from brainalign.core.trajectory import Trajectory, Values


def resample_trajectory(trajectory: Trajectory, axis: TimeAxis) -> Trajectory:
    """Bring a dense trajectory onto another clock, without aliasing.

    Parameters
    ----------
    trajectory
        Dense features.
    axis
        The wanted clock, inside the trajectory's span.

    Returns
    -------
    Trajectory
        Same features at the times of ``axis``.
    """
    if trajectory.axis == axis:
        return trajectory
    if trajectory.is_sparse:
        raise GridMismatch(
            "a sparse trajectory cannot be resampled and stay sparse",
            got=f"{trajectory.axis}, wanted {axis}",
            fix="bring the EEG to the frame grid instead: brainalign.align does so by itself",
        )
    values = resample(trajectory.values, trajectory.axis, axis)
    provenance = trajectory.provenance.then("resample_trajectory", axis=axis.to_json())
    return replace(trajectory, values=values, axis=axis, provenance=provenance)


def upsample_trajectory(trajectory: Trajectory, rate: Number, *, method: str) -> Trajectory:
    """Bring frames onto a faster clock that begins with the first frame's time and ends by the last one's.

    Parameters
    ----------
    trajectory
        Dense or sparse features.
    rate
        Samples per second, at least as many as there are frames.
    method
        One of `UPSAMPLERS`. ``"hold"``: every sample takes the value of the frame nearest to it
        (sparse stays sparse, and no value is made up). ``"sinc"``: band-limited interpolation
        (`brainalign.core.resample`). ``"polyphase"``: `scipy.signal.resample_poly` with its own
        filter. The last two ring around spikes, also below zero, and make sparse features dense.
    """
    if method not in UPSAMPLERS:
        raise unknown_name(method, among=UPSAMPLERS, kind="way to upsample")
    source, wanted = trajectory.axis, exact(rate)
    if wanted < source.rate:
        raise ValueProblem(
            "upsampling needs a rate above the frames' own",
            got=f"{float(wanted):g} Hz for frames at {float(source.rate):g} Hz",
            fix="use resample_trajectory, which keeps high frequencies from folding back",
        )
    n = floor((source.n - 1) * wanted / source.rate) + 1 if source.n else 0
    axis = TimeAxis(wanted, n, source.t0)
    values = UPSAMPLERS[method](trajectory.values, source, axis)
    provenance = trajectory.provenance.then("upsample_trajectory", axis=axis.to_json(), method=method)
    return replace(trajectory, values=values, axis=axis, provenance=provenance)


def _hold(values: Values, source: TimeAxis, target: TimeAxis) -> Values:
    # Nearest frame of sample k: floor(k * source.rate / target.rate + 1/2), in integers.
    step = source.rate / target.rate
    index = (2 * np.arange(target.n) * step.numerator + step.denominator) // (2 * step.denominator)
    return values[np.minimum(index, source.n - 1)]


def _sinc(values: Values, source: TimeAxis, target: TimeAxis) -> Values:
    return resample(_dense(values), source, target)


def _polyphase(values: Values, source: TimeAxis, target: TimeAxis) -> Values:
    ratio = target.rate / source.rate
    return signal.resample_poly(_dense(values), ratio.numerator, ratio.denominator, axis=0)[: target.n]


def _dense(values: Values) -> np.ndarray:
    return values if isinstance(values, np.ndarray) else values.toarray()


UPSAMPLERS: Mapping[str, Callable[[Values, TimeAxis, TimeAxis], Values]] = {
    "hold": _hold,
    "sinc": _sinc,
    "polyphase": _polyphase,
}
