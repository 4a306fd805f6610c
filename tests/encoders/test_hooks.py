"""Hooks hear what they should, stop where they should, and always leave."""

import gc
import threading
import weakref

import pytest
import torch
from torch import nn

from brainalign.encoders.hooks import Site, captured


class Counter(nn.Module):
    """Adds one, and counts how often it ran."""

    def __init__(self):
        super().__init__()
        self.n_runs = 0

    def forward(self, x):
        self.n_runs += 1
        return x + 1


@pytest.fixture
def stack():
    return nn.Sequential(*(Counter() for _ in range(4)))


def _n_hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_inputs_and_outputs_are_told_apart(stack):
    with captured({0: Site(stack[0], "input"), 2: Site(stack[1])}) as found:
        stack(torch.zeros(3))
    assert {k: v[0].item() for k, v in found.items()} == {0: 0.0, 2: 2.0}


def test_nothing_runs_above_the_last_site(stack):
    with captured({1: Site(stack[0]), 2: Site(stack[1])}):
        stack(torch.zeros(3))
    assert [m.n_runs for m in stack] == [1, 1, 0, 0]


def test_on_request_the_pass_is_finished(stack):
    with captured({1: Site(stack[0])}, stop=False) as found:
        out = stack(torch.zeros(3))
    assert out[0] == 4 and found[1][0] == 1


def test_hooks_leave_after_success_stop_and_failure(stack):
    with captured({1: Site(stack[0])}, stop=False):
        stack(torch.zeros(3))
    with captured({1: Site(stack[0])}):
        stack(torch.zeros(3))
    with pytest.raises(RuntimeError, match="by the way"), captured({4: Site(stack[3])}):
        raise RuntimeError("by the way")
    with pytest.raises(AttributeError), captured({1: Site(stack[0]), 2: Site(None)}):
        stack(torch.zeros(3))
    assert _n_hooks(stack) == 0
    assert stack(torch.zeros(3))[0] == 4


def test_an_outer_capture_stops_through_an_inner_one(stack):
    with captured({2: Site(stack[1])}) as outer:
        with captured({4: Site(stack[3])}) as inner:
            stack(torch.zeros(3))
        pytest.fail("the outer capture should have ended the pass")
    assert list(outer) == [2] and not inner
    assert _n_hooks(stack) == 0


def test_tuples_give_their_first_entry():
    class Pair(nn.Module):
        def forward(self, hidden_states):
            return hidden_states * 2, "bias"

    pair = Pair()
    with captured({0: Site(pair, "input"), 1: Site(pair)}) as found:
        pair(hidden_states=torch.ones(2))
    assert found[0][0] == 1 and found[1][0] == 2


def test_another_threads_pass_is_not_heard(stack):
    other = threading.Thread(target=stack, args=(torch.full((3,), 100.0),))
    with captured({4: Site(stack[3])}) as found:
        other.start()
        other.join()
        assert not found
        stack(torch.zeros(3))
    assert found[4][0] == 4


def test_gradients_are_left_behind(stack):
    weight = nn.Parameter(torch.ones(3))
    with captured({1: Site(stack[0])}) as found:
        stack(weight * 2)
    assert not found[1].requires_grad


def test_a_pass_that_was_stopped_leaves_nothing_behind():
    """Not even until the garbage collector comes: hours of sound would fill the memory."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            between = self.first(x)
            kept.append(weakref.ref(between))
            return self.second(between)

    kept, model = [], Two()
    gc.disable()
    try:
        with torch.inference_mode(), captured({0: Site(model.second, "output")}) as found:
            model(torch.ones(2, 4))
        assert 0 in found
        assert kept[0]() is None
    finally:
        gc.enable()
