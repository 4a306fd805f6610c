"""How is a sparse coder trained? Every choice, with where its default comes from."""

from __future__ import annotations

from dataclasses import dataclass

from brainalign.core.errors import ValueProblem

K_START = 4
SHARES = ("warm_up", "decay", "k_warm_up")


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
        Adam's; None means ``2e-4 / sqrt(d_sae / 2**14)`` (3.3e-4 at 6,144 features).
    warm_up
        Share of the run over which the learning rate rises from 0.
    decay
        Share of the run, at its end, over which it falls linearly to 0.
    k_warm_up
        Share of the run over which k falls linearly from ``K_START * k`` to ``k``. Off by
        default: AudioSAE anneals over 5 % of 200,000 steps, but over 1,000 steps of a planted
        dictionary it cost recovery (mean |cosine| to the truth 0.86 without, 0.81 with 0.05).
    clip
        Largest norm of all gradients together.
    revive_after
        Share of the run without firing after which a feature counts as dead and is trained
        on what the others leave over. None means off, as AudioSAE has it. A share and not a
        count: the usual 10 million tokens are 55.6 hours of audio at 50 Hz.
    revive_weight
        Weight of that loss.
    variant
        A name in `brainalign.sae.variants.known`.
    n_threads
        Threads of the training's arithmetic; 1 gives the same bytes whatever the machine's load.
    """

    k: int = 50
    expansion: float = 8
    n_steps: int | None = None
    epochs: float | None = None
    n_batch: int = 1024
    learning_rate: float | None = None
    warm_up: float = 0.05
    decay: float = 0.2
    k_warm_up: float = 0.0
    clip: float = 1.0
    revive_after: float | None = None
    revive_weight: float = 1 / 32
    variant: str = "batchtopk"
    n_threads: int = 1

    def __post_init__(self) -> None:
        if self.n_steps is not None and self.epochs is not None:
            got = f"n_steps={self.n_steps}, epochs={self.epochs}"
            raise ValueProblem("the length of training is given twice", got=got, fix="give n_steps or epochs")
        for name in ("k", "expansion", "n_steps", "epochs", "n_batch", "learning_rate", "clip", "n_threads"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueProblem(f"{name} must be positive", got=value, fix=f"give {name} > 0")
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueProblem(f"{name} is a share of the run", got=getattr(self, name), fix="give 0 to 1")

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
        peak = self.learning_rate or 2e-4 / (d_sae / 2**14) ** 0.5
        rising = (step + 1) / max(1.0, self.warm_up * n_steps)
        falling = (n_steps - step) / max(1.0, self.decay * n_steps)
        return peak * min(1.0, rising, falling)

    def k_at(self, step: int, *, n_steps: int, d_sae: int) -> float:
        """Return the sparsity of a step: from `K_START` times k (or all features) down to k, linearly."""
        k_start = min(K_START * self.k, d_sae)
        left = 1 - step / max(1.0, self.k_warm_up * n_steps)
        return self.k + (k_start - self.k) * max(0.0, left)
