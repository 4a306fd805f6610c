"""Laws of clocks, lags and interpolation, for any rational rate and origin."""

from fractions import Fraction

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from brainalign.core.resample import interpolation_matrix, resample
from brainalign.core.time import Lags, TimeAxis, exact, nearest

FRACTIONS = st.fractions(-1000, 1000, max_denominator=10**6)
RATES = st.one_of(
    st.sampled_from([Fraction(50), Fraction(64), Fraction(128), Fraction(16_000, 321), Fraction(44_100, 441)]),
    st.fractions(Fraction(1, 10), 50_000, max_denominator=10**4),
)
AXES = st.builds(TimeAxis, RATES, st.integers(1, 10**6), FRACTIONS)


@given(FRACTIONS, st.integers(-1000, 1000))
def test_rounding_commutes_with_whole_shifts(value, shift):
    """Halves go up everywhere, so a shift by whole samples never changes which sample a time falls on."""
    assert nearest(value + shift) == nearest(value) + shift


@given(FRACTIONS)
def test_rounding_is_never_further_than_half(value):
    assert -Fraction(1, 2) < nearest(value) - value <= Fraction(1, 2)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_read_as_the_decimal_it_prints_as(value):
    assert float(exact(value)) == value
    assert exact(value) == Fraction(repr(value))


@given(AXES, st.data())
def test_index_inverts_time(axis, data):
    i = data.draw(st.integers(0, axis.n - 1))
    assert axis.index(axis.time(i)) == i


@given(AXES, FRACTIONS)
def test_the_nearest_sample_is_at_most_half_a_step_away(axis, time):
    assert abs(axis.time(axis.index(time)) - time) <= axis.step / 2


@given(AXES, st.data())
def test_a_part_of_a_part_is_a_part(axis, data):
    a = data.draw(st.integers(0, axis.n))
    b = data.draw(st.integers(a, axis.n))
    c = data.draw(st.integers(0, b - a))
    d = data.draw(st.integers(c, b - a))
    assert axis.part(a, b).part(c, d) == axis.part(a + c, a + d)


@given(AXES, st.data())
def test_a_part_keeps_every_samples_time(axis, data):
    a = data.draw(st.integers(0, axis.n - 1))
    i = data.draw(st.integers(0, axis.n - 1 - a))
    assert axis.part(a, axis.n).time(i) == axis.time(a + i)


@given(AXES, FRACTIONS, FRACTIONS)
def test_moves_add_up_and_can_be_undone(axis, one, other):
    assert axis.moved(one).moved(other) == axis.moved(one + other)
    assert axis.moved(one).moved(-one) == axis


@given(AXES, st.integers(-1000, 1000), FRACTIONS)
def test_moving_the_clock_moves_the_index(axis, steps, time):
    assert axis.moved(steps * axis.step).index(time) == axis.index(time) - steps


@given(AXES)
def test_a_clock_survives_json(axis):
    assert TimeAxis.from_json(axis.to_json()) == axis


@given(st.fractions(-1, 1), st.fractions(0, 1), RATES)
def test_the_outward_window_holds_the_nearest_one(start, length, rate):
    stop = start + length
    inner = Lags.from_seconds(start, stop, rate=rate)
    outer = Lags.from_seconds(start, stop, rate=rate, rounding="outward")
    assert outer.first <= inner.first <= inner.last <= outer.last
    assert outer.first <= start * rate
    assert stop * rate <= outer.last
    assert outer.n - inner.n <= 2


@st.composite
def _clock_pairs(draw) -> tuple[TimeAxis, TimeAxis]:
    rates = st.fractions(20, 200, max_denominator=50)
    source = TimeAxis(draw(rates), draw(st.integers(20, 300)), draw(FRACTIONS))
    rate = draw(rates)
    room = int((source.n - 1) * rate / source.rate)
    assume(room >= 2)
    n = draw(st.integers(1, room))
    spare = (source.n - 1) / source.rate - (n - 1) / rate
    return source, TimeAxis(rate, n, source.t0 + spare * draw(st.fractions(0, 1, max_denominator=100)))


@given(_clock_pairs())
def test_interpolation_keeps_constants_on_any_two_clocks(pair):
    weights = interpolation_matrix(*pair)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)


@given(_clock_pairs(), st.data())
def test_interpolating_a_part_is_a_part_of_interpolating(pair, data):
    source, target = pair
    a = data.draw(st.integers(0, target.n))
    b = data.draw(st.integers(a, target.n))
    values = np.cos(np.arange(source.n))
    np.testing.assert_array_equal(resample(values, source, target.part(a, b)), resample(values, source, target)[a:b])


@given(_clock_pairs(), st.floats(-3, 3))
def test_interpolation_is_linear(pair, factor):
    source, target = pair
    one, other = np.cos(np.arange(source.n)), np.sin(np.arange(source.n) ** 2)
    together = resample(one + factor * other, source, target)
    np.testing.assert_allclose(
        together, resample(one, source, target) + factor * resample(other, source, target), atol=1e-12
    )


@given(_clock_pairs())
def test_interpolation_depends_on_the_difference_of_the_clocks_only(pair):
    source, target = pair
    moved = interpolation_matrix(source.moved("1/7"), target.moved("1/7"))
    assert abs(moved - interpolation_matrix(source, target)).max() == 0
