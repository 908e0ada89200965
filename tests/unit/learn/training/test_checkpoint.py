"""Checkpoints: whole or passed over, and never a reason to lose the one before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mlex_jupyter.learn.training.checkpoint import Standing, read, write
from mlex_jupyter.learn.training.state import State


def trained(steps: int) -> State:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    state = State(network, torch.optim.AdamW(network.parameters(), lr=0.01))
    for number in range(steps):
        step(state, number)
    state.keep()
    return state


def step(state: State, number: int) -> None:
    state.optimizer.zero_grad()
    state.network(torch.randn(2, 1, 8, 8)).square().mean().backward()
    state.optimizer.step()
    state.follow(number)


def weights(state: State) -> list[torch.Tensor]:
    return [*state.network.state_dict().values(), *state.mean.state_dict().values()]


def test_going_on_from_a_checkpoint_is_as_never_having_stopped(tmp_path: Path) -> None:
    state = trained(3)
    write(tmp_path, state, Standing(step=3, epoch=1, best=0.5, parameters="p"))
    step(state, 3)
    other = trained(0)
    torch.manual_seed(99)
    standing = read(tmp_path, other, "p")
    assert standing is not None and (standing.step, standing.best) == (3, 0.5)
    step(other, 3)  # the random states came back too
    assert all(torch.equal(a, b) for a, b in zip(weights(state), weights(other), strict=True))
    assert all(torch.equal(state.best[name], other.best[name]) for name in state.best)


@pytest.mark.parametrize("harm", ["cut weights", "changed byte", "cut numbers", "no weights"])
def test_a_torn_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, harm: str) -> None:
    for number in (1, 2):
        write(tmp_path, trained(number), Standing(step=number, epoch=0, parameters="p"))
    place = tmp_path / "step-00000002.safetensors"
    content = place.read_bytes()
    match harm:
        case "cut weights":
            place.write_bytes(content[:-7])
        case "changed byte":
            place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "cut numbers":
            place.with_suffix(".json").write_text('{"sha256": "')
        case "no weights":
            place.unlink()
    state = trained(0)
    standing = read(tmp_path, state, "p")
    assert standing is not None and standing.step == 1
    assert all(torch.equal(a, b) for a, b in zip(weights(state), weights(trained(1)), strict=True))


def test_the_two_newest_are_kept_and_half_written_ones_are_swept_away(tmp_path: Path) -> None:
    (tmp_path / ".step-00000001.safetensors.123").write_bytes(b"what a kill left")
    for number in (1, 2, 3):
        write(tmp_path, trained(number), Standing(step=number, epoch=0, parameters="p"))
    names = {place.name for place in tmp_path.iterdir()}
    assert names == {f"step-0000000{number}.{end}" for number in (2, 3) for end in ("json", "safetensors")}


def test_a_checkpoint_of_other_parameters_is_of_no_use(tmp_path: Path) -> None:
    write(tmp_path, trained(1), Standing(step=1, epoch=0, parameters="others"))
    assert read(tmp_path, trained(0), "p") is None
    assert read(tmp_path / "nowhere", trained(0), "p") is None
