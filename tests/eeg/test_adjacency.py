"""Neighbours on the head, and positions that have none."""

import numpy as np
import pytest

from brainalign.core.errors import ValueProblem
from brainalign.eeg.adjacency import channel_adjacency

NAMES = tuple(f"E{i}" for i in range(64))


@pytest.fixture
def places():
    rng = np.random.default_rng(0)
    way = rng.standard_normal((64, 3))
    way[:, 2] = np.abs(way[:, 2])
    return 0.095 * way / np.linalg.norm(way, axis=1, keepdims=True)


def test_neighbours_are_near_and_mutual(places):
    found = channel_adjacency(NAMES, places).toarray()
    np.testing.assert_array_equal(found, found.T)
    assert found.diagonal().all()
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert np.median(apart[found & ~np.eye(64, dtype=bool)]) < np.median(apart) / 2


def test_order_of_channels_is_kept(places):
    order = np.random.default_rng(1).permutation(64)
    turned = channel_adjacency([NAMES[i] for i in order], places[order]).toarray()
    np.testing.assert_array_equal(turned, channel_adjacency(NAMES, places).toarray()[np.ix_(order, order)])


def test_positions_that_cannot_be_triangulated(places):
    places[:, 1:] = 0  # all on one line
    with pytest.raises(ValueProblem, match="cannot be triangulated"):
        channel_adjacency(NAMES, places)


def test_missing_positions_and_too_few_sensors(places):
    places[3] = np.nan
    with pytest.raises(ValueProblem, match="without a position: E3"):
        channel_adjacency(NAMES, places)
    with pytest.raises(ValueProblem, match="at least 4 sensors"):
        channel_adjacency(NAMES[:2], places[:2])
