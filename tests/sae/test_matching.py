"""Pairs are found again whatever their order and sign, and unrelated coders score what chance says."""

from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, UnknownName, ValueProblem
from brainalign.sae.matching import match_features


def test_a_shuffled_coder_is_matched_exactly(make_coder, rng):
    first = make_coder(d_in=16, d_sae=50)
    order, sign = rng.permutation(50), rng.choice([-1, 1], 50)
    second = replace(first, W_dec=(3 * sign[:, None] * first.W_dec)[order])
    matched = match_features(first, second)
    np.testing.assert_array_equal(order[matched.second[np.argsort(matched.first)]], np.arange(50))
    assert matched.mean_cosine == pytest.approx(1, abs=1e-6)
    assert matched.mmcs == pytest.approx(1, abs=1e-6)
    assert matched.chance_cosine < 0.75


def test_matching_is_one_to_one_and_nearest_is_not(make_coder):
    first = make_coder(d_in=16, d_sae=30)
    decoder = np.array(first.W_dec)
    decoder[1] = decoder[0]
    matched = match_features(replace(first, W_dec=decoder), first)
    assert len(set(matched.second)) == 30
    assert matched.mmcs > matched.mean_cosine
    assert matched.nearest[1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("chance", ["permuted", "random"])
def test_unrelated_coders_score_what_chance_says(make_coder, chance):
    differences = []
    for seed in range(8):
        matched = match_features(make_coder(d_in=32, d_sae=80), make_coder(d_in=32, d_sae=80), chance=chance, seed=seed)
        differences.append((matched.mean_cosine - matched.chance_cosine, matched.mmcs - matched.chance_nearest))
    assert matched.chance_cosine > 0.3
    assert np.abs(np.mean(differences, axis=0)).max() < 0.005


def test_dead_features_are_left_out(make_coder):
    first = make_coder(d_in=16, d_sae=30)
    decoder = np.array(first.W_dec)
    decoder[20:] = make_coder(d_in=16, d_sae=30).W_dec[20:]
    second = replace(first, W_dec=decoder)
    whole = match_features(first, second, chance="none")
    living = np.arange(30) < 20
    alive = match_features(first, second, alive=(living, np.arange(20)), chance="none")
    assert alive.mean_cosine == pytest.approx(1, abs=1e-6)
    assert whole.mean_cosine < 0.95
    assert np.isnan(alive.chance_cosine)
    np.testing.assert_array_equal(alive.alive, np.arange(20))


def test_refusals(make_coder):
    coder = make_coder()
    with pytest.raises(ShapeMismatch, match="6 and 7 inputs"):
        match_features(coder, make_coder(d_in=7))
    with pytest.raises(UnknownName, match="chance level"):
        match_features(coder, coder, chance="luck")
    with pytest.raises(ValueProblem, match="each once"):
        match_features(coder, coder, alive=(np.zeros(20, bool), np.ones(20, bool)))
    with pytest.raises(ShapeMismatch, match="mask"):
        match_features(coder, coder, alive=(np.ones(19, bool), np.ones(20, bool)))
