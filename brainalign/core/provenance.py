"""Where did this come from? The chain of steps that made a piece of data.

No clock time and no host name is kept: provenance is part of an artefact's bytes, and
the same work must give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brainalign.core.hashing import plain


@dataclass(frozen=True)
class Step:
    """One operation and the parameters it ran with (JSON values)."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Provenance:
    """The steps that made a piece of data, oldest first."""

    steps: tuple[Step, ...] = ()

    def then(self, name: str, /, **parameters: Any) -> Provenance:
        """Return the chain with one more step.

        >>> Provenance().then("read", file="a.wav").then("encode", layer=9).steps[-1].name
        'encode'
        """
        return Provenance((*self.steps, Step(name, plain(parameters))))

    def to_json(self) -> list[dict[str, Any]]:
        """Return the chain as JSON values."""
        return [{"name": step.name, "parameters": plain(step.parameters)} for step in self.steps]

    @classmethod
    def from_json(cls, values: list[dict[str, Any]]) -> Provenance:
        """Read back what `to_json` wrote."""
        return cls(tuple(Step(item["name"], item["parameters"]) for item in values))
