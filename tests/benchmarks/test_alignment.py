"""The alignment study runs small, tells the same twice, and its claims hold."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks import alignment


@pytest.fixture(scope="module")
def report() -> dict:
    return alignment.run(replace(alignment.QUICK, n_recordings=4, seconds=(90,)))


def test_claims_hold_on_a_few(report):
    assert {claim["name"]: claim["ok"] for claim in report["claims"]} == {
        "largest onset error": True,
        "largest drift error": True,
        "20 ms misalignments noticed": True,
        "aligned triggers suspected": True,
    }


def test_the_report_is_json_and_repeats(report):
    assert json.loads(json.dumps(report, allow_nan=False))["size"]["n_recordings"] == 4
    again = alignment.run(replace(alignment.QUICK, n_recordings=2, seconds=(90,)))
    for one, other in zip(again["cases"], report["cases"], strict=False):
        assert {**one, "core_seconds": 0} == {**other, "core_seconds": 0}


def test_a_wrong_alignment_is_told():
    case = {
        "rate": 512, "onset_error": 2e-3, "onset_standard_error": 1e-5, "drift_error": 2e-6,
        "drift_standard_error": 1e-7, "misaligned": True, "noticed": False, "core_seconds": 0.1,
    }  # fmt: skip
    claims = alignment._claims([case, {**case, "misaligned": False, "noticed": True}])
    assert not any(claim["ok"] for claim in claims)
