"""From sound to trajectories: stimuli, encoder frames, the sparse coder, its codes, acoustics."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from brainalign.core.artefact import Artefact
from brainalign.core.seeds import child_seed
from brainalign.core.stimulus import Stimulus
from brainalign.core.trajectory import Trajectory
from brainalign.pipeline.stage import Stage

UNTRAINED = "untrained-hubert"


def synthesise(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Make a speech-like sound from a seed of its own."""
    from brainalign.audio.synth import synthesise_speech

    seed = child_seed(settings["seed"], "stimulus", settings["name"])
    return synthesise_speech(settings["name"], seconds=settings["seconds"], seed=seed).pack()


def read_sound(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Read a sound file at its own rate."""
    from brainalign.audio.read import read_audio

    return read_audio(files[0], name=settings["name"]).pack()


def encode(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Run one sound through the encoder, or its untrained twin, at its rate, and keep one site of one layer."""
    from brainalign.audio.read import resample_audio
    from brainalign.encoders.causal import Causal
    from brainalign.encoders.hugging import load_encoder
    from brainalign.encoders.pace import Pace
    from brainalign.encoders.twin import untrained_twin

    stimulus, site = Stimulus.unpack(inputs["stimulus"]), (settings["site"], settings["layer"])
    windowing = Causal(settings["past_seconds"]) if settings["past_seconds"] else None
    with tempfile.TemporaryDirectory() as folder:
        source = _encoder_source(settings, files, Path(folder))
        encoder = load_encoder(source, revision=settings["revision"], windowing=windowing)
        if settings["twin"] and settings["source"] != UNTRAINED:
            encoder = untrained_twin(encoder, seed=child_seed(settings["seed"], "twin"))
        heard = resample_audio(stimulus, encoder.sample_rate)
        pace = Pace(encoder.axis(heard).rate)

        def tell(done: int, total: int) -> None:
            progress(done, total, pace.told(done, total))

        return encoder.encode_sites(heard, [site], progress=tell)[site].pack()


def _encoder_source(settings: Any, files: tuple[Path, ...], folder: Path) -> str | Path:
    from brainalign.encoders.builtin import write_untrained_hubert

    if settings["source"] == UNTRAINED:
        # The built-in model has learnt nothing itself: its twin is another draw.
        name = "twin" if settings["twin"] else "encoder"
        return write_untrained_hubert(folder / UNTRAINED, seed=child_seed(settings["seed"], name))
    return files[0] if files else settings["source"]


def train_coder(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Train a BatchTopK sparse autoencoder on the frames of all trials."""
    from brainalign.sae.settings import SaeTraining
    from brainalign.sae.train import train_sae

    training = SaeTraining(**settings["sae"].model_dump(exclude={"kind"}))
    frames = [Trajectory.unpack(item) for item in inputs["frames"]]
    return train_sae(frames, training, seed=child_seed(settings["seed"], "sae"), progress=progress).pack()


def load_coder(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Read a sparse autoencoder from disk, and give it a threshold where it came without one."""
    from brainalign.sae.calibrate import calibrate
    from brainalign.sae.checkpoint import load_sae

    coder = load_sae(files[0], layer=settings["layer"])
    if coder.needs_calibration:
        coder = calibrate(coder, [Trajectory.unpack(item) for item in inputs["frames"]])
    return coder.pack()


def measure_coder(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Measure the coder on frames it was not trained on."""
    from dataclasses import asdict

    from brainalign.sae.coder import SparseCoder
    from brainalign.sae.metrics import measure_sae

    frames = [Trajectory.unpack(item) for item in inputs["frames"]]
    quality = asdict(measure_sae(SparseCoder.unpack(inputs["coder"]), frames))
    return Artefact("sae-quality", {name: value for name, value in quality.items() if isinstance(value, (int, float))})


def code(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Turn one trial's frames into sparse features."""
    from brainalign.sae.apply import apply_sae
    from brainalign.sae.coder import SparseCoder

    coder, frames = SparseCoder.unpack(inputs["coder"]), Trajectory.unpack(inputs["frames"])
    return apply_sae(coder, frames, prefix=settings.get("prefix", "sae-")).pack()


def describe_sound(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Compute the acoustic baselines on the encoder's frame grid."""
    from brainalign.audio.acoustic import acoustic

    grid = Trajectory.unpack(inputs["frames"]).axis
    return acoustic(Stimulus.unpack(inputs["stimulus"]), settings["baselines"], axis=grid).pack()


SYNTHESISE = Stage("synthesise", 1, synthesise)
READ_SOUND = Stage("read-sound", 1, read_sound)
ENCODE = Stage("encode", 2, encode)
TRAIN_SAE = Stage("train-sae", 2, train_coder)
LOAD_SAE = Stage("load-sae", 1, load_coder)
MEASURE_SAE = Stage("measure-sae", 1, measure_coder)
CODE = Stage("code", 1, code)
ACOUSTICS = Stage("acoustics", 1, describe_sound)
