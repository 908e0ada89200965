"""How much memory a 3-D network takes: the most that is alive at once in a forward pass, as torch asks for it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mlex_jupyter.learn import machine
from mlex_jupyter.learn.models import channels_of

SIDE = 32
SCRATCH = 1.7
"""What a process grows by, as a share of what is alive: layers have scratch, and the heap has gaps. Measured from 1.1
to 1.7, on U-Nets and TUNets in 3-D."""
SPENT = 0.6e9
"""What Python and torch take before anything is computed."""
USED = 0.8
"""The share of a job's memory that is planned with."""

LEAST = 0.3e9


def budget(memory_gb: float, device: torch.device) -> float:
    """The bytes that a prediction may plan with."""
    if device.type == "cuda":
        return 0.6 * float(torch.cuda.mem_get_info(device)[0])
    free = min(float(psutil.virtual_memory().available), machine.free_bytes()) * USED
    return max(LEAST, min(memory_gb * 1e9 * USED - SPENT, free))


def bytes_per_voxel(network: nn.Module, multiple: int, device: torch.device) -> float:
    """What a forward pass needs for each voxel."""
    side = -(-SIDE // multiple) * multiple
    block_BCZYX = machine.on(device, torch.zeros(1, channels_of(network), side, side, side))
    was_training = network.training
    try:
        network.eval()
        with torch.inference_mode(), Alive() as alive:
            network(block_BCZYX)
    finally:
        network.train(was_training)
    most: float = SCRATCH * alive.most
    return most / side**3


class Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are made meanwhile and not let go of yet."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most: int = 0
        self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Carry it out, and look at what it made."""
        made = function(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else (made,):
            if isinstance(one, Tensor):
                self._count(one)
        return made

    def _count(self, made: Tensor) -> None:
        storage = made.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place in self._known:
            return
        self._known.add(place)
        self._now += size
        self.most = max(self.most, self._now)
        weakref.finalize(made, self._gone, place, size)

    def _gone(self, place: int, size: int) -> None:
        self._known.discard(place)
        self._now -= size
