"""What can I use? The public names, each imported when it is first asked for.

``import brainalign`` itself loads nothing heavy: neither torch nor MNE is imported before
a function needs it. Nothing inside the package imports from here.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainalign.__about__ import __version__ as __version__
    from brainalign.api import acoustic as acoustic
    from brainalign.api import align as align
    from brainalign.api import align_many as align_many
    from brainalign.api import clean as clean
    from brainalign.api import encode as encode
    from brainalign.api import feature_maps as feature_maps
    from brainalign.api import load_encoder as load_encoder
    from brainalign.api import load_sae as load_sae
    from brainalign.api import read_audio as read_audio
    from brainalign.api import read_eeg as read_eeg
    from brainalign.audio.words import read_words as read_words
    from brainalign.core.design import Design as Design
    from brainalign.core.recording import Recording as Recording
    from brainalign.core.result import EncodingResult as EncodingResult
    from brainalign.core.result import NullTest as NullTest
    from brainalign.core.saving import load as load
    from brainalign.core.saving import save as save
    from brainalign.core.stimulus import Stimulus as Stimulus
    from brainalign.core.time import Lags as Lags
    from brainalign.core.time import TimeAxis as TimeAxis
    from brainalign.core.trajectory import Trajectory as Trajectory
    from brainalign.datasets.bids import read_bids as read_bids
    from brainalign.datasets.read import read_dataset as read_dataset
    from brainalign.eeg.simulate_recording import simulate_recording as simulate_recording
    from brainalign.estimators.maps import FeatureMaps as FeatureMaps
    from brainalign.estimators.trf import TRF as TRF
    from brainalign.estimators.trf import BandedTRF as BandedTRF

_HOMES = {
    "__version__": "brainalign.__about__",
    "BandedTRF": "brainalign.estimators.trf",
    "Design": "brainalign.core.design",
    "EncodingResult": "brainalign.core.result",
    "FeatureMaps": "brainalign.estimators.maps",
    "Lags": "brainalign.core.time",
    "NullTest": "brainalign.core.result",
    "Recording": "brainalign.core.recording",
    "Stimulus": "brainalign.core.stimulus",
    "TRF": "brainalign.estimators.trf",
    "TimeAxis": "brainalign.core.time",
    "Trajectory": "brainalign.core.trajectory",
    "acoustic": "brainalign.api",
    "align": "brainalign.api",
    "align_many": "brainalign.api",
    "clean": "brainalign.api",
    "encode": "brainalign.api",
    "feature_maps": "brainalign.api",
    "load": "brainalign.core.saving",
    "load_encoder": "brainalign.api",
    "load_sae": "brainalign.api",
    "read_audio": "brainalign.api",
    "read_bids": "brainalign.datasets.bids",
    "read_dataset": "brainalign.datasets.read",
    "read_eeg": "brainalign.api",
    "read_words": "brainalign.audio.words",
    "save": "brainalign.core.saving",
    "simulate_recording": "brainalign.eeg.simulate_recording",
}

__all__ = list(_HOMES)


class _PublicNames(ModuleType):
    """A package whose public names win over its rooms: ``brainalign.align`` is the function.

    Importing ``brainalign.align.build`` makes Python put the room's module on the package under
    the same name; it stays reachable as ``from brainalign.align import build``.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOMES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
        value = getattr(import_module(_HOMES[name]), name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _PublicNames
