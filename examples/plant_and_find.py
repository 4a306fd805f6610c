"""Can features that drive a brain be found again? Plant two, look for them, and compare.

    python examples/plant_and_find.py

Everything is made on the spot: speech-like stories, a small encoder with random weights, a sparse coder trained on
it, and a listener. Two of the coder's features drive dipoles in the listener's head; the analysis is told neither.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import brainalign as ba
from brainalign.audio.synth import synthesise_speech
from brainalign.eeg.simulate import PLANTED_SITES, PlantedSource, ResponseKernel, simulate_listener
from brainalign.encoders.builtin import write_untrained_hubert
from brainalign.encoders.hugging import load_encoder
from brainalign.encoding.peaks import peak_latency
from brainalign.features.select import active_features
from brainalign.sae.settings import SaeTraining
from brainalign.sae.train import train_sae

N_STORIES, SECONDS, PAUSE, LAYER = 5, 30, 3, 2
SITE_AND_LATENCY, MICROVOLTS = (("temporal_left", 0.12), ("parietal_right", 0.22)), 3.0


def main() -> None:
    # Stories -> the encoder's frames -> sparse features, kept if active at least twice a second.
    stories = [synthesise_speech(f"story{i}", seconds=SECONDS, seed=i) for i in range(1, N_STORIES + 1)]
    with tempfile.TemporaryDirectory() as folder:
        encoder = load_encoder(write_untrained_hubert(Path(folder) / "encoder", seed=0))
        frames = {story.name: ba.encode(story, encoder, layer=LAYER) for story in stories}
    coder = train_sae(list(frames.values()), SaeTraining(k=8, expansion=1, n_steps=300, learning_rate=1e-3), seed=0)
    features = {name: coder.apply(item) for name, item in frames.items()}
    kept = active_features(list(features.values()), min_per_second=2)
    features = {name: item.select(kept) for name, item in features.items()}

    # The truth: two features, one dipole and one latency each.
    names = next(iter(features.values())).features
    truth = dict(zip((names[len(names) // 3], names[2 * len(names) // 3]), SITE_AND_LATENCY, strict=True))
    recording = listen(features, truth)

    # The analysis: sound and EEG in, maps out.
    design = ba.align(features, ba.clean(recording), lags=(-0.1, 0.4), trim=2)
    maps = ba.feature_maps(design, n_permutations=99, seed=0)

    n_found = (maps.p_corrected.min(axis=1) <= 0.05).sum()
    print(f"{n_found} of {len(maps.features)} features predict the EEG; the strongest:")
    for row in (maps.to_rows()[f] for f in maps.strongest(5)):
        response = maps.trf[maps.features.index(row["feature"]), :, maps.channels.index(row["channel"])]
        latency = 1000 * peak_latency(response, design.lags)
        site, planted = truth.get(row["feature"], ("", 0.0))
        told = f"planted: {site}, {1000 * planted:.0f} ms" if site else ""
        print(f"{row['feature']:>8}: r = {row['r']:.3f} at {row['channel']:<4} peak {latency:4.0f} ms  {told}".rstrip())


def listen(features: Mapping[str, ba.Trajectory], truth: Mapping[str, tuple[str, float]]) -> ba.Recording:
    """Simulate the EEG of a listener in whose head the planted features drive dipoles."""
    sources = [
        PlantedSource(
            name=name,
            drives={story: (one_feature(item, name), item.axis) for story, item in features.items()},
            kernel=ResponseKernel(latency=latency, width=0.06, undershoot=0.4),
            position=PLANTED_SITES[site].position,
            orientation=PLANTED_SITES[site].orientation,
            peak_microvolts=MICROVOLTS,
        )
        for name, (site, latency) in truth.items()
    ]
    onsets = {story: PAUSE + i * (SECONDS + PAUSE) for i, story in enumerate(features)}
    seconds = PAUSE + len(features) * (SECONDS + PAUSE)
    return ba.Recording.from_mne(simulate_listener(sources, onsets, seconds=seconds, seed=0, subject="01"))


def one_feature(features: ba.Trajectory, name: str) -> np.ndarray:
    """Return one feature's values, one per frame."""
    column = features.features.index(name)
    return features.block(column, column + 1)[:, 0]


if __name__ == "__main__":
    main()
