"""How a step is taken: orthogonal for kernels, by AdamW for the rest, the same after a restart."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from mlex_jupyter.learn.training.optimizer import Muon, orthogonal


def a_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3), nn.ConvTranspose2d(4, 2, 2, stride=2)
    )


def learn(network: nn.Module, optimizer: Muon, steps: int, factor: float = 1.0) -> None:
    dice = torch.Generator().manual_seed(3)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        (network(torch.randn(2, 1, 16, 16, generator=dice)).square().mean() * factor).backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(8, 1, 3, 3), (8, 8, 3, 3), (64, 16, 3, 3), (16, 8, 2, 2), (4, 3, 3, 3, 3)])
def test_filters_come_out_orthogonal_however_weakly_one_of_them_spoke(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    kernel = torch.randn(shape)
    kernel[0] *= 0.05
    [found] = orthogonal([kernel])
    lengths = torch.linalg.svdvals(found)
    assert lengths.min() > 0.5 and lengths.max() < 1.3
    before = torch.linalg.svdvals(kernel.reshape(len(kernel), -1))
    assert lengths.max() / lengths.min() < 0.5 * before.max() / before.min() + 1


def test_kernels_that_are_made_orthogonal_together_come_out_as_each_alone() -> None:
    torch.manual_seed(1)
    kernels = [torch.randn(8, 1, 3, 3), torch.randn(8, 8, 3, 3), torch.randn(4, 8, 1, 1), torch.randn(16, 8, 2, 2)]
    for together, kernel in zip(orthogonal(kernels), kernels, strict=True):
        assert torch.allclose(together, orthogonal([kernel])[0], atol=1e-5)


def test_a_step_is_a_share_of_the_kernel_whatever_the_size_of_the_loss() -> None:
    moved: list[list[Tensor]] = []
    for factor in (1.0, 1e-3):
        network = a_network()
        before = [kernel.detach().clone() for kernel in network.parameters() if kernel.ndim > 2]
        learn(network, Muon(network, 0.1, 0.0), 1, factor)
        after = [kernel.detach() for kernel in network.parameters() if kernel.ndim > 2]
        for old, new in zip(before, after, strict=True):
            assert float((new - old).norm() / old.norm()) == pytest.approx(0.1, rel=1e-3)
        moved.append(after)
    assert all(torch.allclose(one, two, atol=1e-3) for one, two in zip(*moved, strict=True))


def test_it_goes_on_from_what_it_remembered_as_if_it_had_never_stopped() -> None:
    network = a_network()
    optimizer = Muon(network, 0.05, 0.01)
    learn(network, optimizer, 3)
    again = copy.deepcopy(network)
    other = Muon(again, 0.05, 0.01)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    learn(network, optimizer, 2)
    learn(again, other, 2)
    assert all(torch.equal(one, two) for one, two in zip(network.parameters(), again.parameters(), strict=True))


def test_a_kernel_without_a_gradient_stays_as_it_is() -> None:
    network = a_network()
    optimizer = Muon(network, 0.05, 0.01)
    network[0].requires_grad_(False)
    before = network[0].weight.detach().clone()
    learn(network, optimizer, 1)
    assert torch.equal(before, network[0].weight)
