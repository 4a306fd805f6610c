"""The files that README.md speaks of, small: stories, an encoder, a sparse autoencoder and a recording."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from brainalign.audio.read import read_audio
from brainalign.audio.synth import synthesise_speech
from brainalign.eeg.simulate import PLANTED_SITES, PlantedSource, ResponseKernel, simulate_listener
from brainalign.encoders.builtin import write_untrained_hubert
from brainalign.encoders.hugging import load_encoder
from brainalign.sae.checkpoint import load_sae, save_sae
from brainalign.sae.settings import SaeTraining
from brainalign.sae.train import train_sae

N_STORIES, SECONDS, PAUSE, LAYER = 5, 20, 3, 2
FENCE = re.compile(r"```(?P<language>\w*)\n(?P<text>.*?)```", flags=re.DOTALL)


@dataclass(frozen=True)
class Files:
    """A folder as a reader of README.md has it, and the feature that drives the recording in it."""

    folder: Path
    planted: str

    @property
    def stories(self) -> list[Path]:
        return sorted(self.folder.glob("*.wav"))


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Files:
    folder = tmp_path_factory.mktemp("readme")
    for i in range(1, N_STORIES + 1):
        sound = synthesise_speech(f"chapter{i}", seconds=SECONDS, seed=i)
        soundfile.write(folder / f"chapter{i}.wav", sound.waveform, int(sound.axis.rate), subtype="FLOAT")
    sounds = [read_audio(folder / f"chapter{i}.wav") for i in range(1, N_STORIES + 1)]
    encoder = load_encoder(write_untrained_hubert(folder / "my-encoder", seed=0))
    frames = {sound.name: encoder.encode(sound, [LAYER])[LAYER] for sound in sounds}
    settings = SaeTraining(k=2, expansion=0.125, n_steps=200, learning_rate=1e-3)
    save_sae(train_sae(list(frames.values()), settings, seed=0), folder / "my-sae")
    coder = load_sae(folder / "my-sae")
    features = {name: coder.apply(item) for name, item in frames.items()}
    planted = _record(features, folder / "sub-01_eeg.fif")
    return Files(folder, planted)


def _record(features, path: Path) -> str:
    """Save a recording in which the most active feature drives the left temporal lobe."""
    total = sum(item.block(0, item.n_features).sum(axis=0) for item in features.values())
    column = int(total.argmax())
    site = PLANTED_SITES["temporal_left"]
    source = PlantedSource(
        name="planted",
        drives={name: (item.block(column, column + 1)[:, 0], item.axis) for name, item in features.items()},
        kernel=ResponseKernel(latency=0.15, width=0.06),
        position=site.position,
        orientation=site.orientation,
        peak_microvolts=5.0,
    )
    onsets = {name: PAUSE + i * (SECONDS + PAUSE) for i, name in enumerate(features)}
    seconds = PAUSE + len(features) * (SECONDS + PAUSE)
    raw = simulate_listener([source], onsets, seconds=seconds, seed=0, subject="01")
    raw.save(path, verbose="error")
    return next(iter(features.values())).features[column]


@pytest.fixture(scope="session")
def pages(root) -> list[Path]:
    """README.md and every page under docs/."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


@pytest.fixture(scope="session")
def blocks():
    """Read the fenced blocks of one language out of a page."""

    def read(page: Path, language: str) -> list[str]:
        found = FENCE.finditer(page.read_text(encoding="utf-8"))
        return [match["text"] for match in found if match["language"] == language]

    return read
