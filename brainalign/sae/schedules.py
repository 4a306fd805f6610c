"""How does the learning rate run over a training? Warm-up and decay are shares of the run, not steps."""

from __future__ import annotations

import math
from collections.abc import Callable


def _rising(step: int, *, n_steps: int, warm_up: float) -> float:
    return min(1.0, (step + 1) / max(1.0, warm_up * n_steps))


def linear(step: int, *, n_steps: int, warm_up: float, decay: float) -> float:
    """Rise linearly over the first share, stay, fall linearly to 0 over the last share."""
    falling = (n_steps - step) / max(1.0, decay * n_steps)
    return min(_rising(step, n_steps=n_steps, warm_up=warm_up), falling)


def cosine(step: int, *, n_steps: int, warm_up: float, decay: float) -> float:
    """Rise linearly over the first share, stay, fall to 0 over the last share along half a cosine."""
    left = min(1.0, (n_steps - step) / max(1.0, decay * n_steps))
    return min(_rising(step, n_steps=n_steps, warm_up=warm_up), 0.5 - 0.5 * math.cos(math.pi * left))


def constant(step: int, *, n_steps: int, warm_up: float, decay: float) -> float:
    """Rise linearly over the first share and stay; ``decay`` is not looked at."""
    return _rising(step, n_steps=n_steps, warm_up=warm_up)


SCHEDULES: dict[str, Callable[..., float]] = {"linear": linear, "cosine": cosine, "constant": constant}
"""Each returns the factor on the peak rate of a step counted from 0."""
