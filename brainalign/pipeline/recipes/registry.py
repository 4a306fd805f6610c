"""Which recipes are there? Each lays out a study of its own from a configuration file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from brainalign.core.errors import unknown_name
from brainalign.pipeline.recipes.audiosae.layout import load_audiosae
from brainalign.pipeline.recipes.base import RecipeStudy

Load = Callable[[Path, Mapping[str, object]], RecipeStudy]
RECIPES: Mapping[str, Load] = {"audiosae-eeg": load_audiosae}


def load_recipe(name: object, path: Path, overrides: Mapping[str, object]) -> RecipeStudy:
    """Lay out the study of a configuration that names a recipe.

    Parameters
    ----------
    name
        What stands under ``recipe``.
    path, overrides
        As for `brainalign.pipeline.study.load_study`.
    """
    if not isinstance(name, str) or name not in RECIPES:
        raise unknown_name(str(name), among=RECIPES, kind="recipe")
    return RECIPES[name](path, overrides)
