"""scikit-learn's own checks of an estimator.

With lags around zero every check passes, none excepted. With a longer window two of them cannot hold for any model
of time: the prediction of a frame needs the frames before it, so it cannot be the same when frames are shuffled or
taken one at a time. These two, and no others, are declared for the windows of three lags.
"""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from brainalign.encoding.banded import Search
from brainalign.estimators.maps import FeatureMaps
from brainalign.estimators.trf import TRF, BandedTRF

AT_ONCE, LATER = {"rate": 100, "lags": (0, 0)}, {"rate": 100, "lags": (0, 0.02)}
FEW = Search(n_candidates=3)
NOT_IN_TIME = {
    "check_methods_sample_order_invariance": "the prediction of a frame depends on the frames before it",
    "check_methods_subset_invariance": "the prediction of a frame depends on the frames before it",
}

without_exception = [
    TRF(**AT_ONCE, penalties=1.0),
    TRF(**AT_ONCE, penalties=(0.1, 1.0), n_folds=3),
    TRF(**AT_ONCE, penalties=1.0, direction="backward"),
    BandedTRF({"first": [0]}, **AT_ONCE, penalties=(0.1, 1.0), n_folds=3, search=FEW),
    FeatureMaps(**AT_ONCE, n_folds=3, n_best=1),
]
with_memory = [
    TRF(**LATER, penalties=1.0),
    TRF(**LATER, penalties=1.0, direction="backward", scoring="r"),
]


@parametrize_with_checks(without_exception)
def test_estimators(estimator, check):
    check(estimator)


@parametrize_with_checks(with_memory, expected_failed_checks=lambda estimator: NOT_IN_TIME)
def test_estimators_with_memory(estimator, check):
    check(estimator)
