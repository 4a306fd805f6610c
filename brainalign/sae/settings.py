"""How is a sparse coder trained? Every choice, with where its default comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.sae.schedules import SCHEDULES

K_START = 4
# From where on a run is long enough for the published rate, and what a short one may take: so many times as much, and
# no more than narrow coders, whose rate is high by itself, learn well with.
SHORT_RUN, MOST_HASTE, FASTEST = 12_000, 3.0, 1.5e-3
DEAD_WINDOW = 0.05
POSITIVE = ("k", "expansion", "n_steps", "epochs", "n_batch", "learning_rate", "clip", "patience", "n_threads")
SHARES = ("warm_up", "decay", "k_warm_up", "evaluate_every")
WINDOWS = ("revive_after", "resample_after")
CHOICES = {
    "schedule": tuple(SCHEDULES),
    "screening": ("exact", "bfloat16"),
    "dead_in": ("run", "hours"),
    "normalise": ("corpus", "frame"),
}


@dataclass(frozen=True)
class SaeTraining:
    """Settings of one training run.

    Parameters
    ----------
    k
        Mean active features per frame (AudioSAE: 50 at 768 inputs).
    expansion
        Features per input (AudioSAE: 8).
    n_steps, epochs
        How long: steps, or passes over the frames. Give one; neither means 2,000 steps.
    n_batch
        Frames per step.
    learning_rate
        Adam's; None means ``2e-4 / sqrt(d_sae / 2**14)`` (3.3e-4 at 6,144 features), and for runs
        of less than `SHORT_RUN` steps the root of that shortage more, at most `MOST_HASTE` times and
        up to `FASTEST`.
        After 300 steps on speech in Whisper base's layer 6 (1,024 features, k 50) the explained
        variance of held-out frames was 0.866, 0.905, 0.926 and 0.937 at 3.3e-4, 1e-3, 3e-3 and 1e-2
        (2 % dead at the last).
    schedule
        How the rate runs between them: a name in `brainalign.sae.schedules.SCHEDULES`.
    warm_up
        Share of the run over which the learning rate rises from 0.
    decay
        Share of the run, at its end, over which it falls to 0.
    k_warm_up
        Share of the run over which k falls linearly from ``K_START * k`` to ``k``. Off by
        default: AudioSAE anneals over 5 % of 200,000 steps, but over 1,000 steps of a planted
        dictionary it cost recovery (mean |cosine| to the truth 0.86 without, 0.81 with 0.05).
    normalise
        ``"corpus"``: one factor gives all frames a mean squared norm of 1. ``"frame"``: every frame
        is divided by its own norm. AudioSAE's "unit norm" may be either.
    clip
        Largest norm of all gradients together.
    revive_after
        How long a feature may stay silent before it counts as dead and is trained on what the
        others leave over. None means off, as AudioSAE has it.
    revive_weight
        Weight of that loss.
    resample_after
        How long a feature may stay silent before it starts again from a poorly explained frame.
        None means off.
    dead_in
        What the two are: shares of the ``"run"``, or ``"hours"`` of audio. Never a count: the
        usual 10 million tokens are 55.6 hours of audio at 50 Hz.
    patience
        Evaluations on held-out frames without a better explained variance after which training
        stops and returns the best parameters. None means off.
    evaluate_every
        Share of the run between two evaluations, where held-out frames are given.
    variant
        A name in `brainalign.sae.variants.known`.
    options
        The variant's own hyper-parameters, by name; those left out keep its defaults.
    screening
        How candidates for the active features are found: ``"exact"`` float32 products, or
        ``"bfloat16"`` ones whose survivors are computed again in float32.
    n_threads
        Threads of the training's arithmetic; 1 gives the same bytes whatever the machine's load.
    """

    k: int = 50
    expansion: float = 8
    n_steps: int | None = None
    epochs: float | None = None
    n_batch: int = 1024
    learning_rate: float | None = None
    schedule: str = "linear"
    warm_up: float = 0.05
    decay: float = 0.2
    k_warm_up: float = 0.0
    normalise: Literal["corpus", "frame"] = "corpus"
    clip: float = 1.0
    revive_after: float | None = None
    revive_weight: float = 1 / 32
    resample_after: float | None = None
    dead_in: Literal["run", "hours"] = "run"
    patience: int | None = None
    evaluate_every: float = 0.05
    variant: str = "batchtopk"
    options: Mapping[str, float] = field(default_factory=dict)
    screening: Literal["exact", "bfloat16"] = "exact"
    n_threads: int = 1

    def __post_init__(self) -> None:
        if self.n_steps is not None and self.epochs is not None:
            got = f"n_steps={self.n_steps}, epochs={self.epochs}"
            raise ValueProblem("the length of training is given twice", got=got, fix="give n_steps or epochs")
        for name in (*POSITIVE, *WINDOWS):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueProblem(f"{name} must be positive", got=value, fix=f"give {name} > 0")
        for name in SHARES if self.dead_in == "hours" else (*SHARES, *WINDOWS):
            if not 0 <= (getattr(self, name) or 0) <= 1:
                raise ValueProblem(f"{name} is a share of the run", got=getattr(self, name), fix="give 0 to 1")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown_name(getattr(self, name), among=known, kind=name)
        object.__setattr__(self, "options", dict(self.options))

    @classmethod
    def audiosae(cls, *, n_steps: int = 200_000) -> Self:
        """Return AudioSAE's recipe: 200,000 batches of 2,500 frames, BatchTopK, no auxiliary loss.

        The paper does not say how its "sparsity warm-up" of 5 % works; here k falls to 50.
        """
        return cls(
            k=50, expansion=8, n_steps=n_steps, n_batch=2500, learning_rate=2e-4, warm_up=0.0, decay=0.2, k_warm_up=0.05
        )

    def steps(self, n_frames: int) -> int:
        """Return the number of steps for a corpus of this many frames."""
        if self.epochs is not None:
            return max(1, round(self.epochs * n_frames / self.n_batch))
        return self.n_steps or 2000

    def width(self, d_in: int) -> int:
        """Return the number of features for this many inputs, refusing one below k."""
        d_sae = round(self.expansion * d_in)
        if d_sae < self.k:
            got = f"{d_sae} features ({self.expansion} x {d_in}) for k={self.k}"
            raise ValueProblem("a coder must have more features than k", got=got, fix="raise expansion or lower k")
        return d_sae

    def rate_at(self, step: int, *, n_steps: int, d_sae: int) -> float:
        """Return the learning rate of a step (counted from 0)."""
        peak = self.learning_rate or _usual_rate(n_steps, d_sae)
        return peak * SCHEDULES[self.schedule](step, n_steps=n_steps, warm_up=self.warm_up, decay=self.decay)

    def k_at(self, step: int, *, n_steps: int, d_sae: int) -> float:
        """Return the sparsity of a step: from `K_START` times k (or all features) down to k, linearly."""
        if not self.k_warm_up:
            return self.k
        k_start = min(K_START * self.k, d_sae)
        left = 1 - step / max(1.0, self.k_warm_up * n_steps)
        return self.k + (k_start - self.k) * max(0.0, left)

    def window(self, name: str, *, n_steps: int, rate: float | None) -> float | None:
        """Return ``revive_after`` or ``resample_after`` in steps, None where it is off.

        Parameters
        ----------
        name
            Which of the two.
        n_steps
            Steps of the run.
        rate
            Frames per second of audio; None where the corpus has no one rate.
        """
        value: float | None = getattr(self, name)
        if value is None or self.dead_in == "run":
            return None if value is None else value * n_steps
        if rate is None:
            fix = 'give trajectories of one rate, or dead_in="run"'
            raise ValueProblem("hours of audio need one frame rate", got="several", fix=fix)
        return value * 3600 * rate / self.n_batch


def _usual_rate(n_steps: int, d_sae: int) -> float:
    published = 2e-4 / (d_sae / 2**14) ** 0.5
    haste = min(max((SHORT_RUN / n_steps) ** 0.5, 1.0), MOST_HASTE)
    return max(published, min(haste * published, FASTEST))
