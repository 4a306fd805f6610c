"""Errors in three parts that survive the trip from a worker."""

import copy
import inspect
import pickle

import joblib
import pytest

from brainalign.core import errors
from brainalign.core.errors import BrainalignError, GridMismatch, unknown_name

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BrainalignError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_what_was_wrong_what_was_got_and_what_to_do(kind):
    error = kind("the sky fell", got=3.5, fix="prop it up")
    assert str(error) == "the sky fell\n  got: 3.5\n  fix: prop it up"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not BrainalignError])
def test_every_error_is_also_the_builtin_that_fits(kind):
    builtin = [base for base in kind.__mro__ if base.__module__ == "builtins"]
    assert builtin[0] not in (Exception, BaseException, object)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trip", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_errors_survive_a_trip(kind, trip):
    error = kind("the sky fell", got=[1, 2], fix="prop it up")
    back = trip(error)
    assert type(back) is kind
    assert (back.what, back.got, back.fix) == (error.what, error.got, error.fix)


def _fall() -> None:
    raise GridMismatch("the sky fell", got=3, fix="prop it up")


def test_errors_come_back_whole_from_a_joblib_worker():
    with pytest.raises(GridMismatch, match=r"(?s)the sky fell.*got: 3.*fix: prop it up"):
        joblib.Parallel(n_jobs=2)(joblib.delayed(_fall)() for _ in range(2))


def test_a_misspelt_name_is_met_with_the_nearest_one():
    error = unknown_name("ridg", among={"ridge": 1, "banded": 2}, kind="solver")
    assert isinstance(error, KeyError)
    assert (
        str(error)
        == "there is no solver of that name\n  got: 'ridg'\n  fix: did you mean 'ridge'? Known: banded, ridge"
    )


def test_a_name_like_no_other_gets_the_list_only():
    assert unknown_name("zzz", among=["ridge"], kind="solver").fix == "Known: ridge"
