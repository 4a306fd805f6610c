from types import SimpleNamespace

import mne
import numpy as np
import pytest


@pytest.fixture(scope="session")
def cap():
    """Thirty-two sensors: names, and positions in metres in head coordinates."""
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, 50.0, "eeg").set_montage(montage)
    positions = np.array([channel["loc"][:3] for channel in info["chs"]])
    return SimpleNamespace(channels=tuple(montage.ch_names), positions=positions, info=info)


@pytest.fixture
def by_id():
    """Find the artists of a figure or axes by their id."""
    return lambda parent, name: parent.findobj(lambda artist: artist.get_gid() == name)
