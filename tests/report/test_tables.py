import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.report.tables import Column, format_number, format_p, html_table, text_table

COLUMNS = (
    Column("name", "Feature"),
    Column("r", "Held-out r", kind="number"),
    Column("latency", "Latency", unit="ms", kind="integer"),
    Column("p", "p", kind="p", n_permutations=500),
    Column("share", "Listeners", kind="percent", digits=0),
    Column("planted", "Planted", kind="flag"),
)
ROWS = (
    {"name": "f7", "r": 0.0981, "latency": 100, "p": 1 / 501, "share": 1.0, "planted": True},
    {"name": "f12 <b>", "r": -0.004, "latency": 1234567, "p": 0.5, "share": 0.125, "planted": False},
    {"name": "f13", "r": math.nan},
)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.12345, 3, "0.123"),
        (-0.5, 1, "\u22120.5"),
        (-0.0001, 3, "0.000"),
        (9999.0, 0, "9999"),
        (12345678.0, 0, "12\u202f345\u202f678"),
        (math.nan, 3, "\u2013"),
        (math.inf, 3, "\u221e"),
    ],
)
def test_numbers(value, digits, text):
    assert format_number(value, digits=digits) == text


@pytest.mark.parametrize(
    ("p", "n", "text"),
    [
        (1 / 501, 500, "< 0.002"),
        (1 / 200, 199, "\u2264 0.005"),
        (1 / 1000, 999, "\u2264 0.001"),
        (1 / 1001, 1000, "< 0.001"),
        (1 / 5001, 5000, "< 0.0002"),
        (1 / 20, 19, "\u2264 0.050"),
        (2 / 501, 500, "0.004"),
        (0.0491, 500, "0.050"),
        (1.0, 500, "1.000"),
        (0.00004, None, "< 0.001"),
        (0.2, None, "0.200"),
        (math.nan, 500, "\u2013"),
    ],
)
def test_p_values_claim_no_more_than_the_permutations_allow(p, n, text):
    assert format_p(p, n_permutations=n) == text


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n + 1))))
def test_a_printed_p_value_is_never_zero_nor_below_the_value(case):
    n, count = case
    p = count / (n + 1)
    sign, number = re.fullmatch(r"([<\u2264] )?([0-9.]+)", format_p(p, n_permutations=n)).groups()
    assert float(number) > 0
    assert float(number) >= p - 1e-12
    if sign == "< ":
        assert p < float(number)
    if sign is None:
        assert float(number) - p <= 0.001


@pytest.mark.parametrize("p", [0.0, -0.1, 1.2])
def test_impossible_p_values_are_refused(p):
    with pytest.raises(ValueProblem, match="above 0 and up to 1"):
        format_p(p)


def test_unknown_kind_is_refused_with_a_suggestion():
    with pytest.raises(UnknownName, match="did you mean 'number'"):
        Column("r", "r", kind="numbr")


def test_units_stand_in_the_headings():
    html = html_table(ROWS, columns=COLUMNS)
    assert '<th scope="col" class="number">Latency (ms)</th>' in html
    assert '<th scope="col" class="number">Listeners (%)</th>' in html


def test_rows_are_named_and_numbers_stand_right():
    html = html_table(ROWS, columns=COLUMNS)
    assert '<th scope="row">f7</th><td class="number">0.098</td><td class="number">100</td>' in html
    assert "<td>yes</td>" in html


def test_missing_values_are_dashes():
    html = html_table(ROWS[2:], columns=COLUMNS)
    assert html.count("\u2013</td>") == 5


def test_all_text_is_escaped():
    nasty = '<script>alert("x")</script>'
    html = html_table([{"name": nasty}], columns=[Column("name", nasty, unit=nasty)], caption=nasty, note=nasty)
    assert "<script" not in html
    assert 'aria-label="&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;"' in html


def test_marked_rows_are_set_off():
    html = html_table(ROWS, columns=COLUMNS, emphasise="planted")
    assert html.count('<tr class="strong">') == 1


def test_text_table_lines_up():
    lines = text_table(ROWS, columns=COLUMNS).split("\n")
    assert len(lines) == 5
    assert lines[0].startswith("Feature  Held-out r")
    end = lines[0].index("Held-out r") + len("Held-out r")
    assert [line[:end].split()[-1] for line in lines[2:]] == ["0.098", "\u22120.004", "\u2013"]
    assert all(line[end - 1] not in " -" for line in lines[2:])


def test_html_escapes_what_less_than_means_in_p():
    assert '<td class="number">&lt; 0.002</td>' in html_table(ROWS, columns=COLUMNS)
