"""Surrogates: what each keeps to the last digit, and what it destroys."""

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import pdist

from brainalign.core.errors import ShapeMismatch, UnknownName, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.features import surrogates
from brainalign.features.surrogates import PROJECTIONS, phase_randomised, random_projection, time_reversed

FORMS = {"dense": np.asarray, "sparse": sparse.csr_array}


def _trajectory(values, form="dense") -> Trajectory:
    axis = TimeAxis("16000/321", values.shape[0], t0="399/32000")
    names = [f"layer3-{i}" for i in range(values.shape[1])]
    return Trajectory(FORMS[form](values), axis, names, Provenance().then("encode"))


def _coloured(n: int, n_features: int = 5) -> np.ndarray:
    """Return features with lags between them, means, and bursts."""
    rng = np.random.default_rng(n)
    source = np.convolve(np.maximum(rng.standard_normal(n + 20), 1) - 1, np.hanning(9), "same")
    mixed = [np.roll(source, 2 * i)[:n] * (i + 1) + 0.3 * rng.standard_normal(n) for i in range(n_features)]
    return (np.array(mixed).T + np.arange(n_features)).astype(np.float32)


def _dense(trajectory: Trajectory) -> np.ndarray:
    return trajectory.block(0, trajectory.n_features).astype(float)


def _cross_spectra(values: np.ndarray) -> np.ndarray:
    spectra = np.fft.rfft(values, axis=0)
    return spectra[:, :, None] * spectra[:, None, :].conj()


@pytest.fixture
def matrix(rng) -> np.ndarray:
    return sparse.random_array((60, 8), density=0.2, rng=rng, dtype=np.float32).toarray()


class TestTimeReversed:
    """The same clock, played backwards."""

    @pytest.mark.parametrize("form", FORMS)
    def test_a_worked_example(self, form):
        one = time_reversed(_trajectory(np.array([[1, 0], [0, 2], [0, 0]], np.float32), form))
        np.testing.assert_array_equal(_dense(one), [[0, 0], [0, 2], [1, 0]])

    @pytest.mark.parametrize("form", FORMS)
    def test_twice_is_the_trajectory(self, matrix, form):
        one = _trajectory(matrix, form)
        back, once = time_reversed(time_reversed(one)), time_reversed(one)
        assert once.is_sparse == back.is_sparse == (form == "sparse")
        assert once.axis == back.axis == one.axis
        assert once.features == one.features
        assert [step.name for step in back.provenance.steps] == ["encode", "time_reversed", "time_reversed"]
        for name, array in one.pack().arrays.items():
            np.testing.assert_array_equal(back.pack().arrays[name], array, strict=True)

    def test_power_is_kept_and_the_course_is_not(self):
        values = _coloured(500)
        back = _dense(time_reversed(_trajectory(values)))
        np.testing.assert_allclose(
            np.abs(np.fft.rfft(back, axis=0)), np.abs(np.fft.rfft(values.astype(float), axis=0)), rtol=1e-9, atol=1e-9
        )
        assert abs(np.corrcoef(back[:, 0], values[:, 0])[0, 1]) < 0.3


class TestPhaseRandomised:
    """Spectra stay, the course goes."""

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("n", [499, 500, 512])
    def test_spectra_and_cross_spectra_are_kept(self, n, form):
        values = _coloured(n)
        one = _trajectory(values, form)
        turned = phase_randomised(one, seed=1)
        assert not turned.is_sparse
        assert turned.values.dtype == np.float32
        assert (turned.axis, turned.features) == (one.axis, one.features)
        before, after = _cross_spectra(values.astype(float)), _cross_spectra(_dense(turned))
        # The largest power of each pair is the measure: float32 rounds values, not frequencies.
        largest = np.sqrt(np.einsum("ii,jj->ij", *[np.abs(before).max(axis=0)] * 2))
        assert np.all(np.abs(after - before) <= 1e-6 * largest)
        np.testing.assert_allclose(_dense(turned).mean(axis=0), values.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(np.cov(_dense(turned).T), np.cov(values.T), rtol=1e-4)
        assert abs(np.corrcoef(_dense(turned)[:, 0], values[:, 0])[0, 1]) < 0.3

    def test_apart_keeps_each_spectrum_and_no_relation(self):
        values = _coloured(2_000, 2)
        turned = _dense(phase_randomised(_trajectory(values), seed=1, together=False))
        before, after = np.fft.rfft(values.astype(float), axis=0), np.fft.rfft(turned, axis=0)
        np.testing.assert_allclose(np.abs(after), np.abs(before), atol=1e-6 * np.abs(before).max())

        def shared(spectra):
            return np.abs(np.sum(spectra[1:, 0] * spectra[1:, 1].conj())) / np.prod(np.linalg.norm(spectra[1:], axis=0))

        lag_of_two = np.exp(2j * np.pi * np.fft.rfftfreq(2_000) * 2)[:, None] * [0, 1] + [1, 0]
        assert shared(before * lag_of_two) > 0.7
        assert shared(after * lag_of_two) < 0.2

    def test_angles_are_uniform_and_other_for_every_frequency(self):
        """A click has phase 0 at all frequencies, so what comes out are the angles themselves."""
        values = np.zeros((4_001, 1), np.float32)
        values[0] = 1
        angles = np.angle(np.fft.rfft(_dense(phase_randomised(_trajectory(values), seed=4))[:, 0])[1:])
        moments = [abs(np.mean(np.exp(1j * k * angles))) for k in (1, 2, 3)]
        # The mean of 2,000 unit vectors exceeds 0.07 once in 18,000 times.
        assert max(moments) < 0.07
        assert abs(np.mean(np.exp(1j * np.diff(angles)))) < 0.07

    @pytest.mark.parametrize("together", [True, False])
    def test_a_seed_is_its_bytes_whatever_the_block(self, together, monkeypatch):
        one = _trajectory(_coloured(300))
        first, again, other = (phase_randomised(one, seed=s, together=together).values for s in (1, 1, 2))
        assert first.tobytes() == again.tobytes()
        assert not np.allclose(first, other, atol=0.1)
        monkeypatch.setattr(surrogates, "_BLOCK_BYTES", 300 * 32 * 2)
        np.testing.assert_allclose(phase_randomised(one, seed=1, together=together).values, first, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("n", [0, 1, 2, 3])
    def test_hardly_any_frames(self, n):
        values = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
        turned = phase_randomised(_trajectory(values), seed=0)
        np.testing.assert_allclose(_dense(turned).sum(axis=0), values.sum(axis=0), atol=1e-6)

    def test_an_hour_of_an_sae_is_refused_before_it_is_made(self):
        names = tuple(map(str, range(6_144)))
        one = Trajectory(sparse.csr_array((180_000, 6_144), dtype=np.float32), TimeAxis(50, 180_000), names)
        with pytest.raises(ValueProblem, match=r"(?s)180000 frames of 6144 features: 4.1 GiB.*select features first"):
            phase_randomised(one, seed=0)


class TestRandomProjection:
    """Distances stay, features go."""

    @pytest.mark.parametrize("kind", PROJECTIONS)
    @pytest.mark.parametrize("form", FORMS)
    def test_one_map_for_all_trials(self, matrix, kind, form):
        one, other = _trajectory(matrix, form), _trajectory(matrix[20:50], form)
        whole, part = random_projection([one, other], n_features=5, seed=3, kind=kind)
        assert not whole.is_sparse
        assert whole.features == tuple(f"projection-{i}" for i in range(5))
        assert (whole.axis, part.axis) == (one.axis, other.axis)
        np.testing.assert_allclose(part.values, whole.values[20:50], rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("kind", PROJECTIONS)
    def test_it_is_linear(self, matrix, kind):
        double, single = random_projection(
            [_trajectory(2 * matrix), _trajectory(matrix)], n_features=4, seed=0, kind=kind
        )
        np.testing.assert_allclose(double.values, 2 * single.values, rtol=1e-6)

    @pytest.mark.parametrize("kind", PROJECTIONS)
    def test_the_bound_of_johnson_and_lindenstrauss(self, kind):
        n, share = 40, 0.5
        n_features = int(np.ceil(4 * np.log(n) / (share**2 / 2 - share**3 / 3)))
        values = np.random.default_rng(8).standard_normal((n, 900)).astype(np.float32)
        values[:, 500:] = 0
        before, off, few = pdist(values, "sqeuclidean"), [], []
        for seed in range(20):
            for size, found in ((n_features, off), (n_features // 8, few)):
                (after,) = random_projection([_trajectory(values)], n_features=size, seed=seed, kind=kind)
                found.append(pdist(after.values, "sqeuclidean") / before)
        assert np.mean(np.abs(np.array(off) - 1) >= share) <= 2 / n**2
        assert np.mean(np.abs(np.array(few) - 1) >= share) > 0.01, "with an eighth of the features it does not hold"
        # Unbiased: each seed's mean ratio has a standard deviation of about 0.02.
        np.testing.assert_allclose(np.mean(off), 1, atol=0.02)

    def test_weights_are_those_of_their_kind(self):
        eye = _trajectory(np.eye(400, dtype=np.float32))
        (signs,) = random_projection([eye], n_features=100, seed=1, kind="signs")
        values, counts = np.unique(signs.values * 10, return_counts=True)
        np.testing.assert_allclose(values, [-np.sqrt(3), 0, np.sqrt(3)], rtol=1e-6)
        np.testing.assert_allclose(counts / 40_000, [1 / 6, 2 / 3, 1 / 6], atol=0.01)
        (normal,) = random_projection([eye], n_features=100, seed=1)
        moments = [float(np.mean((normal.values * 10) ** k)) for k in (1, 2, 4)]
        np.testing.assert_allclose(moments, [0, 1, 3], atol=0.15)

    @pytest.mark.parametrize("kind", PROJECTIONS)
    def test_a_seed_is_its_bytes(self, matrix, kind):
        one = [_trajectory(matrix)]
        first, again, other = (
            random_projection(one, n_features=3, seed=seed, kind=kind)[0].values for seed in (1, 1, 2)
        )
        assert first.tobytes() == again.tobytes()
        assert not np.array_equal(first, other)

    def test_refusals(self, matrix):
        one = _trajectory(matrix)
        with pytest.raises(UnknownName, match="did you mean 'signs'"):
            random_projection([one], n_features=3, seed=0, kind="sign")
        with pytest.raises(ValueProblem, match="at least one feature"):
            random_projection([one], n_features=0, seed=0)
        with pytest.raises(ShapeMismatch, match="same features in the same order"):
            random_projection([one, one.select([0, 1])], n_features=3, seed=0)
