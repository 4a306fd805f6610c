"""When and where does one listener's brain follow the loudness of speech? A classic response function.

Without arguments, a listener is simulated whose auditory cortex answers every rise of the sound 100 ms later:

    python examples/one_listener.py

With your own files (five stories or more; in the recording, an annotation named after each sound file, without
its ending, marks when that sound began):

    python examples/one_listener.py sub-01_eeg.fif story1.wav story2.wav story3.wav story4.wav story5.wav
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import brainalign as ba
from brainalign.audio.acoustic import acoustic
from brainalign.audio.synth import synthesise_speech
from brainalign.eeg.simulate import PLANTED_SITES, PlantedSource, ResponseKernel, simulate_listener

RATE = 50
N_STORIES, SECONDS, PAUSE = 5, 30, 3
REPORT = Path("runs/one_listener/maps.html")


def main() -> None:
    if len(sys.argv) > 1:
        recording = ba.read_eeg(sys.argv[1])
        stories = [ba.read_audio(path) for path in sys.argv[2:]]
    else:
        stories = [synthesise_speech(f"story{i}", seconds=SECONDS, seed=i) for i in range(1, N_STORIES + 1)]
        recording = imaginary_listener(stories)

    # The sound's envelope and its rises, 50 times a second.
    features = {story.name: loudness(story) for story in stories}

    # Band 1 to 15 Hz, bad channels interpolated, average reference, eyes regressed out.
    clean = ba.clean(recording, low=1, high=15)

    # From 100 ms before to 400 ms after the sound; 2 s are cut from both ends of each story.
    design = ba.align(features, clean, lags=(-0.1, 0.4), trim=2)

    # One model per feature and channel, tested against 999 rotations of the stories.
    maps = ba.feature_maps(design, n_permutations=999, seed=0)

    for row in maps.to_rows():
        print(f"{row['feature']:>10}: r = {row['r']:.3f} at {row['channel']}, corrected p = {row['p_corrected']:.3f}")
    print("report:", maps.to_html(REPORT, top=2))


def loudness(story: ba.Stimulus) -> ba.Trajectory:
    """Compute the envelope and the onsets on a clock of our own choice (first sample 1/50 s into the sound)."""
    axis = ba.TimeAxis(RATE, int(story.axis.duration * RATE) - 2, t0=ba.TimeAxis(RATE, 1).step)
    return acoustic(story, ("envelope", "onsets"), axis=axis)


def imaginary_listener(stories: Sequence[ba.Stimulus]) -> ba.Recording:
    """Simulate EEG in which the left auditory cortex answers every rise of the sound after 100 ms."""
    heard = {story.name: loudness(story) for story in stories}
    site = PLANTED_SITES["auditory_left"]
    cortex = PlantedSource(
        name="rises",
        drives={name: (sound.block(1, 2)[:, 0], sound.axis) for name, sound in heard.items()},
        kernel=ResponseKernel(latency=0.1, width=0.06),
        position=site.position,
        orientation=site.orientation,
        peak_microvolts=1.5,
    )
    onsets = {story.name: PAUSE + i * (SECONDS + PAUSE) for i, story in enumerate(stories)}
    seconds = PAUSE + len(stories) * (SECONDS + PAUSE)
    return ba.Recording.from_mne(simulate_listener([cortex], onsets, seconds=seconds, seed=0, subject="01"))


if __name__ == "__main__":
    main()
