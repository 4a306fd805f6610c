"""What came out? Maps of features over channels, to be looked at, written to a table and to a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainalign import mapping
from brainalign.core.errors import ValueProblem
from brainalign.core.result import EncodingResult, NullTest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MICROVOLT = 1e-6


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of features over channels, of one listener or a group.

    Attributes
    ----------
    listeners
        Each listener's scores and response functions.
    test
        The permutation test of the group, or None.
    """

    listeners: tuple[EncodingResult, ...]
    test: NullTest | None

    @property
    def features(self) -> tuple[str, ...]:
        """Feature names."""
        return self.listeners[0].features

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names."""
        return self.listeners[0].channels

    @property
    def r(self) -> np.ndarray:
        """Held-out Pearson r: folds' mean, listeners' Fisher mean, shape ``(n_features, n_channels)``."""
        return mapping.group_score(self.listeners)

    @property
    def trf(self) -> np.ndarray:
        """Response functions averaged over listeners, volts per unit, ``(n_features, n_lags, n_channels)``."""
        return np.mean([item.coef for item in self.listeners], axis=0)

    @property
    def p(self) -> np.ndarray:
        """Uncorrected p-values, shape ``(n_features, n_channels)``."""
        return self._tested.p

    @property
    def p_corrected(self) -> np.ndarray:
        """p-values corrected over all features and channels, shape ``(n_features, n_channels)``."""
        return self._tested.p_corrected

    @property
    def q(self) -> np.ndarray:
        """False-discovery rate at which each pair would be found, ``(n_features, n_channels)``; see `NullTest`."""
        return np.asarray(self._tested.q)

    @property
    def _tested(self) -> NullTest:
        if self.test is None:
            raise ValueProblem("these maps were not tested", got="n_permutations=0", fix="give n_permutations=1000")
        return self.test

    def strongest(self, top: int) -> list[int]:
        """Return the rows of the features with the largest score at any channel, strongest first."""
        order = np.argsort(-self.r.max(axis=1), kind="stable")
        return [int(row) for row in order[:top]]

    def plot_topomap(self, *, top: int = 8) -> Figure:
        """Draw the strongest features' scores over the scalp; white dots are significant at 0.05, corrected."""
        from brainalign.plots.topomap import score_topomaps

        rows = self.strongest(top)
        return score_topomaps(
            self.r[rows],
            titles=[self.features[row] for row in rows],
            channels=self.channels,
            positions=self.listeners[0].positions,
            significant=None if self.test is None else self.test.p_corrected[rows] <= 0.05,
        )

    def plot_trf(self, *, top: int = 8) -> Figure:
        """Draw the strongest features' response functions, the best channel thick."""
        from brainalign.plots.trf import trf_grid

        rows = self.strongest(top)
        return trf_grid(
            self.trf[rows] / MICROVOLT,
            self.listeners[0].lags.seconds,
            titles=[self.features[row] for row in rows],
            highlights=[int(self.r[row].argmax()) for row in rows],
            unit="µV per unit of the feature",
        )

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one row per feature: its best channel, r there, and the p-values if tested."""
        rows = []
        for f, name in enumerate(self.features):
            best = int(self.r[f].argmax())
            row = {"feature": name, "channel": self.channels[best], "r": float(self.r[f, best])}
            if self.test is not None:
                row |= {"p": float(self.test.p[f].min()), "p_corrected": float(self.test.p_corrected[f].min())}
                row |= {"q": float(self.q[f].min())}
            rows.append(row)
        return rows

    def to_html(self, path: str | Path, *, top: int = 8) -> Path:
        """Write a self-contained report page."""
        from brainalign.report.page import Column, Page, Picture, Section, Table, Text, write_page

        ranked = self.to_rows()
        rows = tuple(ranked[row] for row in self.strongest(4 * top))
        columns = [
            Column("feature", "Feature"),
            Column("channel", "Best channel"),
            Column("r", "Held-out r", kind="number"),
        ]
        notes = "Not tested."
        if self.test is not None:
            n = self.test.n_permutations
            columns.append(Column("p_corrected", "Smallest corrected p", kind="p", n_permutations=n))
            columns.append(Column("q", "Smallest q", kind="p"))
            notes = f"Null: {self.test.scheme}, {n} permutations. {self.test.assumption} {' '.join(self.test.notes)}"
            notes += f"\n\n{self.test.correction}"
            notes += f"\n\nq: Benjamini-Hochberg false-discovery rate over all pairs. {self.test.tail_note}"
        sections = (
            Section("Where", (Picture(self.plot_topomap(top=top), "Scalp maps of held-out correlation."),)),
            Section("When", (Picture(self.plot_trf(top=top), "Temporal response functions."),)),
            Section("Which", (Text(notes), Table(rows, tuple(columns)))),
        )
        subtitle = f"{len(self.listeners)} listeners, {len(self.features)} features, {len(self.channels)} channels."
        return write_page(Page("Feature maps", subtitle, sections), Path(path))
