"""Are these numbers volts? Units by name, and a refusal of EEG that no head could make.

A file in microvolts that is read as volts is wrong by a million, and nothing downstream notices:
correlations do not depend on scale, penalties and thresholds in volts do.
"""

from __future__ import annotations

import numpy as np

from brainalign.core.errors import ValueProblem, unknown_name

UNITS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "µV": 1e-6, "μV": 1e-6, "nV": 1e-9}
# Ten times the largest EEG that a head produces, and a thousand times below microvolts read as volts.
MAX_PLAUSIBLE_VOLTS = 1e-3
# A hundredth of an averaged brainstem response; volts that were scaled to volts once more lie below.
MIN_PLAUSIBLE_VOLTS = 1e-9


def volts_per(unit: str) -> float:
    """Return how many volts one unit is.

    >>> volts_per("uV"), volts_per("V")
    (1e-06, 1.0)
    """
    if unit not in UNITS:
        raise unknown_name(unit, among=UNITS, kind="unit of voltage")
    return UNITS[unit]


def usual_spread(values: np.ndarray, *, rate: float) -> float:
    """Return the median standard deviation within a second, over channels and seconds.

    Slow drifts and offsets of unreferenced electrodes do not count, nor do a few bad channels.

    Parameters
    ----------
    values
        Shape ``(n_channels, n_samples)``.
    rate
        Samples per second.

    Returns
    -------
    float
        In the values' own unit.
    """
    window = max(2, round(rate))
    n_windows = values.shape[1] // window
    windows = values[:, : n_windows * window].reshape(len(values), n_windows, window) if n_windows else values[:, None]
    return float(np.median(windows.std(axis=2)))


def require_volts(values: np.ndarray, *, rate: float, name: str) -> None:
    """Refuse EEG whose usual spread within a second no head could produce.

    A recording that is flat throughout is not refused here: that is no question of units.

    Parameters
    ----------
    values
        The EEG channels, taken to be in volts, shape ``(n_channels, n_samples)``.
    rate
        Samples per second.
    name
        What to call the recording in the message, usually its file's name.
    """
    if values.size == 0:
        return
    spread = usual_spread(values, rate=rate)
    if spread > MAX_PLAUSIBLE_VOLTS:
        raise ValueProblem(
            f"{name} does not seem to be in volts",
            got=f"a median standard deviation of {spread:.3g} V in a second of EEG; a head makes about 1e-5 V",
            fix="it is probably in microvolts: read it with units='uV', "
            "or raw.apply_function(lambda x: x * 1e-6, picks='eeg') and save it again",
        )
    if 0 < spread < MIN_PLAUSIBLE_VOLTS:
        raise ValueProblem(
            f"{name} is far too small to be EEG in volts",
            got=f"a median standard deviation of {spread:.3g} V in a second of EEG; a head makes about 1e-5 V",
            fix="it was probably in volts already and scaled once more: read it with units='V'",
        )
