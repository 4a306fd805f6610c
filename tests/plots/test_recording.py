"""The page of a recording shows what the numbers say, also where little is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from brainalign.core.errors import ValueProblem
from brainalign.plots.recording import recording_page

HERTZ = tuple(float(hertz) for hertz in np.arange(0, 64.25, 0.25))


@dataclass(frozen=True)
class Facts:
    """The least that the page needs."""

    label: str
    channels: tuple
    positions: tuple
    deviations: tuple
    channel_psd: tuple
    flat_shares: tuple
    clipped_shares: tuple
    bad_channels: tuple = ()
    reasons: tuple = ()
    minutes: float = 2.0
    frequencies: tuple = HERTZ
    psd_before: tuple = (10.0,) * len(HERTZ)
    psd_after: tuple = (-30.0,) * len(HERTZ)
    channel_frequencies: tuple = (0.5, 1.0, 10.0, 50.0, 60.0)
    line_hz: float | None = 50.0
    line_decibels: float | None = 21.4
    line_decibels_after: float | None = -0.2
    kept_share: float = 0.75
    bad_spans: tuple = ((30.0, 60.0),)


@pytest.fixture
def facts(cap):
    n = len(cap.channels)
    psd = tuple(tuple(float(10 + i % 3) for _ in range(5)) for i in range(n))
    places = tuple(tuple(float(x) for x in place) for place in cap.positions)
    zeros = (0.0,) * n
    return Facts("sub-01", cap.channels, places, zeros, psd, zeros, zeros)


def text(figure, by_id, name):
    return by_id(figure, name)[0].get_text()


def test_every_channel_and_the_medians_are_drawn(facts, by_id):
    figure = recording_page(replace(facts, bad_channels=("Cz",), reasons=("too loud (robust z +7.0)",)))
    spectra = figure.axes[0]
    assert len(by_id(spectra, "channel")) == len(facts.channels) - 1
    (bad,) = by_id(spectra, "bad channel")
    np.testing.assert_array_equal(bad.get_ydata(), facts.channel_psd[facts.channels.index("Cz")])
    (before,), (after,), (mains,) = (by_id(spectra, name) for name in ("before", "after", "mains"))
    assert set(before.get_ydata()) == {10.0} and set(after.get_ydata()) == {-30.0}
    assert before.get_xdata()[0] == 0.25  # zero hertz has no place on a logarithmic axis
    assert mains.get_xdata()[0] == 50.0


def test_bad_channels_are_marked_named_and_explained(facts, by_id):
    found = replace(facts, bad_channels=("Fp1", "Cz"), reasons=("flat", "marked in the recording"))
    figure = recording_page(found)
    assert [name.get_text() for name in by_id(figure, "bad name")] == ["Fp1", "Cz"]
    ring, dots = by_id(figure, "bad sensor")[0].get_offsets(), by_id(figure, "sensor")[0].get_offsets()
    np.testing.assert_allclose(ring, dots[[facts.channels.index(name) for name in ("Fp1", "Cz")]])
    assert text(figure, by_id, "bad title") == "2 bad of 32 channels"
    assert text(figure, by_id, "reasons").startswith("Fp1: flat\nCz: marked in the")


def test_flat_and_clipped_time_is_told(facts, by_id):
    shares = list(facts.flat_shares)
    shares[3] = 0.0312
    figure = recording_page(replace(facts, clipped_shares=tuple(shares)))
    assert f"{facts.channels[3]}: clipped for 3.1 %" in text(figure, by_id, "reasons")


def test_the_heading_and_the_strip_tell_time(facts, by_id):
    figure = recording_page(facts)
    told = text(figure, by_id, "facts")
    assert "2.0 min" in told and "75 % kept" in told and "all sensors placed" in told
    assert "50 Hz mains 21 dB above its neighbours, 0 dB after cleaning" in told
    (masked,), strip = by_id(figure, "masked"), figure.axes[2]
    assert masked.get_bbox().intervalx == pytest.approx((30.0, 60.0))
    assert strip.get_xlim() == (0, 120) and strip.get_xlabel() == "time (s)"
    assert text(figure, by_id, "kept text") == "75 % of the time kept, 1 stretch masked"
    long = recording_page(replace(facts, minutes=10.0, kept_share=0.99999, bad_spans=((60.0, 60.01),)))
    assert long.axes[2].get_xlabel() == "time (min)"
    assert "<100 %" in text(long, by_id, "facts")
    # A hundredth of a second in ten minutes is still to be seen.
    start, stop = by_id(long, "masked")[0].get_bbox().intervalx
    assert start == pytest.approx(1.0) and 10 * 0.2 / 158 < stop - start < 10 * 0.3 / 158


def test_where_little_is_known(facts, by_id):
    bare = replace(facts, positions=((),) * 32, line_hz=None, line_decibels=None, line_decibels_after=None)
    figure = recording_page(replace(bare, bad_channels=("Cz",), bad_spans=()))
    assert "32 of 32 sensors without a position" in text(figure, by_id, "facts")
    assert "no mains in its band" in text(figure, by_id, "facts")
    assert not by_id(figure, "sensor") and "no sensor positions" in [item.get_text() for item in figure.axes[1].texts]
    assert text(figure, by_id, "reasons") == "Cz: no reason noted"
    assert not by_id(figure, "mains")


def test_no_letter_lies_on_another_or_leaves_the_page(facts, by_id):
    figure = recording_page(
        replace(facts, bad_channels=facts.channels[:20], reasons=("unlike its neighbours (r 0.21)",) * 20)
    )
    renderer = FigureCanvasAgg(figure).get_renderer()
    page = figure.bbox
    boxes = [by_id(figure, name)[0].get_window_extent(renderer) for name in ("facts", "bad title", "reasons")]
    boxes.append(figure.axes[2].get_tightbbox(renderer))
    assert all(box.x0 >= page.x0 and box.x1 <= page.x1 and box.y0 >= page.y0 and box.y1 <= page.y1 for box in boxes)
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert text(figure, by_id, "reasons").splitlines()[-1] == "\u2026 and 4 lines more"
    names = [item.get_window_extent(renderer) for item in by_id(figure, "bad name")]
    assert len(names) == 16
    assert not any(one.overlaps(other) for i, one in enumerate(names) for other in names[:i])


def test_numbers_of_an_older_kind_are_refused(facts):
    with pytest.raises(ValueProblem, match=r"without its channels' own numbers[\s\S]*judge it again"):
        recording_page(replace(facts, channel_psd=()))
