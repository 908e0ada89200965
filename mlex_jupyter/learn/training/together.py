"""Several processes that train one network: each takes its share of every batch, and all make the same step.

`torchrun` starts them, on one machine or on many, and says to each in its environment who it is. The sums that they
share are those of one process over the whole batch, so the loss is the same but for rounding; with batch
normalisation each process normalises by its own share, and it is not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn


class Together:
    """The processes of one training; mostly there is one."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def leads(self) -> bool:
        """Whether this is the one that judges, writes and speaks."""
        return self.rank == 0

    def share(self, count: int) -> Sequence[int]:
        """Which of a batch are this process's: every one in turn."""
        return range(self.rank, count, self.size)

    def total(self, *values: float) -> list[float]:
        """The sums over all processes, of each value."""
        if self.size == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(shared)
        return shared.tolist()

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Let every process have the sum of all gradients."""
        if self.size == 1:
            return
        trained = [one for one in parameters if one.requires_grad]
        flat = torch.cat([(torch.zeros_like(one) if one.grad is None else one.grad).reshape(-1) for one in trained])
        torch.distributed.all_reduce(flat)
        begin = 0
        for one in trained:
            one.grad = flat[begin : begin + one.numel()].view_as(one)
            begin += one.numel()

    def same_everywhere(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the leader's values."""
        if self.size > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, src=0)


def started_together() -> bool:
    """Whether `torchrun` started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def leads() -> bool:
    """Whether this process is the first of those that were started together, or alone."""
    return int(os.environ.get("RANK", "0")) == 0


@contextlib.contextmanager
def together() -> Iterator[Together]:
    """Join the others, where there are any, for the length of the block."""
    if not started_together():
        yield Together()
        return
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Together(torch.distributed.get_rank(), torch.distributed.get_world_size())
    finally:
        torch.distributed.destroy_process_group()


def mixes_batches(network: nn.Module) -> bool:
    """Whether a sample's result depends on its batch while training, as with batch normalisation."""
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in network.modules())
