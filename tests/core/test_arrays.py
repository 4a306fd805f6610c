"""Guards on arrays."""

import numpy as np
import pytest
from scipy import sparse

from brainalign.core import arrays
from brainalign.core.arrays import read_only, read_only_csr, require_finite, require_shape
from brainalign.core.errors import NotFinite, ShapeMismatch


def test_a_read_only_view_leaves_the_callers_array_as_it_was(rng):
    mine = rng.normal(size=5)
    view = read_only(mine)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    mine[0] = 7
    assert view[0] == 7


def test_canonical_csr_shares_its_buffers(rng):
    matrix = sparse.random_array((20, 9), density=0.2, format="csr", rng=rng)
    frozen = read_only_csr(matrix)
    assert all(np.shares_memory(getattr(frozen, part), getattr(matrix, part)) for part in ("data", "indices", "indptr"))
    assert not any(getattr(frozen, part).flags.writeable for part in ("data", "indices", "indptr"))
    assert matrix.data.flags.writeable


def test_unsorted_and_doubled_entries_are_put_in_order_in_a_copy():
    data, indices, indptr = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2, 0, 2, 1]), np.array([0, 3, 4])
    matrix = sparse.csr_array((data, indices, indptr), shape=(2, 3))
    frozen = read_only_csr(matrix)
    np.testing.assert_array_equal(frozen.indices, [0, 2, 1])
    np.testing.assert_array_equal(frozen.data, [2, 4, 4])
    np.testing.assert_array_equal(matrix.indices, [2, 0, 2, 1])
    np.testing.assert_array_equal(frozen.toarray(), matrix.toarray())


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("chunk", [4, 1 << 22])
def test_the_first_bad_value_is_named_in_any_layout(rng, monkeypatch, order, chunk):
    monkeypatch.setattr(arrays, "_FINITE_CHUNK", chunk)
    array = np.array(rng.normal(size=(7, 3)), order=order)
    require_finite(array, name="it", fix="mend it")
    array[4, 1], array[5, 0] = np.nan, np.inf
    with pytest.raises(NotFinite, match=r"(?s)it holds.*2 of 21, the first at \(4, 1\).*mend it"):
        require_finite(array, name="it", fix="mend it")


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (1,)])
def test_empty_arrays_are_finite(shape):
    require_finite(np.zeros(shape), name="it", fix="mend it")


def test_integers_are_finite():
    require_finite(np.arange(4), name="it", fix="mend it")


def test_a_wrong_shape_is_told_with_its_axes():
    with pytest.raises(ShapeMismatch, match=r"(?s)y must have shape \(3, 2\) \(frames, channels\).*got: \(2, 3\)"):
        require_shape((2, 3), (3, 2), name="y", axes="frames, channels")
