"""One small example of every type that travels."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.design import Design, Trial
from brainalign.core.joint import JointResult
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.result import EncodingResult, NullTest
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory

AXIS = TimeAxis(50, 20, t0="399/32000")
CHANNELS = ("Fz", "Cz", "Pz")
FEATURES = ("f0", "f1", "f2", "f3")
DONE = Provenance().then("made", by="a test", at=Fraction(1, 3))


@pytest.fixture
def positions() -> np.ndarray:
    return np.array([[0.0, 0.07, 0.05], [0.0, 0.0, 0.1], [0.0, -0.07, 0.05]])


@pytest.fixture
def stimulus(rng) -> Stimulus:
    return Stimulus("story", rng.normal(size=9), TimeAxis(16_000, 9), DONE)


@pytest.fixture
def dense_trajectory(rng) -> Trajectory:
    return Trajectory(rng.normal(size=(20, 4)), AXIS, FEATURES, DONE)


@pytest.fixture
def sparse_trajectory(rng) -> Trajectory:
    return Trajectory(sparse.random_array((20, 4), density=0.3, format="csr", rng=rng), AXIS, FEATURES, DONE)


@pytest.fixture
def empty_trajectory() -> Trajectory:
    return Trajectory(sparse.csr_array((0, 4)), AXIS.part(3, 3), FEATURES)


@pytest.fixture
def recording(rng, positions) -> Recording:
    places = positions.copy()
    places[1] = np.nan
    return Recording(
        values=rng.normal(size=(30, 3)) * 1e-6,
        axis=TimeAxis(128, 30, t0="1/3"),
        channels=CHANNELS,
        kinds=("eeg", "eeg", "eog"),
        positions=places,
        bads=("Pz",),
        onsets={"story": (Fraction(1, 7),), "word": (Fraction(0), Fraction(1, 128))},
        subject="01",
        run="2",
        provenance=DONE,
    )


@pytest.fixture
def trials(rng, dense_trajectory, sparse_trajectory) -> tuple[Trial, ...]:
    other = Trajectory(rng.normal(size=(8, 4)), TimeAxis(50, 8), FEATURES, DONE.then("again"))
    return tuple(
        Trial(name, x, rng.normal(size=(x.axis.n, 3)), rng.random(x.axis.n) > 0.2)
        for name, x in [("story", dense_trajectory), ("poem", sparse_trajectory), ("story", other)]
    )


@pytest.fixture
def design(trials, positions) -> Design:
    return Design(
        trials, Lags(-2, 5, 50), CHANNELS, positions, bands={"low": (0, 1), "high": (3,)}, subject="01", provenance=DONE
    )


@pytest.fixture
def encoding_result(rng, positions) -> EncodingResult:
    return EncodingResult(
        scores=rng.normal(size=(5, 4, 3)),
        alpha=rng.random((5, 4, 3)),
        coef=rng.normal(size=(4, 8, 3)),
        coef_alpha=rng.random((4, 3)),
        lags=Lags(-2, 5, 50),
        features=FEATURES,
        channels=CHANNELS,
        positions=positions,
        subject="01",
        provenance=DONE,
    )


@pytest.fixture
def joint_result(rng, positions) -> JointResult:
    return JointResult(
        scores=rng.normal(size=(5, 3)),
        alpha=rng.random((5, 2, 3)),
        coef=rng.normal(size=(4, 8, 3)),
        coef_alpha=rng.random((2, 3)),
        intercept=rng.normal(size=3),
        lags=Lags(-2, 5, 50),
        features=FEATURES,
        channels=CHANNELS,
        bands=("acoustic", "rest"),
        positions=positions,
        subject="01",
        provenance=DONE,
    )


@pytest.fixture
def null_test(rng) -> NullTest:
    return NullTest(
        observed=rng.normal(size=(4, 3)),
        null_mean=rng.normal(size=(4, 3)),
        null_sd=rng.random((4, 3)),
        p=rng.uniform(0.1, 1, size=(4, 3)),
        p_corrected=np.ones((4, 3)),
        maxima=rng.normal(size=10),
        features=FEATURES,
        channels=CHANNELS,
        statistic="r",
        scheme="circular shift within trials",
        assumption="stationarity",
        correction="maximum statistic",
        n_permutations=9,
        seed=0,
        provenance=DONE,
    )
