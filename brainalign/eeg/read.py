"""What is in this EEG file? Any format that MNE reads, checked before anyone believes it."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np

from brainalign.core.errors import MissingFile, MissingPackage, NotFinite, UnreadableFile
from brainalign.core.montage import place_sensors
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.volts import require_volts, volts_per

ENDINGS = (
    ".ahdr", ".bdf", ".cdt", ".cnt", ".con", ".dap", ".dat", ".data", ".ds", ".edf", ".eeg", ".fif", ".fif.gz", ".gdf",
    ".lay", ".mefd", ".mff", ".nedf", ".ns3", ".nxe", ".raw", ".rs3", ".set", ".sqd", ".vhdr",
)  # fmt: skip
# What looks like a recording and is read elsewhere: ending -> by what.
ELSEWHERE = {
    ".mat": "read .mat files with brainalign.datasets (read_broderick, read_cnd, read_cocoha, read_fieldtrip)",
    ".h5": "read HDF5 parts with brainalign.datasets.hdf5.read_hdf5_parts",
    ".hdf5": "read HDF5 parts with brainalign.datasets.hdf5.read_hdf5_parts",
    ".fdt": "give the .set file that lies beside it",
    ".vmrk": "give the .vhdr file that lies beside it",
    ".gz": "unpack it first (gunzip); of compressed files only .fif.gz is read as it is",
}


def read_eeg(
    path: str | Path,
    *,
    subject: str = "",
    session: str = "",
    run: str = "",
    montage: str | Path | None = None,
    units: str = "V",
) -> Recording:
    """Read an EEG file.

    Parameters
    ----------
    path
        A file in any format of ``mne.io.read_raw`` (BDF, EDF, BrainVision ``.vhdr``,
        EEGLAB ``.set``, FIF, CNT, EGI ``.mff`` and ``.raw``, ...). BrainVision and EEGLAB keep
        their samples in a second file that must lie beside it.
    subject, session, run
        Whose recording it is.
    montage
        Name of one of MNE's standard montages (``"biosemi128"``, ``"standard_1005"``, ...) or a
        file of positions, for files that hold none (BDF and EDF never do).
    units
        What the file's EEG and EOG numbers are when MNE takes them for volts: ``"V"``, ``"mV"``,
        ``"uV"`` or ``"nV"``. Most formats say so themselves, and ``"V"`` is right.

    Returns
    -------
    Recording
        All channels in volts (float64), with positions and bad channels as far as the
        file knows them and annotations as onsets.
    """
    path = Path(path)
    scale = volts_per(units)
    raw = _read_raw(path)
    _require_finite(raw, path)
    if scale != 1:
        raw.apply_function(lambda values: values * scale, picks=["eeg", "eog"], verbose="error")
    if "eeg" in raw.get_channel_types():
        require_volts(raw.get_data(picks="eeg"), rate=raw.info["sfreq"], name=path.name)
    if montage is not None:
        place_sensors(raw, montage)
    told = {} if montage is None else {"montage": Path(montage).name}
    told |= {} if units == "V" else {"units": units}
    provenance = Provenance().then("read_eeg", file=path.name, **told)
    return Recording.from_mne(raw, subject=subject, session=session, run=run, provenance=provenance)


def _read_raw(path: Path) -> mne.io.BaseRaw:
    if not path.exists():
        near = sorted(item.name for item in path.parent.glob(f"{path.stem}*")) if path.parent.is_dir() else []
        hint = f"beside it lie {', '.join(near[:4])}" if near else "check the folder and the spelling"
        raise MissingFile("there is no such EEG file", got=path.as_posix(), fix=hint)
    if not path.name.lower().endswith(ENDINGS):
        known = f"convert it, or give the header file (.vhdr, .set); known: {', '.join(ENDINGS)}"
        raise UnreadableFile(
            "this kind of file is not read as EEG", got=path.name, fix=ELSEWHERE.get(path.suffix.lower(), known)
        )
    # MNE tells most formats by their ending; EGI's simple binary is the one that it does not.
    read = mne.io.read_raw_egi if path.suffix.lower() == ".raw" else mne.io.read_raw
    try:
        return read(path, preload=True, verbose="error")
    except ImportError as error:
        raise MissingPackage(
            f"MNE needs another package to read {path.name}",
            got=str(error).splitlines()[0],
            fix="pip install it into this environment (EEGLAB 7.3 and EGI: pip install 'brainalign[mat]' defusedxml)",
        ) from error
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
