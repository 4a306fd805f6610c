"""What is measured in a process of its own? A long sound on its way to the disk, and the memory it takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks._encoders_models import RATE
from benchmarks._engine_job import Outcome
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.stream import encode_to


def stream(_: None, *, model: str, sound: str, folder: str, memory: str) -> Outcome:
    """Load a model and a sound, and encode the one with the other into a folder."""
    waveform = np.load(sound)
    stimulus = Stimulus("long", waveform, TimeAxis(RATE, waveform.size))
    encoder = replace(load_encoder(model), memory=memory)
    last = ("residual", encoder.n_layers)
    states = encode_to(Path(folder), encoder, stimulus=stimulus, wanted=[last])[last]
    windows = states.provenance.steps[-1].parameters["windows"]
    return Outcome(facts={"frames": states.axis.n, "windows": windows, "sound_mb": waveform.nbytes / 1e6})
