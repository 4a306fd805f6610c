"""How are the eyes taken out when a regression on them will not do? Independent components, and projections."""

from __future__ import annotations

from dataclasses import dataclass

import mne
import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.eeg.components import learn_components, without_components
from brainalign.eeg.guards import note, pick_names, require_eeg


@dataclass(frozen=True)
class OcularIca:
    """Take out the independent components that follow the eyes.

    Components are learnt on a high-passed copy, outside bad stretches, and chosen by their correlation with
    the EOG channels. Bad channels are neither used nor changed: interpolate them afterwards.

    Parameters
    ----------
    eyes
        Channels that show the eyes; the EOG channels if left out.
    n_components
        How many components, or the share of the variance that they must hold.
    min_correlation
        A component follows the eyes from this absolute correlation on (1 to 10 Hz).
    most
        Most components that are taken out, the likest first.
    low
        Lower edge of the copy's high-pass in Hz.
    seed
        Of the components' start.
    """

    eyes: tuple[str, ...] = ()
    n_components: int | float = 0.99
    min_correlation: float = 0.5
    most: int = 3
    low: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "eyes", tuple(self.eyes))

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy without these components."""
        good = [name for name in require_eeg(raw) if name not in raw.info["bads"]]
        eyes = eog_channels(raw, self.eyes)
        copy = raw.copy().load_data(verbose="error")
        copy.filter(self.low, None, picks=[*good, *[name for name in eyes if name not in good]], verbose="error")
        ica = learn_components(copy, good, n_components=self.n_components, seed=self.seed)
        with mne.use_log_level("error"):
            scores = self._scores(ica, copy, eyes)
        following = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] >= self.min_correlation]
        taken = following[: self.most]
        return without_components(raw, ica, taken, correlations=scores[taken])

    @staticmethod
    def _scores(ica: mne.preprocessing.ICA, copy: mne.io.BaseRaw, eyes: list[str]) -> np.ndarray:
        """Return each component's largest absolute correlation with an eye channel, shape ``(n_components,)``."""
        found = [
            ica.score_sources(copy, target=name, l_freq=1.0, h_freq=10.0, reject_by_annotation=True) for name in eyes
        ]
        return np.asarray(np.abs(np.array(found)).max(axis=0))


@dataclass(frozen=True)
class OcularProjection:
    """Project out the patterns of the average blink on the scalp (signal-space projection).

    Takes ``n`` dimensions from the data: mark the same for every listener.

    Parameters
    ----------
    eyes
        Channels that show the eyes; the first EOG channel if left out.
    n
        How many patterns.
    fewest
        Blinks that must be found at least.
    smallest_microvolts
        Height of the smallest blink that counts, in the eye channel (1 to 10 Hz).
    """

    eyes: tuple[str, ...] = ()
    n: int = 1
    fewest: int = 5
    smallest_microvolts: float = 50.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "eyes", tuple(self.eyes))

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy without these patterns."""
        require_eeg(raw)
        eyes = eog_channels(raw, self.eyes)
        with mne.use_log_level("error"):
            blinks = mne.preprocessing.find_eog_events(raw, ch_name=eyes[0], thresh=self.smallest_microvolts * 1e-6)
            if len(blinks) < self.fewest:
                raise ValueProblem(
                    "too few blinks to learn their pattern from",
                    got=f"{len(blinks)} in {raw.n_times / raw.info['sfreq']:.0f} s",
                    fix="use OcularRegression, or a longer recording",
                )
            epochs = mne.Epochs(
                raw, blinks, tmin=-0.2, tmax=0.2, baseline=None, picks="eeg", preload=True, reject_by_annotation=True,
                proj=False,
            )  # fmt: skip
            patterns = mne.compute_proj_evoked(epochs.average(), n_grad=0, n_mag=0, n_eeg=self.n)
        cleaned = raw.copy().load_data(verbose="error")
        rows = [raw.ch_names.index(name) for name in pick_names(raw, ("eeg",)) if name not in raw.info["bads"]]
        names = [raw.ch_names[row] for row in rows]
        for pattern in patterns:
            order = [pattern["data"]["col_names"].index(name) for name in names]
            weights = np.asarray(pattern["data"]["data"])[0, order]
            weights = weights / np.linalg.norm(weights)
            cleaned._data[rows] -= np.outer(weights, weights @ cleaned._data[rows])
        note(cleaned, n_blinks=len(blinks))
        return cleaned


def eog_channels(raw: mne.io.BaseRaw, names: tuple[str, ...]) -> list[str]:
    """Name the channels that show the eyes: those given, or those of kind EOG.

    Parameters
    ----------
    raw
        The recording.
    names
        Stand-ins such as ``("Fp1", "Fp2")``; empty for the EOG channels.
    """
    found = list(names) or pick_names(raw, ("eog",))
    missing = sorted(set(found) - set(raw.ch_names))
    if missing or not found:
        raise ValueProblem(
            "nothing shows the eyes",
            got=f"no channel {', '.join(missing)}" if missing else f"kinds {sorted(set(raw.get_channel_types()))}",
            fix="set the type of one with raw.set_channel_types({'VEOG': 'eog'}), or name frontal channels that do, "
            "e.g. eyes=('Fp1', 'Fp2')",
        )
    return found
