"""What does a piece of a training run have to remember? Numbers and arrays, under names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from brainalign.core.artefact import Artefact


@dataclass(frozen=True, eq=False)
class State:
    """What one part of a run is at a moment.

    Parameters
    ----------
    numbers
        JSON values (no NaN).
    arrays
        Named arrays.
    """

    numbers: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


class Resumable(Protocol):
    """A part of a run that can be put back to where it was."""

    def state(self) -> State:
        """Return what it remembers."""
        ...

    def restore(self, state: State) -> None:
        """Become what was remembered."""
        ...


def pack_states(kind: str, meta: Mapping[str, Any], parts: Mapping[str, Resumable]) -> Artefact:
    """Put the states of named parts into one artefact."""
    states = {name: part.state() for name, part in parts.items()}
    arrays = {f"{name}.{key}": array for name, state in states.items() for key, array in state.arrays.items()}
    numbers = {name: dict(state.numbers) for name, state in states.items()}
    return Artefact(kind, {**meta, "parts": numbers}, arrays)


def restore_states(artefact: Artefact, parts: Mapping[str, Resumable]) -> None:
    """Put every named part back to its state in the artefact."""
    for name, part in parts.items():
        prefix = f"{name}."
        arrays = {key.removeprefix(prefix): a for key, a in artefact.arrays.items() if key.startswith(prefix)}
        part.restore(State(artefact.meta["parts"][name], arrays))
