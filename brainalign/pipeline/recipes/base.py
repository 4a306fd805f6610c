"""What is a recipe's study? What the usual study is to the commands: a plan, two folders, and something to tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from brainalign.pipeline.plan import Plan
from brainalign.pipeline.schema import ModelPart
from brainalign.pipeline.store import Store
from brainalign.report.page import Page


class RecipeConfig(Protocol):
    """What every recipe's configuration has."""

    @property
    def name(self) -> str:
        """The study's name."""
        ...

    @property
    def seed(self) -> int:
        """All randomness follows from it."""
        ...

    @property
    def model(self) -> ModelPart:
        """The lagged models of the package's own test."""
        ...


Tell = Callable[["RecipeStudy", Store, float | None], tuple[Page, dict[str, Any]]]


@dataclass(frozen=True)
class RecipeStudy:
    """A recipe's configuration with its plan and its folders.

    Attributes
    ----------
    config
        The recipe's own configuration.
    plan
        Its tasks.
    out_folder, store_folder
        Where results go, and where they are kept.
    tell
        Makes the report page and the summary (with the seconds that the work took) of a finished study.
    """

    config: RecipeConfig
    plan: Plan
    out_folder: Path
    store_folder: Path
    tell: Tell

    @property
    def name(self) -> str:
        """The study's name."""
        return self.config.name
