"""How strong is a penalty on activity? A given weight that rises, or one that is steered to a wanted sparsity.

A penalty's weight means another sparsity in every layer, so variants could be compared only after a sweep.
Steered, its logarithm moves each step by the log ratio of the batch's mean L0 to k: all variants end at the same k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from brainalign.core.errors import ValueProblem

GAIN = 0.02


class Weight:
    """The weight of a sparsity penalty during one run.

    Parameters
    ----------
    given
        The weight, or None for one that is steered to mean L0 = k.
    start
        Where a steered weight begins.
    warm_up
        Share of the run over which a given weight rises linearly from 0.
    """

    def __init__(self, given: float | None, *, start: float, warm_up: float) -> None:
        if given is not None and not given >= 0:
            raise ValueProblem("a penalty's weight cannot be negative", got=given, fix="give sparsity >= 0, or None")
        if not 0 <= warm_up <= 1:
            raise ValueProblem("warm-up of a penalty is a share of the run", got=warm_up, fix="give 0 to 1")
        self._given = given
        self._warm_up = warm_up
        self._log = math.log(start)
        self._step = 0
        self._n_steps = 1

    def begin(self, n_steps: int) -> None:
        """Say how long the run is, which a share of it needs."""
        self._n_steps = n_steps

    @property
    def value(self) -> float:
        """The weight of the coming step."""
        if self._given is None:
            return math.exp(self._log)
        return self._given * min(1.0, (self._step + 1) / max(1.0, self._warm_up * self._n_steps))

    def after(self, l0: float, *, k: float) -> None:
        """Count a step, whose mean number of active features was ``l0`` where ``k`` are wanted."""
        self._step += 1
        ratio = math.log(max(l0, 1e-3) / k)
        self._log += GAIN * min(1.0, max(-1.0, ratio))

    def state(self) -> dict[str, float]:
        """Return what a later run needs to go on."""
        return {"log_weight": self._log, "step": float(self._step)}

    def restore(self, state: Mapping[str, float]) -> None:
        """Take back what `state` gave."""
        self._log, self._step = float(state["log_weight"]), int(state["step"])
