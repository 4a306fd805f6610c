"""What went wrong, what was got, and what to do: the package's own errors.

Every error a user can cause derives from `BrainalignError` *and* from the builtin
that fits it, so ``except ValueError`` keeps working for people who do not know us.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BrainalignError(Exception):
    """A mistake that can be put right, told in three parts.

    Parameters
    ----------
    what
        What is wrong, in one sentence.
    got
        What was found instead, with its value.
    fix
        What to do about it.
    """

    def __init__(self, what: str, *, got: object, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.got = str(got)
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\n  got: {self.got}\n  fix: {self.fix}"

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip back from a worker process (keyword-only arguments do not by default)."""
        return _rebuild, (type(self), self.what, self.got, self.fix)


def _rebuild(kind: type[BrainalignError], what: str, got: str, fix: str) -> BrainalignError:
    return kind(what, got=got, fix=fix)


class ShapeMismatch(BrainalignError, ValueError):
    """Arrays that must agree in shape do not."""


class GridMismatch(BrainalignError, ValueError):
    """Two signals do not share one time axis."""


class ValueProblem(BrainalignError, ValueError):
    """A value is of the right kind but cannot be used."""


class NotFinite(BrainalignError, ValueError):
    """A signal holds NaN or infinity."""


class ConfigProblem(BrainalignError, ValueError):
    """A configuration cannot be read or does not validate."""


class MissingFile(BrainalignError, FileNotFoundError):
    """A file or folder that was named does not exist."""


class UnreadableFile(BrainalignError, OSError):
    """A file exists but cannot be understood."""


class StoreProblem(BrainalignError, OSError):
    """The store cannot be written to, or ran out of room."""


class DamagedArtefact(BrainalignError, OSError):
    """An artefact's content does not match the hashes in its header."""


class UnknownName(BrainalignError, KeyError):
    """A name is not in the list of things that can be asked for."""


class MissingPackage(BrainalignError, ImportError):
    """An optional package is needed and not installed."""


def unknown_name(name: str, *, among: Iterable[str], kind: str) -> UnknownName:
    """Build the error for a name that is not in a registry, with the nearest one suggested.

    >>> print(unknown_name("envelop", among=["envelope", "onsets"], kind="baseline").fix)
    did you mean 'envelope'? Known: envelope, onsets
    """
    known = sorted(among)
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UnknownName(f"there is no {kind} of that name", got=repr(name), fix=f"{hint}Known: {', '.join(known)}")
