"""The few functions a newcomer meets: sound and recording in, maps out."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

import brainalign as ba
from brainalign.audio.synth import synthesise_speech
from brainalign.core.errors import MissingFile, ShapeMismatch, UnknownName, ValueProblem
from brainalign.eeg.simulate import PLANTED_SITES, PlantedSource, ResponseKernel, simulate_listener
from brainalign.encoders.builtin import write_untrained_hubert
from brainalign.maps import Maps
from brainalign.stats.group import fisher_mean
from tests.encoding.designs import make_design

FIT = {"penalties": (0.1, 10.0), "n_folds": 3}


@pytest.fixture(scope="module")
def designs():
    rng = np.random.default_rng(3)
    made = [make_design(rng, lags=(-1, 5)) for _ in range(2)]
    places = 0.1 * np.array([[0, 0.6, 0.8], [0.8, 0, 0.6], [-0.8, 0, 0.6], [0, 0, 1]])
    return [replace(design, subject=name, positions=places) for design, name in zip(made, ("01", "02"), strict=True)]


@pytest.fixture(scope="module")
def tested(designs):
    return ba.feature_maps(designs, n_permutations=39, seed=0, **FIT)


@pytest.fixture(scope="module")
def untested(designs):
    return ba.feature_maps(designs, **FIT)


def test_maps_have_features_by_channels(tested, designs):
    shape = (3, 4)
    for name in ("r", "p", "p_corrected"):
        assert getattr(tested, name).shape == shape
    assert tested.trf.shape == (3, designs[0].lags.n, 4)
    assert (tested.features, tested.channels) == (designs[0].features, designs[0].channels)
    assert [item.subject for item in tested.listeners] == ["01", "02"]


def test_maps_find_what_drives_the_channel_and_when(tested):
    assert np.unravel_index(tested.r.argmax(), tested.r.shape) == (0, 0)
    assert np.argwhere(tested.p_corrected <= 0.05).tolist() == [[0, 0]]
    assert tested.strongest(1) == [0]
    assert tested.listeners[0].lags.samples[np.abs(tested.trf[0, :, 0]).argmax()] == 3


def test_a_groups_map_is_fishers_mean_of_its_listeners(tested, designs):
    alone = [ba.feature_maps(design, **FIT) for design in designs]
    np.testing.assert_allclose(tested.r, fisher_mean([maps.r for maps in alone]), rtol=1e-5)
    np.testing.assert_allclose(tested.trf, np.mean([maps.trf for maps in alone], axis=0))


@pytest.mark.parametrize("name", ["p", "p_corrected"])
def test_untested_maps_say_how_to_test_them(untested, name):
    assert untested.test is None
    with pytest.raises(ValueProblem, match="were not tested") as caught:
        getattr(untested, name)
    assert "n_permutations=1000" in caught.value.fix


def test_the_same_seed_gives_the_same_p_values(tested, designs):
    again = ba.feature_maps(designs, n_permutations=39, seed=0, **FIT)
    np.testing.assert_array_equal(again.p, tested.p)
    other = ba.feature_maps(designs, n_permutations=39, seed=1, **FIT)
    np.testing.assert_array_equal(other.r, tested.r)
    assert (other.p != tested.p).any()


def test_listeners_with_different_features_are_refused(designs):
    other = designs[1].select(np.array([0, 1]))
    with pytest.raises(ShapeMismatch, match="same features and channels"):
        ba.feature_maps([designs[0], other], n_permutations=39, **FIT)


def test_listeners_with_different_features_are_refused_without_a_test_too(designs):
    swapped = designs[1].select(np.array([1, 0, 2]))
    with pytest.raises(ShapeMismatch, match="same features and channels"):
        ba.feature_maps([designs[0], swapped], **FIT)


def test_no_listeners_at_all_are_refused():
    with pytest.raises(ValueProblem, match="at least one listener"):
        ba.feature_maps([])


def test_rows_are_in_the_order_of_the_features(tested, untested):
    rows = tested.to_rows()
    assert [row["feature"] for row in rows] == list(tested.features)
    assert rows[0] == {
        "feature": "f0",
        "channel": "ch0",
        "r": tested.r[0, 0],
        "p": tested.p[0].min(),
        "p_corrected": tested.p_corrected[0].min(),
        "q": tested.q[0].min(),
    }
    assert all(row.keys() == {"feature", "channel", "r"} for row in untested.to_rows())


def test_a_page_is_written_with_and_without_a_test(tested, untested, tmp_path):
    page = tested.to_html(tmp_path / "deep" / "report.html", top=2)
    text = page.read_text("utf-8")
    assert text.count("<img ") == 2
    for word in ("circular shift within trials", "39 permutations", "f0", "ch0", "2 listeners, 3 features, 4 channels"):
        assert word in text
    other = untested.to_html(str(tmp_path / "untested.html")).read_text("utf-8")
    assert "Not tested." in other
    assert "permutations" not in other
    assert tested.to_html(tmp_path / "again.html", top=2).read_bytes() == page.read_bytes()


def test_figures_show_the_strongest_features(tested, untested):
    for maps in (tested, untested):
        texts = [
            text.get_text() for text in maps.plot_topomap(top=1).findobj(lambda artist: hasattr(artist, "get_text"))
        ]
        assert "f0" in texts
        assert "f1" not in texts
    assert maps.plot_trf(top=3).axes


def test_a_maps_parts_cannot_be_exchanged(tested):
    with pytest.raises(AttributeError):
        tested.test = None
    assert isinstance(tested, Maps)


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """A sound on disk, and a listener's recording who follows its loudness after 120 ms."""
    folder = tmp_path_factory.mktemp("heard")
    sounds = [synthesise_speech(f"story-{i}", seconds=20, seed=i) for i in range(4)]
    for sound in sounds:
        soundfile.write(folder / f"{sound.name}.wav", np.asarray(sound.waveform), 16_000, subtype="FLOAT")
    encoder = write_untrained_hubert(folder / "encoder", seed=0)
    read = {sound.name: ba.read_audio(folder / f"{sound.name}.wav") for sound in sounds}
    frames = {name: ba.encode(sound, encoder, layer=1) for name, sound in read.items()}
    site = PLANTED_SITES["auditory_left"]
    source = PlantedSource(
        name="first",
        drives={name: (np.maximum(one.block(0, 1)[:, 0], 0), one.axis) for name, one in frames.items()},
        kernel=ResponseKernel(latency=0.12, width=0.07, undershoot=0.4),
        position=site.position,
        orientation=site.orientation,
        peak_microvolts=4.0,
    )
    onsets = {sound.name: 2.0 + 23.25 * i for i, sound in enumerate(sounds)}
    raw = simulate_listener([source], onsets, seconds=98.0, seed=1, subject="01")
    raw.save(folder / "sub-01_eeg.fif", fmt="double", verbose="error")
    return folder, frames


def test_from_files_to_maps(heard):
    folder, frames = heard
    recording = ba.read_eeg(folder / "sub-01_eeg.fif", subject="01")
    cleaned = ba.clean(recording)
    assert "eog" in recording.kinds
    assert cleaned.subject == "01"
    few = {name: one.select(np.arange(6)) for name, one in frames.items()}
    design = ba.align(few, cleaned, lags=(-0.1, 0.4), trim=1.0)
    assert len(design.channels) == 64
    maps = ba.feature_maps(design, n_permutations=19, seed=0, penalties=(0.1, 10.0), n_folds=4)
    best = int(maps.r[0].argmax())
    lag = maps.listeners[0].lags.seconds[np.abs(maps.trf[0, :, best]).argmax()]
    assert maps.r[0, best] > 0.1
    assert maps.p[0, best] == 1 / 20
    assert lag == pytest.approx(0.12, abs=0.04)


def test_an_encoder_may_be_loaded_once_and_used_often(heard):
    folder, frames = heard
    stimulus = ba.read_audio(folder / "story-0.wav")
    encoder = ba.load_encoder(folder / "encoder")
    again = ba.encode(stimulus, encoder, layer=1)
    np.testing.assert_array_equal(again.block(0, 5), frames["story-0"].block(0, 5))
    units = ba.encode(stimulus, encoder, layer=1, site="mlp")
    assert units.n_features == 256
    assert units.axis == again.axis


def test_an_encoder_that_hears_the_past_alone_knows_nothing_of_the_future(heard):
    stimulus = ba.read_audio(heard[0] / "story-0.wav")
    encoder = ba.load_encoder(heard[0] / "encoder", past_seconds=1.0)
    whole = ba.encode(stimulus, encoder, layer=1)
    waveform = np.array(stimulus.waveform)
    waveform[5 * 16_000 :] *= -0.5
    other = ba.encode(replace(stimulus, waveform=waveform), encoder, layer=1)
    before = int((whole.axis.times < 4.9).sum())
    np.testing.assert_array_equal(whole.values[:before], other.values[:before])
    assert not np.array_equal(whole.values, other.values)


def test_a_sound_is_described_on_a_models_frames_or_at_a_hundred_hertz(heard):
    folder, frames = heard
    stimulus = ba.read_audio(folder / "story-0.wav")
    beside = ba.acoustic(stimulus, ["envelope", "gammatone-8-edges"], axis=frames["story-0"].axis)
    assert beside.n_features == 9
    assert beside.axis == frames["story-0"].axis
    alone = ba.acoustic(stimulus)
    assert (alone.axis.rate, alone.axis.n) == (100, 2000)


def test_sound_at_another_rate_comes_at_the_models_rate_of_frames(heard):
    folder, frames = heard
    stimulus = ba.read_audio(folder / "story-0.wav", rate=22_050)
    assert stimulus.axis.rate == 22_050
    again = ba.encode(stimulus, folder / "encoder", layer=1)
    assert again.axis == frames["story-0"].axis


def test_cleaning_leaves_the_recording_as_it_was(heard):
    recording = ba.read_eeg(heard[0] / "sub-01_eeg.fif")
    before = np.array(recording.values)
    cleaned = ba.clean(recording, low=0.5, high=20.0, line=(), bad_channels=False, ocular=False)
    np.testing.assert_array_equal(recording.values, before)
    assert cleaned.axis == recording.axis
    assert len(cleaned.provenance.steps) > len(recording.provenance.steps)


def test_missing_things_are_told(heard, tmp_path):
    folder, frames = heard
    with pytest.raises(MissingFile, match="no sound file"):
        ba.read_audio(tmp_path / "none.wav")
    with pytest.raises(MissingFile, match="no such EEG file"):
        ba.read_eeg(tmp_path / "none.fif")
    with pytest.raises(UnknownName, match="no onset"):
        ba.align({"unheard": frames["story-0"]}, ba.clean(ba.read_eeg(folder / "sub-01_eeg.fif")))


@pytest.mark.parametrize("own", [{"low": 2.0}, {"line": (60.0,)}, {"bad_channels": False}, {"rate": 64.0}])
def test_a_preset_does_not_pass_over_settings_of_ones_own(own):
    raw = simulate_listener([], {}, seconds=20, seed=0, subject="01")
    recording = ba.Recording.from_mne(raw, subject="01")
    with pytest.raises(ValueProblem, match="a preset stands in the place of settings of your own"):
        ba.clean(recording, preset="minimal", **own)
    assert ba.clean(recording, preset="minimal", line=[50.0]).axis == recording.axis
