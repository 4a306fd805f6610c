"""Laws of trajectories, canonical JSON and artefacts, for any content."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from brainalign.core.artefact import Artefact, read_artefact, verify_artefact, write_artefact
from brainalign.core.hashing import array_digest, canonical_json, digest
from brainalign.core.saving import load, save
from brainalign.core.seeds import child_seed
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory, beside

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
PLAIN = (
    hnp.integer_dtypes() | hnp.floating_dtypes(sizes=(16, 32, 64)) | hnp.boolean_dtypes() | hnp.complex_number_dtypes()
)
ARRAYS = hnp.arrays(PLAIN, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))


@st.composite
def _trajectories(draw) -> tuple[Trajectory, Trajectory]:
    """The same numbers, sparse and dense."""
    shape = draw(st.tuples(st.integers(0, 12), st.integers(1, 6)))
    few = st.one_of(st.just(0.0), st.floats(-10, 10, width=32))
    values = draw(hnp.arrays(np.float32, shape, elements=few, fill=st.just(0.0)))
    axis = TimeAxis(draw(st.fractions(1, 100)), shape[0], draw(st.fractions(-5, 5)))
    names = tuple(f"f{i}" for i in range(shape[1]))
    return Trajectory(sparse.csr_array(values), axis, names), Trajectory(values, axis, names)


def _dense(trajectory: Trajectory) -> np.ndarray:
    return trajectory.block(0, trajectory.n_features)


@given(JSON, st.randoms(use_true_random=False))
def test_the_order_of_keys_never_shows(value, random):
    def shuffled(item):
        if isinstance(item, dict):
            keys = list(item)
            random.shuffle(keys)
            return {key: shuffled(item[key]) for key in keys}
        return [shuffled(inner) for inner in item] if isinstance(item, list) else item

    assert canonical_json(shuffled(value)) == canonical_json(value)
    assert digest(shuffled(value)) == digest(value)


@given(ARRAYS)
def test_a_digest_is_the_same_for_a_copy_in_another_layout(array):
    assert array_digest(array) == array_digest(np.asarray(array, order="F")) == array_digest(array.copy())


@given(st.integers(), st.lists(st.text(max_size=5), max_size=3))
def test_a_child_seed_fits_63_bits(seed, names):
    assert 0 <= child_seed(seed, *names) < 2**63


@given(JSON, st.dictionaries(st.from_regex(r"[a-z][a-z0-9_.-]{0,5}", fullmatch=True), ARRAYS, max_size=3))
def test_any_artefact_comes_back_bit_for_bit(meta, arrays):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        content = write_artefact(Artefact("thing", {"meta": meta}, arrays), path)
        back = read_artefact(path, mmap=False)
        assert verify_artefact(path) == content
    assert canonical_json(back.meta["meta"]) == canonical_json(meta)
    assert {name: array_digest(array) for name, array in back.arrays.items()} == {
        name: array_digest(array) for name, array in arrays.items()
    }


@given(_trajectories(), st.data())
def test_sparse_and_dense_trajectories_are_one(pair, data):
    one, other = pair
    columns = data.draw(st.lists(st.integers(0, one.n_features - 1), max_size=8))
    start = data.draw(st.integers(0, one.axis.n))
    stop = data.draw(st.integers(start, one.axis.n))
    for change in (
        lambda item: item,
        lambda item: item.select(columns),
        lambda item: item.frames(start, stop),
        lambda item: beside(item, item.renamed([f"g{i}" for i in range(item.n_features)])),
    ):
        left, right = change(one), change(other)
        assert left.is_sparse
        assert not right.is_sparse
        assert (left.axis, left.features) == (right.axis, right.features)
        assert left.density == right.density
        np.testing.assert_array_equal(_dense(left), _dense(right))


@given(_trajectories())
def test_a_trajectory_comes_back_from_disk_and_can_still_be_cut(pair):
    for item in pair:
        with TemporaryDirectory() as folder:
            back = load(save(item, Path(folder) / "t"))
            assert (back.axis, back.features, back.is_sparse) == (item.axis, item.features, item.is_sparse)
            np.testing.assert_array_equal(_dense(back.select([0])), _dense(item)[:, :1])
            np.testing.assert_array_equal(_dense(back), _dense(item))
