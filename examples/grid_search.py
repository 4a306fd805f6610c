"""Which lags, and which regulariser? A grid search and a pipeline with scikit-learn, over whole trials.

    python examples/grid_search.py

Speech-like stories drive two made-up channels through a response function of 300 ms; the search is not told so.
"""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import brainalign as ba
from brainalign.audio.acoustic import acoustic
from brainalign.audio.synth import synthesise_speech

RATE, N_STORIES, SECONDS, NOISE = 50, 6, 20, 1.5
NAMES = ("envelope", "onsets")


def main() -> None:
    rng = np.random.default_rng(0)
    stories = [synthesise_speech(f"story{i}", seconds=SECONDS, seed=i) for i in range(N_STORIES)]
    axis = ba.TimeAxis(RATE, SECONDS * RATE)
    sounds = [acoustic(story, NAMES, axis=axis) for story in stories]  # one Trajectory per story
    brains = [listen(sound.block(1, 2)[:, 0], rng) for sound in sounds]

    grid = {
        "lags": [(0, 0.1), (0, 0.3)],
        "regulariser": ["ridge", "tikhonov-1"],
        "penalties": [0.001, 0.1, 10.0],
    }
    search = GridSearchCV(ba.TRF(rate=RATE, scoring="r"), grid, cv=3).fit(sounds, brains)
    best = search.best_params_
    print(f"{len(search.cv_results_['params'])} models, each tried on whole stories that it was not fitted on")
    print(f"best: lags 0 to {1000 * best['lags'][1]:.0f} ms, {best['regulariser']}, penalty {best['penalties']:g}")
    print(f"held out: r = {search.best_score_:.2f}")

    # The choice of features belongs inside the folds as well: a pipeline sees to that.
    maps = ba.FeatureMaps(rate=RATE, lags=best["lags"], n_folds=3, n_best=1)
    chain = make_pipeline(maps, ba.TRF(rate=RATE, **best, scoring="r"))
    r = cross_val_score(chain, sounds, brains, cv=3).mean()
    kept = ", ".join(chain.fit(sounds, brains)[0].get_feature_names_out())
    print(f"kept by FeatureMaps: {kept}; r of the pipeline: {r:.2f}")


def listen(drive: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return two channels that follow a signal for 300 ms, in noise, ``(n_frames, 2)``."""
    seconds = np.arange(0, 0.3, 1 / RATE)
    response = np.convolve(drive, np.sin(2 * np.pi * seconds / 0.3))[: len(drive)]
    clean = np.stack([response, -0.5 * response], axis=1) / response.std()
    return clean + NOISE * rng.standard_normal(clean.shape)


if __name__ == "__main__":
    main()
