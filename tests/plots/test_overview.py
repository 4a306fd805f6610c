import numpy as np
import pytest
from matplotlib.colors import to_hex

from brainalign.core.errors import NotFinite, ShapeMismatch, ValueProblem
from brainalign.plots.overview import Strand, stimulus_to_brain
from brainalign.plots.style import FOUND, TRUTH, save_png

FRAMES = np.arange(400) / 50 + 0.01246875


def strands():
    times = np.arange(8 * 1000) / 1000
    wave = np.zeros(len(times))
    wave[1234] = 1.0
    features = np.zeros((400, 2))
    features[[50, 100], 0] = 1.0, 2.0
    features[200, 1] = 1.0
    return {
        "waveform": Strand("sound", times, wave),
        "envelope": Strand("envelope", FRAMES, np.abs(np.sin(FRAMES))),
        "features": Strand("features", FRAMES, features, ("one", "two")),
        "response": Strand("EEG, Cz (\u00b5V)", FRAMES, np.cos(FRAMES)),
    }


def test_all_rows_share_one_clock_in_seconds():
    figure = stimulus_to_brain(**strands(), window=(1.0, 4.0))
    assert len(figure.axes) == 4
    assert {ax.get_xlim() for ax in figure.axes} == {(1.0, 4.0)}
    assert figure.axes[-1].get_xlabel() == "time in the sound (s)"


def test_rows_are_labelled(by_id):
    figure = stimulus_to_brain(**strands())
    texts = {text.get_text() for ax in figure.axes for text in ax.texts}
    assert {"sound", "envelope", "features", "EEG, Cz (\u00b5V)", "one", "two"} <= texts


def test_spikes_stand_at_their_frames_and_grow_with_activation(by_id):
    figure = stimulus_to_brain(**strands(), highlighted=["two"])
    (one,), (two,) = by_id(figure, "feature:one"), by_id(figure, "feature:two")
    segments = np.array(one.get_segments())
    np.testing.assert_allclose(segments[:, 0, 0], FRAMES[[50, 100]])
    heights = np.abs(np.diff(segments[:, :, 1], axis=1)).ravel()
    assert heights[1] == pytest.approx(2 * heights[0])
    assert to_hex(one.get_color()[0]).upper() == FOUND
    assert to_hex(two.get_color()[0]).upper() == TRUTH


def test_thinning_the_waveform_keeps_its_peak(by_id):
    (shape,) = by_id(stimulus_to_brain(**strands()), "waveform")
    assert shape.get_paths()[0].vertices[:, 1].max() == 1.0


def test_prediction_lies_over_the_response(by_id):
    predicted = Strand("prediction", FRAMES, np.sin(FRAMES))
    figure = stimulus_to_brain(**strands(), predicted=predicted, window=(0.0, 2.0))
    (line,) = by_id(figure, "predicted")
    np.testing.assert_allclose(line.get_ydata(), np.sin(FRAMES[:100]))
    assert not by_id(stimulus_to_brain(**strands()), "predicted")


def test_same_seconds_same_bytes():
    assert save_png(stimulus_to_brain(**strands()), dpi=60) == save_png(stimulus_to_brain(**strands()), dpi=60)


def test_wrong_input_is_refused():
    with pytest.raises(ValueProblem, match="nothing in the window"):
        stimulus_to_brain(**strands(), window=(90.0, 96.0))
    with pytest.raises(ShapeMismatch, match="names of 'features'"):
        Strand("features", FRAMES, np.zeros((400, 2)), ("one",))
    with pytest.raises(NotFinite, match="damaged span"):
        Strand("EEG", FRAMES, FRAMES * np.nan)
