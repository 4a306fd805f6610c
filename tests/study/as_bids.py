"""A simulated study's data as a BIDS dataset: a run per story, in BrainVision files, with events."""

from fractions import Fraction
from math import ceil, floor
from pathlib import Path

from brainalign.core.recording import Recording
from brainalign.core.stimulus import Stimulus
from brainalign.pipeline.outputs import Results
from tests.datasets.replicas import DATASET_DESCRIPTION, write_brainvision
from tests.study.exported import write_sound
from tests.study.worlds import tiny_values, write_config

AROUND_S = Fraction(5, 2)


def write_dataset(results: Results, root: Path) -> Path:
    """Write sounds, runs and a configuration that names them; return the configuration."""
    (root / "stimuli").mkdir(parents=True)
    (root / "dataset_description.json").write_text(DATASET_DESCRIPTION, encoding="utf-8")
    stimuli = [Stimulus.unpack(item) for item in results.all("stimulus")]
    sounds = [write_sound(stimulus, root / "stimuli") for stimulus in stimuli]
    for item in results.all("recording"):
        recording = Recording.unpack(item)
        for number, stimulus in enumerate(stimuli, start=1):
            write_run(recording, stimulus, root, run=f"{number:02d}")
    values = {
        **tiny_values(),
        "name": "bids",
        "stimuli": {"kind": "files", "files": [f"stimuli/{path.name}" for path in sounds]},
        "listeners": {"kind": "bids", "folder": ".", "montage": "biosemi64"},
    }
    return write_config(root / "study.yaml", values)


def write_run(recording: Recording, stimulus: Stimulus, root: Path, *, run: str) -> None:
    """Cut one story out of a recording, with the seconds around it; the onset falls between samples."""
    rate, onset = recording.axis.rate, recording.onset(stimulus.name)
    first = floor((onset - AROUND_S) * rate)
    last = ceil((onset + stimulus.axis.duration + AROUND_S) * rate)
    stem = root / f"sub-{recording.subject}" / "eeg" / f"sub-{recording.subject}_task-story_run-{run}_eeg"
    write_brainvision(stem, 1e6 * recording.values[first:last], rate=int(rate), names=list(recording.channels))
    stem.with_suffix(".json").write_text(f'{{"TaskName": "story", "SamplingFrequency": {rate}}}', encoding="utf-8")
    kinds = "".join(
        f"{name}\t{kind.upper()}\tuV\tgood\n" for name, kind in zip(recording.channels, recording.kinds, strict=True)
    )
    _beside(stem, "channels").write_text(f"name\ttype\tunits\tstatus\n{kinds}", encoding="utf-8")
    told = float(onset - Fraction(first) / rate)
    events = f"{told:.9f}\t{float(stimulus.axis.duration)}\tstory\tstimuli/{stimulus.name}.wav\n"
    _beside(stem, "events").write_text(f"onset\tduration\ttrial_type\tstim_file\n{events}", encoding="utf-8")


def _beside(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name.removesuffix("eeg") + f"{suffix}.tsv")
