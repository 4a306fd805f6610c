"""Amounts of memory are read as people write them, and refused without a unit or a sign."""

import pytest

from brainalign.core.amounts import parse_bytes
from brainalign.core.errors import ValueProblem


def test_amounts_of_memory():
    assert [parse_bytes(m) for m in ("2GB", "1.5 mb", " 7 KB ", "3b", 11)] == [2 * 10**9, 1_500_000, 7_000, 3, 11]


@pytest.mark.parametrize("bad", ["2", "GB", "-1GB", "0MB", 0, -3, "1 GiB"])
def test_an_amount_of_memory_needs_a_unit_and_a_sign(bad):
    with pytest.raises(ValueProblem, match=r"an amount of bytes[\s\S]*write it like '2GB'"):
        parse_bytes(bad)
