"""Smooth noise without effect: clusters and TFCE raise a false alarm no more often than they may."""

import numpy as np
from scipy import sparse

from brainalign.stats.binomial import binomial_interval
from brainalign.stats.cluster import cluster_test
from brainalign.stats.graph import over_lags
from brainalign.stats.signflip import flipped, sign_flips
from brainalign.stats.tfce import tfce_test

N_STUDIES, N_LAGS, N_CHANNELS = 120, 5, 8
RING = sparse.csr_array(sum(np.roll(np.eye(N_CHANNELS), k, axis=1) for k in (-1, 1)))


def test_family_wise_error(rng):
    adjacency = over_lags(RING, n_lags=N_LAGS)
    alarms = {"mass": 0, "tfce": 0}
    for _ in range(N_STUDIES):
        noise = rng.standard_normal((10, N_LAGS, N_CHANNELS))
        values = noise + np.roll(noise, 1, axis=2) + np.roll(noise, 1, axis=1)
        signs, _ = sign_flips(10, n_permutations=99, rng=rng)
        group = flipped(values, signs)
        alarms["mass"] += (cluster_test(group, adjacency, threshold=2.0).p <= 0.05).any()
        alarms["tfce"] += (tfce_test(group, adjacency).p_corrected <= 0.05).any()
    for count in alarms.values():
        low, high = binomial_interval(count, N_STUDIES, level=0.99)
        assert low <= 0.05 <= high
