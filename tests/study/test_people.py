"""What holds in the population, and what any model of the sound could reach."""

import numpy as np
import pytest

from brainalign.core.design import Design, Trial
from brainalign.core.result import EncodingResult
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.pipeline.schema import SimulatedListeners
from brainalign.pipeline.stages import people
from brainalign.pipeline.stages.people import shared_responses
from brainalign.pipeline.study import lay_out
from tests.study import worlds

RATE, CHANNELS = 50, ("a", "b")


def trial(name, y, *, start=0, mask=None):
    axis = TimeAxis(RATE, len(y), start)
    mask = np.ones(len(y), dtype=bool) if mask is None else mask
    return Trial(name, Trajectory(np.ones((len(y), 1), dtype=np.float32), axis, ("f",)), y, mask)


def listener(*trials):
    return Design(tuple(trials), Lags(0, 5, RATE), CHANNELS, np.zeros((2, 3)))


def test_responses_meet_at_the_same_moments_and_where_all_are_usable(rng):
    y = rng.standard_normal((200, 2))
    mask = np.ones(190, dtype=bool)
    mask[100:120] = False
    one, other = listener(trial("s", 3 * y)), listener(trial("s", y[10:] + 1, start="0.2", mask=mask))
    found = shared_responses([one, other], "s")
    assert found.shape == (2, 170, 2)
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)
    np.testing.assert_allclose(found.std(axis=1), 1)


def test_a_constant_channel_is_silent_and_not_divided_by_nothing(rng):
    y = rng.standard_normal((100, 2)) * [1, 0]
    assert (shared_responses([listener(trial("s", y))] * 2, "s")[:, :, 1] == 0).all()


def ceiling_of(listeners):
    inputs = {"designs": [item.pack() for item in listeners]}
    return people.find_ceiling({"seed": 0}, inputs, files=(), progress=None)


def test_the_ceiling_is_what_listeners_share(rng):
    """A third of the variance is common at the first channel, nothing at the second."""
    common = {name: rng.standard_normal((6000, 1)) for name in "st"}
    listeners = [
        listener(*(trial(name, np.sqrt(2) * rng.standard_normal((6000, 2)) + shared * [1, 0])
                   for name, shared in common.items()))
        for _ in range(5)
    ]  # fmt: skip
    found = ceiling_of(listeners)
    assert found.meta["n_stories"] == 2
    assert found.arrays["reliability"][0] == pytest.approx(1 / 3, abs=0.03)
    assert found.arrays["low"][0] > 0.25
    assert abs(found.arrays["reliability"][1]) < 0.02
    assert found.arrays["low"][1] < 0.01


def test_without_common_stories_or_time_there_is_no_ceiling(rng):
    one, other = (listener(trial(name, rng.standard_normal((4000, 2)))) for name in "st")
    assert ceiling_of([one, other]).meta["n_stories"] == 0
    short = listener(trial("s", rng.standard_normal((900, 2))))
    assert not ceiling_of([short, short]).arrays


def population_of(scores):
    maps = []
    for item in scores:
        n_features, n_channels = item.shape
        maps.append(
            EncodingResult(
                scores=item[None],
                alpha=np.ones((1, n_features, n_channels)),
                coef=np.zeros((n_features, 6, n_channels)),
                coef_alpha=np.ones((n_features, n_channels)),
                lags=Lags(0, 5, RATE),
                features=tuple(f"f{i}" for i in range(n_features)),
                channels=tuple(f"c{i}" for i in range(n_channels)),
                positions=np.zeros((n_channels, 3)),
            ).pack()
        )
    return people.generalise({"seed": 0}, {"maps": maps}, files=(), progress=None)


def test_a_score_that_all_listeners_have_generalises_and_one_listeners_does_not(rng):
    scores = rng.normal(0, 0.02, (9, 3, 2))
    scores[:, 0, 0] += 0.2
    scores[0, 1, 1] += 0.9
    found = population_of(scores)
    assert found.meta["n_listeners"] == 9
    assert found.meta["exact"]
    assert np.argwhere(found.arrays["p_corrected"] <= 0.05).tolist() == [[0, 0]]


def test_without_effect_the_population_test_errs_at_its_level():
    rng = np.random.default_rng(4)
    alarms = [population_of(rng.normal(0, 0.05, (8, 4, 3))).arrays["p_corrected"].min() <= 0.05 for _ in range(300)]
    assert np.mean(alarms) < 0.09


def test_a_group_has_both_and_one_listener_neither(tiny):
    assert tiny.results.population.shape == tiny.results.test.p.shape
    assert "ceiling" in tiny.study.plan
    alone = lay_out(tiny.study.config.model_copy(update={"listeners": SimulatedListeners.model_construct(
        n_listeners=1, decoys=False)}), worlds.TINY.parent)  # fmt: skip
    assert not {"population", "ceiling"} & {task.name for task in alone}
