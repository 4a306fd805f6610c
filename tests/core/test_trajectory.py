"""Features over time, dense and sparse alike."""

import pickle

import joblib
import numpy as np
import pytest
from scipy import sparse

from brainalign.core.errors import DamagedArtefact, GridMismatch, ShapeMismatch, ValueProblem
from brainalign.core.saving import load, save
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory, beside

AXIS = TimeAxis(50, 12, t0="0.01247")


@pytest.fixture
def matrix(rng) -> sparse.csr_array:
    return sparse.random_array((12, 7), density=0.3, format="csr", dtype=np.float32, rng=rng)


@pytest.fixture
def features() -> tuple[str, ...]:
    return tuple(f"f{i}" for i in range(7))


@pytest.fixture
def sparse_one(matrix, features) -> Trajectory:
    return Trajectory(matrix, AXIS, features)


@pytest.fixture
def dense_one(matrix, features) -> Trajectory:
    return Trajectory(matrix.toarray(), AXIS, features)


def _dense(trajectory: Trajectory) -> np.ndarray:
    return trajectory.block(0, trajectory.n_features)


class TestForm:
    """What goes in, and what the caller keeps."""

    def test_the_callers_arrays_are_neither_changed_nor_frozen(self, matrix, features, rng):
        mine = rng.normal(size=(12, 7)).astype(np.float32)
        for values in (mine, matrix):
            held = Trajectory(values, AXIS, features).values
            parts = (
                [(held, values)]
                if isinstance(values, np.ndarray)
                else [(getattr(held, part), getattr(values, part)) for part in ("data", "indices", "indptr")]
            )
            for kept, given in parts:
                assert np.shares_memory(kept, given)
                assert given.flags.writeable
                assert not kept.flags.writeable

    @pytest.mark.parametrize("form", ["csc", "coo", "csr"])
    def test_any_sparse_form_becomes_csr_of_float32(self, matrix, features, form):
        held = Trajectory(matrix.astype(float).asformat(form), AXIS, features)
        assert held.is_sparse
        assert isinstance(held.values, sparse.csr_array)
        assert held.values.dtype == np.float32
        np.testing.assert_array_equal(_dense(held), matrix.toarray())

    def test_equal_content_has_equal_parts_whatever_the_order_it_came_in(self, matrix, features):
        flipped = sparse.csr_array(matrix[:, ::-1])[:, ::-1]
        shuffled = matrix.tocoo()
        order = np.arange(shuffled.nnz)[::-1]
        doubled = sparse.coo_array(
            (np.tile(shuffled.data[order] / 2, 2), tuple(np.tile(axis[order], 2) for axis in shuffled.coords)),
            matrix.shape,
        )
        expected = Trajectory(matrix, AXIS, features).pack().arrays
        for other in (flipped, doubled):
            arrays = Trajectory(other, AXIS, features).pack().arrays
            for name, array in expected.items():
                np.testing.assert_array_equal(arrays[name], array)

    def test_density_counts_what_is_not_zero(self, features):
        values = sparse.csr_array((np.array([1.0, 0.0]), np.array([0, 1]), np.array([0, 2] + [2] * 11)), shape=(12, 7))
        assert Trajectory(values, AXIS, features).density == 1 / 84
        assert Trajectory(values.toarray(), AXIS, features).density == 1 / 84
        assert Trajectory(np.zeros((0, 7)), AXIS.part(0, 0), features).density == 0

    @pytest.mark.parametrize("shape", [(7, 12), (12, 6), (12,), (12, 7, 1)])
    def test_a_wrong_shape_is_refused(self, shape, features):
        with pytest.raises(ShapeMismatch, match="values must"):
            Trajectory(np.zeros(shape), AXIS, features)


class TestParts:
    """Blocks, selections and stretches of time: sparse and dense agree."""

    @pytest.mark.parametrize("columns", [[3], [5, 0, 5], [], [-1, 2], np.array([True, False] * 3 + [True])])
    def test_select(self, sparse_one, dense_one, columns):
        one, other = sparse_one.select(columns), dense_one.select(columns)
        assert one.is_sparse
        assert not other.is_sparse
        assert one.features == other.features
        np.testing.assert_array_equal(_dense(one), _dense(other))
        np.testing.assert_array_equal(_dense(other), dense_one.values[:, columns])

    def test_frames(self, sparse_one, dense_one):
        one, other = sparse_one.frames(3, 9), dense_one.frames(3, 9)
        assert one.axis == other.axis == AXIS.part(3, 9)
        np.testing.assert_array_equal(_dense(one), dense_one.values[3:9])
        np.testing.assert_array_equal(_dense(one), _dense(other))

    def test_block_is_dense_float32(self, sparse_one, dense_one):
        for one in (sparse_one, dense_one):
            block = one.block(2, 5)
            assert block.shape == (12, 3)
            assert block.dtype == np.float32
        np.testing.assert_array_equal(sparse_one.block(2, 5), dense_one.block(2, 5))

    def test_columns_outside_are_refused(self, sparse_one):
        with pytest.raises(ValueProblem, match=r"(?s)column 7 of 7 features.*use 0 to 6"):
            sparse_one.select([0, 7])
        with pytest.raises(ShapeMismatch, match="a mask of features"):
            sparse_one.select(np.array([True, False]))

    def test_frames_outside_are_refused(self, sparse_one):
        with pytest.raises(ValueProblem, match="a part must lie inside its signal"):
            sparse_one.frames(3, 13)

    def test_renamed_keeps_the_numbers(self, sparse_one):
        other = sparse_one.renamed("abcdefg")
        assert other.features == tuple("abcdefg")
        assert other.values.nnz == sparse_one.values.nnz

    def test_nothing_is_copied_to_a_dense_whole(self, rng):
        """One hour of an SAE is 4.4 GB dense: a block of it must not make that."""
        wide = sparse.random_array((180_000, 6_144), density=1e-4, format="csr", dtype=np.float32, rng=rng)
        one = Trajectory(wide, TimeAxis(50, 180_000), tuple(map(str, range(6_144))))
        assert one.block(10, 12).nbytes == 180_000 * 2 * 4
        assert one.select([5, 6]).is_sparse


class TestBeside:
    """Features side by side on one clock."""

    def test_sparse_stays_sparse_and_equals_dense(self, sparse_one, dense_one):
        names = tuple("abcdefg")
        one = beside(sparse_one, sparse_one.renamed(names))
        other = beside(dense_one, sparse_one.renamed(names))
        assert one.is_sparse
        assert not other.is_sparse
        assert one.features == other.features == (*dense_one.features, *names)
        np.testing.assert_array_equal(_dense(one), _dense(other))
        np.testing.assert_array_equal(_dense(one), np.tile(dense_one.values, 2))

    def test_another_clock_is_refused(self, dense_one, rng):
        late = Trajectory(rng.normal(size=(12, 1)), AXIS.moved("1/1000"), ("late",))
        with pytest.raises(GridMismatch, match="not on one time axis"):
            beside(dense_one, late)

    def test_one_name_twice_is_refused(self, dense_one):
        with pytest.raises(ValueProblem, match="'f3' twice"):
            beside(dense_one, dense_one.select([3]))

    def test_nothing_is_refused(self):
        with pytest.raises(ValueProblem, match="nothing to put side by side"):
            beside()


def _same(trajectory: Trajectory) -> Trajectory:
    return trajectory


class TestTravel:
    """To disk, to a worker, and back."""

    @pytest.mark.parametrize("which", ["sparse_one", "dense_one"])
    def test_memory_mapped_values_can_be_used(self, request, which, tmp_path):
        one = request.getfixturevalue(which)
        back = load(save(one, tmp_path / "t"))
        assert isinstance(_owner(back.stored), np.memmap)
        assert back.axis == one.axis
        np.testing.assert_array_equal(_dense(back), _dense(one))
        np.testing.assert_array_equal(_dense(back.select([4, 1])), _dense(one)[:, [4, 1]])
        np.testing.assert_array_equal(_dense(back.frames(2, 5)), _dense(one)[2:5])

    @pytest.mark.parametrize("which", ["sparse_one", "dense_one"])
    def test_a_worker_gets_and_returns_the_same(self, request, which, tmp_path):
        one = load(save(request.getfixturevalue(which), tmp_path / "t"))
        _dense(one)
        for back in joblib.Parallel(n_jobs=2, max_nbytes=10)(joblib.delayed(_same)(one) for _ in range(2)):
            assert (back.axis, back.features) == (one.axis, one.features)
            np.testing.assert_array_equal(_dense(back), _dense(one))

    def test_the_column_index_stays_at_home(self, sparse_one):
        before = len(pickle.dumps(sparse_one))
        sparse_one.block(0, 1)
        assert len(pickle.dumps(sparse_one)) == before

    @pytest.mark.parametrize(("part", "value"), [("indices", 99), ("indices", -1), ("indptr", 10**6)])
    def test_a_wrong_column_number_never_reaches_compiled_code(self, sparse_one, part, value):
        artefact = sparse_one.pack()
        wrong = artefact.arrays[part].copy()
        wrong[1] = value
        artefact.arrays[part] = wrong
        with pytest.raises(DamagedArtefact, match="do not fit together"):
            Trajectory.unpack(artefact)


def _owner(array: np.ndarray) -> object:
    while isinstance(array.base, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return array
