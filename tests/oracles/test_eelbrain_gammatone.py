"""What Eelbrain's users expect of onsets: our edge detector against theirs, on one and the same spectrogram."""

import numpy as np
import pytest

from brainalign.audio.edges import SATURATION, edge_detector
from brainalign.audio.fine import compress
from brainalign.audio.gammatone import GammatoneBank
from brainalign.audio.synth import synthesise_speech
from brainalign.core.time import TimeAxis

eelbrain = pytest.importorskip("eelbrain", reason="Eelbrain is an optional peer")

SETTLED = slice(200, None)


@pytest.fixture(scope="module")
def spectrogram():
    speech = synthesise_speech("story", seconds=20, seed=4)
    values, axis = GammatoneBank(rate=1000)(speech)
    assert axis == TimeAxis(1000, 20_000)
    return compress(values, "log").astype(float), axis


def _theirs(values, c, offset=False):
    dims = (eelbrain.Scalar("frequency", np.arange(values.shape[1], dtype=float)), eelbrain.UTS(0, 0.001, len(values)))
    return eelbrain.edge_detector(eelbrain.NDVar(values.T, dims), c, offset=offset).x.T


@pytest.mark.parametrize(("saturation", "c"), [(SATURATION, SATURATION), (None, 0)])
def test_onsets_agree(spectrogram, saturation, c):
    """Correlation above 0.997 in all, above 0.99 in every band, after the first 0.2 s.

    They let a band begin at zero, and sample the membranes without bringing them to unit gain,
    so that a steady band lowers its onsets, by 1 % of that of a rise to its level: most of what is left.
    """
    values, axis = spectrogram
    ours, theirs = edge_detector(values, axis, saturation=saturation)[SETTLED], _theirs(values, c)[SETTLED]
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.997
    assert min(np.corrcoef(ours[:, i], theirs[:, i])[0, 1] for i in range(ours.shape[1])) > 0.99
    assert np.sum(ours * theirs) / np.sum(ours**2) == pytest.approx(0.95, abs=0.05)


def test_offsets_agree(spectrogram):
    values, axis = spectrogram
    ours, theirs = edge_detector(values, axis, offsets=True)[SETTLED], _theirs(values, 30, offset=True)[SETTLED]
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("c", [1.0, 30.0])
def test_a_rise_from_silence_gives_the_same_edge(c):
    """Here nothing is steady before: same shape, same height to 3 %, same saturation."""
    step, axis = np.zeros((200, 1)), TimeAxis(1000, 200)
    step[100:] = 3.0
    ours, theirs = edge_detector(step, axis, saturation=c)[:, 0], _theirs(step, c)[:, 0]
    rising = slice(100, 125)
    np.testing.assert_allclose(ours[rising], theirs[rising], atol=0.03 * theirs.max())
