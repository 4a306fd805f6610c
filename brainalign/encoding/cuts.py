"""What if there are fewer stimuli than folds? Every trial is cut into contiguous parts, to choose a penalty by.

The parts are trials of their own: lags do not reach across a cut, and a few frames on either
side of it are lost to silence. Neighbouring parts of one recording are not independent, so
that scores of whole stimuli are the better ones; for choosing a penalty parts will do.
"""

from __future__ import annotations

from dataclasses import replace

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ValueProblem
from brainalign.encoding.blocks import require_long_trials


def cut_trials(design: Design, *, n_parts: int) -> Design:
    """Cut every trial into contiguous parts of equal length (to one frame), each a trial.

    Parameters
    ----------
    design
        Trials of one stimulus are cut at the same shares of their length, and equal parts keep one name.
    n_parts
        Parts per trial.
    """
    parts = tuple(_part(trial, number, n_parts) for trial in design.trials for number in range(n_parts))
    return replace(design, trials=parts, provenance=design.provenance.then("cut_trials", n_parts=n_parts))


def _part(trial: Trial, number: int, n_parts: int) -> Trial:
    start, stop = (trial.axis.n * i // n_parts for i in (number, number + 1))
    name = f"{trial.name}, part {number + 1} of {n_parts}"
    return Trial(name, trial.x.frames(start, stop), trial.y[start:stop], trial.mask[start:stop])


def enough_for_folds(design: Design, *, n_folds: int) -> Design:
    """Return the design itself if it has a stimulus per fold, else its trials cut into one part per fold.

    Parameters
    ----------
    design
        Trials apart.
    n_folds
        Folds to come.
    """
    n_stimuli = len({trial.name for trial in design.trials})
    if n_stimuli >= n_folds:
        return design
    parts = cut_trials(design, n_parts=n_folds)
    try:
        require_long_trials(parts)
    except ValueProblem as error:
        raise ValueProblem(
            "there are fewer stimuli than folds, and the trials are too short to be cut",
            got=f"{n_stimuli} stimuli for {n_folds} folds; cut up, {error.got}",
            fix="give one penalty (no folds are needed then), fewer folds, a shorter lag window, or more data",
        ) from error
    return parts
