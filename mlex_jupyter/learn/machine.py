"""The machine that a job has: how many threads, and whether there is a GPU."""

from __future__ import annotations

import contextlib
import math
import os
import re
import resource
import sys
from pathlib import Path

import psutil
import torch
from torch import nn

LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}
"""By the dimensions of a network: a training step takes two thirds of the time, a prediction no more."""


def cpus() -> int:
    """The cores that this job may use: `MLEX_CPUS`, or all that the process is allowed."""
    given = os.environ.get("MLEX_CPUS", "")
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(int(given), allowed) if given.isdigit() and int(given) else allowed


def prepare() -> torch.device:
    """Set the threads, and choose where to compute."""
    torch.set_num_threads(cpus())
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True
        return torch.device("cuda")
    return torch.device("cpu")


def laid_out(network: nn.Module, dims: int, device: torch.device) -> nn.Module:
    """The network on a device, its weights in the layout that is fast there."""
    placed: nn.Module = network.to(device, memory_format=LAYOUTS[dims])  # type: ignore[call-overload]
    return placed


def on(device: torch.device, batch: torch.Tensor) -> torch.Tensor:
    """A batch of slices or blocks on a device, in the layout of its network."""
    return batch.to(device, memory_format=LAYOUTS[batch.ndim - 2])


def in_words(device: torch.device) -> str:
    """The machine as a line of the log."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}, mixed precision"
    return "1 processor core" if torch.get_num_threads() == 1 else f"{torch.get_num_threads()} processor cores"


def fast_math(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """bfloat16 where it is fast: on GPUs, and on processors with matrix tiles (AMX), elsewhere it is slower."""
    if device.type == "cuda" or has_tiles():
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def has_tiles() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware."""
    asked = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(asked and asked())


def memory_gb(device: torch.device) -> float:
    """The most that has been used so far: of the GPU's memory, or of this process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 1e9
    return peak_bytes() / 1e9


def peak_bytes() -> int:
    """The most memory that this process has had. What `getrusage` says is no less than what its parent had."""
    with contextlib.suppress(OSError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()):
            return int(found[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def free_bytes() -> float:
    """What this process may still take by the limits that are set for it (`ulimit -v`, `-d`); infinite without any."""
    memory = psutil.Process().memory_info()
    limits = ((resource.RLIMIT_AS, memory.vms), (resource.RLIMIT_DATA, getattr(memory, "data", 0)))
    found = ((resource.getrlimit(limit)[0], used) for limit, used in limits)
    return min((most - used for most, used in found if most != resource.RLIM_INFINITY), default=math.inf)


SAID = ("can't allocate memory", "out of memory", "bad_alloc", "could not create a primitive", "can't start new thread")
"""How torch, OpenVINO, oneDNN and Python say that there is no more memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that there was not enough memory."""
    said = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(one in said for one in SAID)


def let_go(device: torch.device) -> None:
    """Give back what torch keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
