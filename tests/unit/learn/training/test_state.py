"""What is trained: the mean of the weights follows the weights, and comes back with all the rest."""

from __future__ import annotations

import torch
from torch import nn

from mlex_jupyter.learn.training.state import LONGEST, State


def a_state() -> State:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    return State(network, torch.optim.AdamW(network.parameters(), lr=0.01))


def set_to(state: State, value: float) -> None:
    for tensor in state.network.state_dict().values():
        tensor.fill_(value)


def mean_of(state: State) -> float:
    return float(state.mean.state_dict()["0.weight"].mean())


def test_the_mean_begins_with_the_first_weights_and_soon_forgets_them() -> None:
    state = a_state()
    set_to(state, 5)
    state.follow(0)
    assert mean_of(state) == 5
    set_to(state, 1)
    for step in range(1, 60):
        state.follow(step)
    assert 1 < mean_of(state) < 1.01
    assert state.mean.state_dict()["1.num_batches_tracked"] == 1, "what is counted is not averaged"


def test_the_mean_is_over_a_share_of_the_steps_so_that_one_bad_step_does_it_little_harm() -> None:
    harm = {}
    for step in (20, 200, 100 * LONGEST):
        state = a_state()
        set_to(state, 0)
        state.follow(0)
        set_to(state, 1)
        state.follow(step)
        harm[step] = mean_of(state)
    assert harm[20] > harm[200] > harm[100 * LONGEST] > 0
    assert harm[200] < 0.05
    assert harm[100 * LONGEST] == float(torch.tensor(1 / LONGEST)), "a long training goes on learning"


def test_the_best_is_a_copy_that_later_steps_leave_alone() -> None:
    state = a_state()
    set_to(state, 2)
    state.follow(0)
    state.keep()
    set_to(state, 9)
    state.follow(0)
    assert mean_of(state) == 9
    best = state.load_best()
    assert float(best.state_dict()["0.weight"].mean()) == 2
    assert not best.training


def test_the_network_that_is_trained_shares_nothing_with_its_mean() -> None:
    state = a_state()
    assert not any(parameter.requires_grad for parameter in state.mean.parameters())
    assert all(parameter.requires_grad for parameter in state.network.parameters())
    state.network(torch.zeros(2, 1, 8, 8)).sum().backward()
    set_to(state, 3)
    assert mean_of(state) != 3


def test_the_mean_takes_its_statistics_from_what_it_is_shown_and_frozen_ones_stay() -> None:
    state = a_state()
    images = torch.randn(4, 1, 16, 16) * 3 + 7
    with torch.no_grad():
        expected = state.mean[0](images)  # type: ignore[index]
    normal: nn.BatchNorm2d = state.mean[1]  # type: ignore[index, assignment]
    state.take_statistics([images])
    assert torch.allclose(normal.running_mean, expected.mean(dim=(0, 2, 3)), atol=1e-4)  # type: ignore[arg-type]
    assert normal.momentum == 0.1 and not normal.training
    normal.momentum = 0.0
    state.take_statistics([images * 9])
    assert torch.allclose(normal.running_mean, expected.mean(dim=(0, 2, 3)), atol=1e-4)  # type: ignore[arg-type]
