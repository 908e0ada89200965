"""Networks: what their contract says, and DLSIA behind its adapter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.learn.models import build, evaluate, find_builder
from mlex_jupyter.learn.models.fold import folded

UNET, TUNET = "mlex_jupyter.learn.models.unet:unet", "mlex_jupyter.learn.models.dlsia:tunet"


@pytest.mark.parametrize("where", [UNET, TUNET])
@pytest.mark.parametrize("depth", [2, 5])
def test_a_network_returns_logits_of_the_size_it_was_given(where: str, depth: int) -> None:
    network = build(where, {"depth": depth, "base_channels": 4, "epochs": 3}, channels=2, classes=5).eval()
    assert network(torch.zeros(1, 2, 48, 80)).shape == (1, 5, 48, 80)


@pytest.mark.parametrize("where", [UNET, TUNET])
def test_folding_the_normalisation_changes_nothing_but_rounding(where: str) -> None:
    torch.manual_seed(1)
    network = build(where, {"base_channels": 4}, channels=1, classes=3).train()
    with torch.no_grad():
        network(torch.randn(4, 1, 32, 32))  # so that there are statistics to fold
    network.eval()
    picture = torch.randn(1, 1, 32, 32)
    fast = folded(network)
    assert torch.allclose(network(picture), fast(picture), atol=1e-4)
    kinds = [type(part).__name__ for part in fast.modules()]
    assert "BatchNorm2d" not in kinds and "BatchNorm2d" in [type(part).__name__ for part in network.modules()]


def test_a_rule_is_worked_out_and_nothing_else_is() -> None:
    assert evaluate("6*2**(depth-1)", {"depth": 4}) == 48
    assert evaluate("1", {}) == 1
    for rule in ("__import__('os')", "depth.real", "width", "[1]", "depth / 2"):
        with pytest.raises(Invalid):
            evaluate(rule, {"depth": 4})


def test_a_builder_that_is_not_there_is_said_plainly() -> None:
    with pytest.raises(NotFound, match="cannot be loaded here"):
        find_builder("no_such_package:net")
    with pytest.raises(NotFound):
        find_builder("mlex_jupyter.learn.models.unet:nothing")


def torchvision_after_dlsia(folder: Path, content: str | None) -> list[str]:
    """Import the adapter with this torchvision on the path, and say what is left of it."""
    if content is not None:
        package = folder / "torchvision"
        (package / "transforms").mkdir(parents=True)
        (package / "__init__.py").write_text(content)
        for name in ("transforms/__init__.py", "transforms/functional.py"):
            (package / name).write_text("")
        (package / "utils.py").write_text("def save_image(): ...")
    code = (
        "import sys, mlex_jupyter.learn.models.dlsia as d; assert d.TUNet;"
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'torchvision'));"
        "print(getattr(sys.modules.get('torchvision'), 'MARK', None))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(folder)}
    )
    return said.stdout.splitlines()


def test_the_stand_in_for_torchvision_is_gone_after_the_import(tmp_path: Path) -> None:
    broken = "raise RuntimeError('operator torchvision::nms does not exist')"
    assert torchvision_after_dlsia(tmp_path, broken) == ["[]", "None"]


def test_a_torchvision_that_works_is_left_in_place(tmp_path: Path) -> None:
    names, mark = torchvision_after_dlsia(tmp_path, "MARK = 'the real one'")
    assert "'torchvision.utils'" in names
    assert mark == "the real one"
