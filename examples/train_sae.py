"""Where does a sparse autoencoder come from? Train one on your own sounds, and look whether it is any good.

    python examples/train_sae.py                                # made-up sounds, an encoder with random weights
    python examples/train_sae.py facebook/hubert-base-ls960 9 story1.wav story2.wav story3.wav

The last sound is kept for the test. The folder written is in SAELens' layout: `brainalign.load_sae` reads it, and so
does a study with `sae: {kind: load, path: ...}`. An hour of sound and n_steps=20_000 are a better start than this.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import brainalign as ba
from brainalign.audio.synth import synthesise_speech
from brainalign.encoders.builtin import write_untrained_hubert
from brainalign.encoders.hugging import load_encoder
from brainalign.sae.checkpoint import save_sae
from brainalign.sae.metrics import measure_sae
from brainalign.sae.settings import SaeTraining
from brainalign.sae.train import train_sae

FOLDER = Path("runs/train_sae/sae")


def main() -> None:
    if len(sys.argv) > 3:
        encoder, layer = load_encoder(sys.argv[1]), int(sys.argv[2])
        sounds = [ba.read_audio(path) for path in sys.argv[3:]]
    else:
        with tempfile.TemporaryDirectory() as folder:
            encoder, layer = load_encoder(write_untrained_hubert(Path(folder) / "encoder", seed=0)), 2
        sounds = [synthesise_speech(f"story{i}", seconds=30, seed=i) for i in range(4)]

    # Hidden state 0 is the convolutional front end's output; k is the output of block k.
    *training, test = [ba.encode(sound, encoder, layer=layer) for sound in sounds]

    # On average 12 of the features are active in a frame.
    settings = SaeTraining(k=12, expansion=4, n_steps=300, learning_rate=1e-3)
    coder = train_sae(training, settings, seed=0)

    quality = measure_sae(coder, [test])
    print(f"on a sound it was not trained on ({quality.n_frames} frames):")
    print(f"active features per frame: {quality.l0:.1f} of {coder.d_sae}")
    print(f"explained variance:        {quality.explained_variance:.2f}")
    print(f"features ever active:      {quality.alive_share:.0%}")
    print("sparse autoencoder:", save_sae(coder, FOLDER))


if __name__ == "__main__":
    main()
