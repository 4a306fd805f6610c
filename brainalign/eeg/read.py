"""What is in this EEG file? Any format that MNE reads, checked before anyone believes it."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np

from brainalign.core.errors import MissingFile, NotFinite, UnreadableFile, ValueProblem, unknown_name
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording

# Ten times the largest EEG that a head produces, and a thousand times below microvolts read as volts.
MAX_PLAUSIBLE_VOLTS = 1e-3
ENDINGS = (
    ".ahdr",
    ".bdf",
    ".cdt",
    ".cnt",
    ".edf",
    ".eeg",
    ".fif",
    ".fif.gz",
    ".gdf",
    ".lay",
    ".mff",
    ".nxe",
    ".set",
    ".vhdr",
)


def read_eeg(
    path: str | Path, *, subject: str = "", session: str = "", run: str = "", montage: str | None = None
) -> Recording:
    """Read an EEG file.

    Parameters
    ----------
    path
        A file in any format of ``mne.io.read_raw`` (BDF, EDF, BrainVision ``.vhdr``,
        EEGLAB ``.set``, FIF, ...). BrainVision and EEGLAB keep their samples in a second file
        that must lie beside it.
    subject, session, run
        Whose recording it is.
    montage
        Name of one of MNE's standard montages (``"biosemi128"``, ``"standard_1005"``, ...) that
        gives the sensors their positions where the file holds none (BDF and EDF never do).

    Returns
    -------
    Recording
        All channels in volts (float64), with positions and bad channels as far as the
        file knows them and annotations as onsets.
    """
    path = Path(path)
    raw = _read_raw(path)
    _require_finite(raw, path)
    _require_volts(raw, path)
    if montage is not None:
        _place_sensors(raw, montage)
    placed = {} if montage is None else {"montage": montage}
    provenance = Provenance().then("read_eeg", file=path.name, **placed)
    return Recording.from_mne(raw, subject=subject, session=session, run=run, provenance=provenance)


def _place_sensors(raw: mne.io.BaseRaw, montage: str) -> None:
    known = mne.channels.get_builtin_montages()
    if montage not in known:
        raise unknown_name(montage, among=known, kind="standard montage")
    try:
        raw.set_montage(montage, match_case=False, verbose="error")
    except ValueError as error:
        raise ValueProblem(
            f"the montage {montage!r} does not know all EEG channels",
            got=str(error).splitlines()[0],
            fix="choose the montage of this cap, rename the channels, or mark channels that are no EEG as such",
        ) from error


def _read_raw(path: Path) -> mne.io.BaseRaw:
    if not path.exists():
        near = sorted(item.name for item in path.parent.glob(f"{path.stem}*")) if path.parent.is_dir() else []
        hint = f"beside it lie {', '.join(near[:4])}" if near else "check the folder and the spelling"
        raise MissingFile("there is no such EEG file", got=path.as_posix(), fix=hint)
    if not path.name.lower().endswith(ENDINGS):
        raise UnreadableFile(
            "this kind of file is not read as EEG",
            got=path.name,
            fix=f"convert it, or give the header file (.vhdr, .set); known: {', '.join(ENDINGS)}",
        )
    try:
        return mne.io.read_raw(path, preload=True, verbose="error")
    # Readers of damaged files fail in every way there is; all of them mean the same to the user.
    except Exception as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise UnreadableFile(
            "this EEG file cannot be read",
            got=f"{path.name}: {type(error).__name__}: {reason}",
            fix="copy it again from its source; a format with a header (.vhdr, .set) needs its data beside it",
        ) from error


def _require_finite(raw: mne.io.BaseRaw, path: Path) -> None:
    gaps = ~np.isfinite(raw.get_data())
    holed = gaps.any(axis=1)
    if not holed.any():
        return
    names = [name for name, hole in zip(raw.ch_names, holed, strict=True) if hole]
    first = int(np.flatnonzero(gaps.any(axis=0))[0])
    raise NotFinite(
        f"{path.name} holds values that are not finite",
        got=f"{len(names)} of {len(raw.ch_names)} channels ({', '.join(names[:8])}), "
        f"first at {first / raw.info['sfreq']:.3f} s",
        fix="cut the span with raw.crop, or set the gaps to 0 and mark those channels bad, and save the file again",
    )


def _require_volts(raw: mne.io.BaseRaw, path: Path) -> None:
    """Refuse EEG whose usual spread within a second no head could produce (slow drifts do not count)."""
    if "eeg" not in raw.get_channel_types():
        return
    values = raw.get_data(picks="eeg")
    window = max(2, round(raw.info["sfreq"]))
    n_windows = values.shape[1] // window
    windows = values[:, : n_windows * window].reshape(len(values), n_windows, window) if n_windows else values[:, None]
    spread = float(np.median(windows.std(axis=2)))
    if spread > MAX_PLAUSIBLE_VOLTS:
        raise ValueProblem(
            f"{path.name} does not seem to be in volts",
            got=f"a median standard deviation of {spread:.3g} V in a second of EEG; a head makes about 1e-5 V",
            fix="it is probably in microvolts: raw.apply_function(lambda x: x * 1e-6, picks='eeg'), and save it again",
        )
