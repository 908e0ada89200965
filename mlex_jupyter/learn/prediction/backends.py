"""What carries a network's layers out: torch, or OpenVINO on processors where it is installed, equal and faster."""

from __future__ import annotations

import contextlib
import ctypes
import math
import sys
import time
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mlex_jupyter.learn import machine
from mlex_jupyter.learn.machine import LAYOUTS
from mlex_jupyter.learn.models import channels_of
from mlex_jupyter.learn.prediction import tiles
from mlex_jupyter.learn.prediction.tiles import Floats

CONVERTED = {2: 64, 3: 32}
"""The side, by dimensions, at which a network is shown to OpenVINO; it takes any other then."""
PROBE = {2: 256, 3: 64}
NEAR = 1e-5
"""The most that logits may differ, as a share of the largest."""
GAIN = 1.05
"""So many times faster, or it is not worth another library's rounding."""
KEPT = 4
REPORTS = "openvino_telemetry"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


class Backend(Protocol):
    """Computes logits. Called from one thread."""

    name: str
    channels: int
    """How many it takes."""

    def __call__(self, images_BCYX: Floats) -> Tensor:
        """The logits of slices whose sides divide."""

    def let_go(self) -> None:
        """Give back what is kept for the next call."""


class Torch:
    """The network as it is."""

    name = "torch"

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network = network
        self.device = device
        self.channels = channels_of(network)

    def __call__(self, images_BCYX: Floats) -> Tensor:
        """The logits, on the device."""
        return tiles.forward(self.network, images_BCYX, self.device)

    def let_go(self) -> None:
        """What torch keeps."""
        machine.let_go(self.device)
        trim()


class OpenVino:
    """The network as OpenVINO compiles it, anew for each size of input."""

    name = "openvino"

    def __init__(self, network: nn.Module, multiple: int, dims: int = 2) -> None:
        with silent():
            import openvino

        self.channels = channels = channels_of(network)
        sides = [tiles.up_to(CONVERTED[dims], multiple)] * dims
        self._core = openvino.Core()
        with torch.inference_mode():
            self._model = openvino.convert_model(
                network.to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
                example_input=torch.zeros(1, channels, *sides),
                input=[-1, channels, *[-1] * dims],
            )
        self._compiled: dict[tuple[int, ...], Any] = {}

    def __call__(self, images_BCYX: Floats) -> Tensor:
        """The logits; they are overwritten by the next call."""
        request = self._compiled.get(images_BCYX.shape) or self._compile(images_BCYX.shape)
        made = request.infer([images_BCYX], share_inputs=True, share_outputs=True)
        return torch.from_numpy(made[0])

    def let_go(self) -> None:
        """What was compiled for some size."""
        self._compiled.clear()
        trim()

    def _compile(self, shape: tuple[int, ...]) -> Any:
        if len(self._compiled) == KEPT:
            del self._compiled[next(iter(self._compiled))]
        self._model.reshape(list(shape))
        how = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._compiled[shape] = self._core.compile_model(self._model, "CPU", how).create_infer_request()
        return self._compiled[shape]


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep OpenVINO from loading what reports its use over the network; without it it uses a stand-in of its own."""
    if "openvino" in sys.modules:
        yield
        return
    sys.modules[REPORTS] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[REPORTS]


def openvino(network: nn.Module, multiple: int, dims: int = 2) -> OpenVino | str:
    """The network in OpenVINO, or why it cannot be."""
    try:
        return OpenVino(network, multiple, dims)
    except ImportError:
        return "it is not installed"
    except Exception as error:  # a layer that it does not know; its errors have many types
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"it does not take this network: {first[:200]}"
    finally:
        network.to(memory_format=LAYOUTS[dims])  # type: ignore[call-overload]


def faster(network: nn.Module, multiple: int, threads_device: torch.device, dims: int = 2) -> tuple[Backend, str]:
    """OpenVINO where it gives the same and takes less time, else torch; and why, in words."""
    plain = Torch(network, threads_device)
    other = openvino(network, multiple, dims)
    if isinstance(other, str):
        return plain, f"torch computes; OpenVINO does not, since {other}"
    channels = channels_of(network)
    sides = [tiles.up_to(PROBE[dims], multiple)] * dims
    probe_BCYX = np.random.default_rng(0).normal(size=(1, channels, *sides)).astype(np.float32)
    try:
        truth, made = plain(probe_BCYX), other(probe_BCYX)
    except Exception as error:  # see above; here in what it made of the network
        return plain, f"torch computes; OpenVINO does not, since it failed on a probe: {str(error)[:200]}"
    apart = float((made - truth).abs().max() / truth.abs().max().clamp_min(1e-30))
    if not apart <= NEAR:
        return plain, f"torch computes; OpenVINO does not, since it is {apart:.0e} of the largest logit away"
    gain = _seconds(plain, probe_BCYX) / _seconds(other, probe_BCYX)
    if gain < GAIN:
        return plain, f"torch computes; OpenVINO does not, since it is {gain:.2f} times as fast on a probe"
    return other, f"OpenVINO computes: {gain:.2f} times as fast as torch on a probe, and {apart:.0e} away from it"


def _seconds(backend: Backend, probe_BCYX: Floats) -> float:
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        backend(probe_BCYX)
        taken.append(time.perf_counter() - begun)
    return min(taken)


def keep_memory() -> None:
    """Use large pieces of memory again instead of asking the kernel for new ones, which have to be cleared each time.

    A layer's output is larger than what glibc keeps by itself; without this nearly half of a network's time goes
    into pages. Where a process may have only so much, it is needed elsewhere, and given back.
    """
    if machine.free_bytes() < math.inf:
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library knows no such thing
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)


def trim() -> None:
    """Give unused pieces of memory back to the kernel after all."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
