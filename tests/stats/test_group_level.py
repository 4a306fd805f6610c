"""Jackknife, reliability, prevalence, Bayes factors, tables, fixed effects: by hand, from papers, by simulation."""

import numpy as np
import pytest
from scipy import integrate, stats

from brainalign.core.errors import NotFinite, ShapeMismatch, UnknownName, ValueProblem
from brainalign.stats.bayes import bayes_factor, log_bayes_factor
from brainalign.stats.group import combined_p
from brainalign.stats.jackknife import jackknife, jackknife_difference
from brainalign.stats.longtable import long_table, random_effects_summary
from brainalign.stats.prevalence import minimum_test, prevalence
from brainalign.stats.reliability import absolute_agreement, consistency, top_overlap

# Shrout and Fleiss (1979), table 2: six targets, four judges.
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])


class TestJackknife:
    """Standard errors of what is read off averages."""

    def test_of_a_mean_is_the_standard_error(self, rng):
        values = rng.standard_normal((12, 3))
        found = jackknife(values, lambda mean: mean)
        np.testing.assert_allclose(found.se, values.std(axis=0, ddof=1) / np.sqrt(12))
        np.testing.assert_allclose(found.estimate, values.mean(axis=0))

    def test_of_a_latency_covers_the_truth(self):
        lags, covered, errors, told = np.arange(0, 0.4, 0.01), 0, [], []
        for seed in range(150):
            rng = np.random.default_rng(seed)
            centres = 0.2 + 0.02 * rng.standard_normal(14)
            trfs = np.exp(-0.5 * ((lags - centres[:, None]) / 0.05) ** 2) + 0.1 * rng.standard_normal((14, len(lags)))
            smooth = np.array([np.convolve(trf, np.hanning(9) / np.hanning(9).sum(), "same") for trf in trfs])
            found = jackknife(smooth, lambda mean: (lags * mean**4).sum() / (mean**4).sum())
            covered += found.low <= 0.2 <= found.high
            errors.append(found.estimate - 0.2)
            told.append(found.se)
        assert 0.88 < covered / 150 <= 1
        assert np.mean(told) == pytest.approx(np.std(errors), rel=0.25)

    def test_two_conditions_of_the_same_listeners(self, rng):
        shared = rng.standard_normal((10, 5))
        noise = 0.1 * rng.standard_normal((10, 5))
        found, p = jackknife_difference(shared + 1 + noise, shared, lambda mean: mean)
        assert (p < 0.001).all()
        np.testing.assert_allclose(p, stats.ttest_1samp(1 + noise, 0).pvalue, rtol=1e-6)
        assert (jackknife_difference(shared, shared, lambda mean: mean)[1] == 1).all()
        np.testing.assert_allclose(found.estimate, (1 + noise).mean(axis=0))

    def test_what_is_refused(self, rng):
        with pytest.raises(ShapeMismatch, match="at least three units"):
            jackknife(rng.standard_normal((2, 5)), np.mean)
        with pytest.raises(NotFinite):
            jackknife(np.full((4, 2), np.nan), np.mean)
        with pytest.raises(ShapeMismatch, match="same units"):
            jackknife_difference(np.ones((3, 2)), np.ones((4, 2)), np.mean)


class TestReliability:
    """Intraclass correlations and overlaps."""

    def test_the_published_example(self):
        assert absolute_agreement(JUDGES).icc == pytest.approx(0.29, abs=0.005)
        assert consistency(JUDGES).icc == pytest.approx(0.71, abs=0.005)

    def test_intervals_cover(self):
        """Variance of targets 1, of runs 0.25, of the rest 0.5."""
        true = {consistency: 1 / 1.5, absolute_agreement: 1 / 1.75}
        covered = dict.fromkeys(true, 0)
        for seed in range(300):
            rng = np.random.default_rng(seed)
            ratings = rng.standard_normal((30, 1)) + 0.5 * rng.standard_normal((1, 4))
            ratings = ratings + np.sqrt(0.5) * rng.standard_normal((30, 4))
            for measure, value in true.items():
                found = measure(ratings)
                assert found.low <= found.icc <= found.high
                covered[measure] += found.low <= value <= found.high
        assert 0.91 < covered[consistency] / 300 < 0.985
        assert 0.90 < covered[absolute_agreement] / 300 < 0.99

    def test_level_matters_to_one_and_not_to_the_other(self, rng):
        one = rng.standard_normal(50)
        ratings = np.stack([one, one + 3], axis=1)
        assert consistency(ratings).icc == pytest.approx(1.0)
        assert absolute_agreement(ratings).icc < 0.5
        assert absolute_agreement(np.stack([one, one], axis=1)).icc == 1.0

    def test_overlap_and_its_chance(self, rng):
        one = rng.standard_normal(200)
        assert top_overlap(one, one, k=20).share == 1.0
        shares = [top_overlap(one, rng.standard_normal(200), k=20) for _ in range(200)]
        assert np.mean([item.share for item in shares]) == pytest.approx(shares[0].chance, abs=0.02)
        assert np.mean([item.p <= 0.05 for item in shares]) < 0.1

    def test_what_is_refused(self):
        with pytest.raises(ShapeMismatch, match="two targets and two runs"):
            consistency(np.ones((5, 1)))
        with pytest.raises(ValueProblem, match="k must lie"):
            top_overlap(np.ones(3), np.ones(3), k=4)
        with pytest.raises(ShapeMismatch, match="same features"):
            top_overlap(np.ones(3), np.ones(4), k=1)


class TestPrevalence:
    """Shares of a population."""

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
    def test_bounds_hold_with_their_confidence(self, share):
        rng = np.random.default_rng(int(10 * share))
        above = 0
        for _ in range(400):
            has = rng.random(16) < share
            found = prevalence(np.where(has, 0.001, rng.random(16)))
            above += found.low > share
            assert found.low <= found.estimate
        assert above / 400 <= 0.07

    def test_nobody_and_everybody(self):
        nobody, everybody = prevalence(np.full(10, 0.5)), prevalence(np.full(10, 0.01))
        assert (nobody.estimate, nobody.low) == (0, 0)
        assert everybody.estimate == 1
        assert everybody.low == pytest.approx((0.05 ** (1 / 10) - 0.05) / 0.95)

    def test_posterior_by_hand(self):
        """Ince et al. (2021): a flat prior on the share, hits binomial with a + (1 - a) share."""
        found = prevalence(np.array([0.01] * 9 + [0.5] * 5), level=0.05, confidence=0.9)
        share = np.linspace(0, 1, 100_001)
        weight = stats.binom.pmf(9, 14, 0.05 + 0.95 * share)
        cumulated = np.cumsum(weight) / weight.sum()
        assert found.estimate == pytest.approx(share[weight.argmax()], abs=1e-4)
        assert found.credible_low == pytest.approx(share[np.searchsorted(cumulated, 0.1)], abs=1e-4)
        assert found.low == pytest.approx(
            (stats.binomtest(9, 14, alternative="greater").proportion_ci(0.9).low - 0.05) / 0.95
        )

    def test_more_hits_never_mean_fewer_people(self):
        found = [prevalence(np.array([0.01] * hits + [0.5] * (12 - hits))) for hits in range(13)]
        for name in ("estimate", "low", "credible_low"):
            assert (np.diff([getattr(item, name) for item in found]) >= 0).all()

    def test_the_minimum_by_hand(self):
        """Two listeners with surrogates 0 and 1, data 1: the minimum is reached in one combination of four."""
        groups = np.zeros((2, 2, 1))
        groups[:, 0] = 1
        found = minimum_test(groups, n_permutations=4, rng=np.random.default_rng(0))
        assert found.exact
        assert found.p[0] == found.p_global[0] == 0.25
        assert found.largest_null[0] == 0
        drawn = minimum_test(groups, n_permutations=3, rng=np.random.default_rng(0))
        assert (drawn.exact, drawn.n_permutations) == (False, 3)

    def test_the_largest_null_is_where_its_probability_reaches_the_level(self, rng):
        """Allefeld et al. (2016), equations 13 and 18, in the direction in which they are written."""
        groups = rng.standard_normal((5, 6, 4))
        groups[:, 0, 0] += 5
        groups[:, 0, 1] += 1.5
        found = minimum_test(groups, n_permutations=6**5, level=0.5, rng=rng)
        members = np.indices((6,) * 5).reshape(5, -1)
        smallest = np.min([groups[k, members[k]] for k in range(5)], axis=0)
        np.testing.assert_allclose(found.p, (smallest >= groups[:, 0].min(axis=0)).mean(axis=0))
        largest = smallest.max(axis=1)[:, None]
        np.testing.assert_allclose(found.p_global, (largest >= groups[:, 0].min(axis=0)).mean(axis=0))
        at = found.largest_null
        reached = found.p_global + (1 - found.p_global) * ((1 - at) * found.p ** (1 / 5) + at) ** 5
        assert at[0] > 0.8
        np.testing.assert_allclose(reached[at > 0], 0.5)
        assert (found.p_global[at == 0] + (1 - found.p_global[at == 0]) * found.p[at == 0] >= 0.5 - 1e-9).all()

    def test_blocks_change_nothing(self, rng, monkeypatch):
        groups = rng.standard_normal((4, 30, 7))
        whole = minimum_test(groups, n_permutations=500, rng=np.random.default_rng(1))
        monkeypatch.setattr("brainalign.stats.prevalence._BLOCK_BYTES", 8 * 500 * 2)
        parts = minimum_test(groups, n_permutations=500, rng=np.random.default_rng(1))
        for name in ("p", "p_global", "largest_null"):
            np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))

    def test_the_minimum_finds_a_majority_and_nothing_in_noise(self, rng):
        groups = rng.standard_normal((12, 200, 3))
        groups[:, 0, 0] += 6
        found = minimum_test(groups, n_permutations=2000, rng=rng)
        assert found.p_global[0] == 1 / 2000
        assert found.largest_null[0] > 0.5
        assert (found.largest_null[1:] == 0).all()

    def test_what_is_refused(self, rng):
        with pytest.raises(ValueProblem, match="one p-value per listener"):
            prevalence(np.array([0.1, np.nan]))
        with pytest.raises(ValueProblem, match="between 0 and 1"):
            prevalence(np.array([0.1]), level=0)
        with pytest.raises(ShapeMismatch, match="listeners by group members"):
            minimum_test(np.ones((1, 5)), rng=rng)
        with pytest.raises(NotFinite, match="listeners' statistics"):
            minimum_test(np.full((3, 5), np.nan), rng=rng)
        with pytest.raises(ValueProblem, match="level between 0 and 1"):
            minimum_test(np.ones((3, 5)), level=1.0, rng=rng)


class TestBayes:
    """JZS Bayes factors."""

    def test_published_values(self):
        """Rouder et al. (2009) on two experiments of 80 people: 1.02 and 1.56 for no effect, with a scale of 1."""
        assert 1 / bayes_factor(2.24, 80, scale=1.0) == pytest.approx(1.02, abs=0.005)
        assert 1 / bayes_factor(2.03, 80, scale=1.0) == pytest.approx(1.56, abs=0.005)

    @pytest.mark.parametrize(("t", "n"), [(0.0, 5), (1.5, 12), (3.0, 25), (-2.0, 19)])
    def test_against_the_integral_over_effects(self, t, n):
        scale = np.sqrt(0.5)

        def weight(d):
            return stats.nct.pdf(t, n - 1, d * np.sqrt(n)) * stats.cauchy.pdf(d, scale=scale)

        whole = sum(integrate.quad(weight, a, b, limit=300)[0] for a, b in ((-30, -2), (-2, 0), (0, 2), (2, 30)))
        upper = sum(integrate.quad(weight, a, b, limit=300)[0] for a, b in ((0, 2), (2, 30)))
        null = stats.t.pdf(t, n - 1)
        assert bayes_factor(t, n) == pytest.approx(whole / null, rel=2e-3)
        assert bayes_factor(t, n, one_sided=True) == pytest.approx(2 * upper / null, rel=2e-3)

    def test_many_at_once(self, rng):
        t = 3 * rng.standard_normal((40, 70))
        for one_sided in (False, True):
            found = bayes_factor(t, 15, one_sided=one_sided)
            assert found.shape == t.shape
            assert found[3, 5] == pytest.approx(bayes_factor(float(t[3, 5]), 15, one_sided=one_sided), rel=1e-12)
        assert isinstance(bayes_factor(1.0, 15), float)
        assert bayes_factor(np.empty((0, 3)), 15).shape == (0, 3)

    def test_halves_make_the_whole(self, rng):
        """A two-sided prior is the mean of its positive and negative halves."""
        t = np.linspace(-6, 6, 25)
        upper, lower = bayes_factor(t, 18, one_sided=True), bayes_factor(-t, 18, one_sided=True)
        np.testing.assert_allclose((upper + lower) / 2, bayes_factor(t, 18), rtol=1e-12)
        assert (np.diff(upper) > 0).all()

    def test_extremes(self):
        assert bayes_factor(30.0, 20) > 1e10
        assert bayes_factor(0.0, 100_000) < 0.01
        assert bayes_factor(100.0, 2000) == np.inf
        # From mpmath with 40 digits.
        for t, n, one_sided, expected in (
            (50.0, 2000, False, 806.276345977585),
            (-45.0, 2000, True, -7.363177670228723),
            (1e6, 10, False, 100.23467221630379),
            (-1e6, 10, True, -2.4619957687526837),
            (1.5, 2, True, 0.37144434516860753),
        ):
            assert log_bayes_factor(np.array(t), n, one_sided=one_sided) == pytest.approx(expected, rel=1e-11)

    @pytest.mark.parametrize(("t", "n", "scale"), [(np.inf, 10, 1), (1.0, 1, 1), (1.0, 10, 0), (1.0, 10, np.nan)])
    def test_what_is_refused(self, t, n, scale):
        with pytest.raises(ValueProblem, match="finite t"):
            bayes_factor(t, n, scale=scale)


class TestFixedEffects:
    """One p-value of several listeners'. Against SciPy: tests/oracles."""

    def test_by_hand(self):
        p = np.array([[0.01], [0.5]])
        assert combined_p(p) == pytest.approx(0.005 * (1 - np.log(0.005)))
        assert combined_p(p, method="tippett") == pytest.approx(1 - 0.99**2)
        assert combined_p(p, method="stouffer") == pytest.approx(stats.norm.sf(stats.norm.isf(0.01) / np.sqrt(2)))

    def test_counted_p_values_err_on_the_safe_side(self, rng):
        p = rng.integers(1, 101, (6, 4000)) / 100
        for method in ("fisher", "stouffer", "tippett"):
            assert (combined_p(p, method=method) <= 0.05).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)

    def test_what_is_refused(self):
        with pytest.raises(ValueProblem, match="above 0"):
            combined_p(np.array([0.0, 0.5]))
        with pytest.raises(ValueProblem, match="above 0"):
            combined_p(np.array([np.nan, 0.5]))
        with pytest.raises(ShapeMismatch, match="over listeners"):
            combined_p(np.empty((0, 3)))
        with pytest.raises(UnknownName, match="did you mean 'fisher'"):
            combined_p(np.array([0.5]), method="fischer")


class TestRandomEffects:
    """Variances between and within listeners. Against statsmodels: tests/oracles."""

    def test_truth_is_found(self, rng):
        scores = 0.1 + 0.05 * rng.standard_normal((30, 1, 400)) + 0.1 * rng.standard_normal((30, 6, 400))
        found = random_effects_summary(scores)
        assert found.between.mean() == pytest.approx(0.05**2, rel=0.1)
        assert found.within.mean() == pytest.approx(0.1**2, rel=0.02)
        assert found.icc.mean() == pytest.approx(0.2, abs=0.02)
        covered = ((found.low <= 0.1) & (found.high >= 0.1)).mean()
        assert covered == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 400))

    def test_folds_alike_are_all_between(self, rng):
        each = rng.standard_normal((7, 1, 2))
        found = random_effects_summary(np.repeat(each, 3, axis=1))
        np.testing.assert_allclose(found.icc, 1)
        np.testing.assert_allclose(found.se, stats.sem(each[:, 0], axis=0))
        nothing = random_effects_summary(np.full((4, 3), 0.25))
        assert nothing.mean == nothing.low == nothing.high == 0.25
        assert nothing.icc == 0

    def test_units_follow(self, rng):
        scores = rng.standard_normal((6, 4))
        one, other = random_effects_summary(scores), random_effects_summary(2 * scores + 1)
        np.testing.assert_allclose([other.mean, other.se, other.icc], [2 * one.mean + 1, 2 * one.se, one.icc])

    def test_what_is_refused(self, rng):
        with pytest.raises(ShapeMismatch, match="two listeners and two folds"):
            random_effects_summary(rng.random((5, 1)))
        with pytest.raises(NotFinite, match="the scores"):
            random_effects_summary(np.array([[0.1, np.nan], [0.2, 0.3]]))


class TestLongTable:
    """Rows for other programs."""

    def test_every_score_once_with_its_names(self, rng):
        scores = rng.uniform(-0.5, 0.5, (2, 3, 4))
        table = long_table(
            scores, subjects="ab", features=["x", "y", "z"], channels="1234",
            covariates={"layer": [1, 2, 3], "age": [20, 30]},
        )  # fmt: skip
        assert {len(column) for column in table.values()} == {24}
        row = 4 * (1 * 3 + 2) + 3
        assert [table[name][row] for name in ("subject", "feature", "channel", "layer", "age")] == [
            "b",
            "z",
            "4",
            3,
            30,
        ]
        assert table["r"][row] == scores[1, 2, 3]
        assert table["fisher_z"][row] == pytest.approx(np.arctanh(scores[1, 2, 3]))

    def test_what_is_refused(self, rng):
        names = {"subjects": "ab", "features": "xy", "channels": "1"}
        with pytest.raises(ShapeMismatch, match="neither subjects nor features"):
            long_table(rng.random((2, 2, 1)), **names, covariates={"layer": [1, 2]})
        with pytest.raises(ShapeMismatch):
            long_table(rng.random((2, 3, 1)), **names)
