"""One untrained encoder for the whole room, and some sound to give it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.encoders.builtin import write_untrained_hubert
from brainalign.encoders.hugging import HuggingEncoder, load_encoder


def babble(seconds: float, *, seed: int = 0, rate: int = 16_000) -> Stimulus:
    """Return noise whose loudness and colour change at random, a few times per second."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate)
    knots = np.linspace(0, n, max(4, int(8 * seconds)))
    white = rng.standard_normal(n + 8)
    bright, dark = np.diff(white)[:n], np.convolve(white, np.ones(8) / 3, "valid")[:n]
    gains = [np.interp(np.arange(n), knots, rng.uniform(0, 1, knots.size) ** 3) for _ in range(2)]
    return Stimulus("babble", 0.05 * (gains[0] * bright + gains[1] * dark), TimeAxis(rate, n))


@pytest.fixture(scope="session")
def sound() -> Callable[..., Stimulus]:
    return babble


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_untrained_hubert(tmp_path_factory.mktemp("encoders") / "untrained", seed=0)


@pytest.fixture(scope="session")
def encoder(untrained: Path) -> HuggingEncoder:
    return load_encoder(untrained)
