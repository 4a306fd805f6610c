import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.plots.quality import Spectrum, psd_before_after

FREQUENCIES = np.arange(0, 65.0)


def flat(level, n_channels=5):
    return Spectrum(FREQUENCIES, np.full((65, n_channels), level))


def test_one_microvolt_squared_per_hertz_is_zero_decibels():
    np.testing.assert_allclose(flat(1e-12).decibels(), 0, atol=1e-9)
    np.testing.assert_allclose(flat(1e-10).decibels(), 20)


def test_median_of_the_channels_is_drawn_in_hertz(by_id):
    power = 1e-12 * np.array([1.0, 10.0, 1000.0]) * np.ones((65, 1))
    figure = psd_before_after(Spectrum(FREQUENCIES, power), flat(1e-13), mains=50.0, passband=(1.0, 15.0))
    (ax,) = figure.axes
    (before,), (after,) = by_id(ax, "before"), by_id(ax, "after")
    np.testing.assert_allclose(before.get_ydata(), 10)
    np.testing.assert_allclose(after.get_ydata(), -10)
    # Zero hertz has no place on a logarithmic axis.
    np.testing.assert_allclose(before.get_xdata(), FREQUENCIES[1:])
    assert ax.get_xlabel() == "frequency (Hz)"
    assert ax.get_ylabel().startswith("power (dB")
    assert by_id(ax, "passband")


def test_limits_cut_the_axis():
    (ax,) = psd_before_after(flat(1e-12), flat(1e-13), limits=(0.5, 40.0), mains=50.0).axes
    assert ax.get_xlim() == (0.5, 40.0)
    assert "mains" not in [text.get_text() for text in ax.texts]


def test_no_power_at_all_can_be_drawn():
    assert np.isfinite(flat(0.0).decibels()).all()


def test_wrong_input_is_refused():
    with pytest.raises(ShapeMismatch, match="frequencies, channels"):
        Spectrum(FREQUENCIES, np.ones((3, 2)))
    with pytest.raises(ValueProblem, match="not decibels"):
        Spectrum(FREQUENCIES, np.full((65, 2), -3.0))
