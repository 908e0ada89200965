"""OpenVINO computes only where it is there, equal and faster."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mlex_jupyter.learn.models import build
from mlex_jupyter.learn.models.fold import folded
from mlex_jupyter.learn.prediction import backends

UNET = "mlex_jupyter.learn.models.unet:unet"
CPU = torch.device("cpu")


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return folded(build(UNET, {"depth": 3, "base_channels": 4}, channels=1, classes=3))


@pytest.mark.needs("openvino")
def test_it_gives_what_torch_gives_at_any_size(network: nn.Module) -> None:
    other = backends.openvino(network, 4)
    assert isinstance(other, backends.OpenVino)
    plain = backends.Torch(network, CPU)
    for shape in ((1, 1, 64, 64), (2, 1, 128, 36), (1, 1, 64, 64)):
        image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        truth = plain(image)
        assert (other(image) - truth).abs().max() <= 1e-5 * truth.abs().max()


@pytest.mark.needs("openvino")
def test_it_reports_nothing_to_anybody() -> None:
    tried = f"""
import sys
from mlex_jupyter.learn.prediction import backends
from mlex_jupyter.learn.models import build
made = backends.openvino(build({UNET!r}, {{"depth": 2, "base_channels": 4}}, channels=1, classes=2).eval(), 2)
assert made.name == "openvino"
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__.endswith("telemetry_stub")
"""
    done = subprocess.run([sys.executable, "-c", tried], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr


def test_without_it_torch_computes_and_says_so(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    backend, why = backends.faster(network, 4, CPU)
    assert backend.name == "torch"
    assert why == "torch computes; OpenVINO does not, since it is not installed"


class Other:
    name = "openvino"

    def __init__(self, network: nn.Module, error: float, times: int) -> None:
        self.network, self.error, self.times = backends.Torch(network, CPU), error, times

    def __call__(self, images: np.ndarray) -> torch.Tensor:
        for _ in range(self.times):
            made = self.network(images)
        return made + self.error * made.abs().max()


@pytest.mark.parametrize(
    ("error", "times", "words"), [(1e-3, 1, "of the largest logit away"), (0, 3, "times as fast on a probe")]
)
def test_what_is_not_equal_or_not_faster_is_not_used(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch, error: float, times: int, words: str
) -> None:
    monkeypatch.setattr(backends, "openvino", lambda network, multiple, dims=2: Other(network, error, times))
    backend, why = backends.faster(network, 4, CPU)
    assert backend.name == "torch"
    assert why.startswith("torch computes; OpenVINO does not, since it is ") and why.endswith(words)


def test_a_layer_that_it_does_not_know_is_no_failure(monkeypatch: pytest.MonkeyPatch, network: nn.Module) -> None:
    def refuse(*rest: object) -> None:
        raise RuntimeError("no such layer\nand much more")

    monkeypatch.setattr(backends, "OpenVino", refuse)
    assert backends.openvino(network, 4) == "it does not take this network: no such layer"
