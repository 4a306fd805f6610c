"""A simulated study's data written as the files that a laboratory would have."""

from pathlib import Path

import numpy as np
import soundfile

from brainalign.core.recording import Recording
from brainalign.core.stimulus import Stimulus
from brainalign.pipeline.outputs import Results
from tests.study.worlds import tiny_values, write_config


def export(results: Results, folder: Path) -> Path:
    """Write sounds and recordings beside a configuration that names them; return the configuration."""
    sounds = [write_sound(Stimulus.unpack(item), folder) for item in results.all("stimulus")]
    recordings = [write_recording(Recording.unpack(item), folder) for item in results.all("recording")]
    values = {
        **tiny_values(),
        "name": "files",
        "stimuli": {"kind": "files", "files": [path.name for path in sounds]},
        "listeners": {
            "kind": "files",
            "recordings": [{"file": path.name, "subject": path.name[4:6]} for path in recordings],
        },
    }
    return write_config(folder / "study.yaml", values)


def write_sound(stimulus: Stimulus, folder: Path) -> Path:
    """Write a sound as a WAV file of 32-bit floats, which changes no sample."""
    path = folder / f"{stimulus.name}.wav"
    soundfile.write(path, np.asarray(stimulus.waveform), int(stimulus.axis.rate), subtype="FLOAT")
    return path


def write_recording(recording: Recording, folder: Path, *, name: str = "") -> Path:
    """Write a recording as a FIF file, annotations named after the stimuli."""
    path = folder / (name or f"sub-{recording.subject}_eeg.fif")
    recording.to_mne().save(path, fmt="double", overwrite=True, verbose="error")
    return path
