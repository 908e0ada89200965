"""Networks that see more than a slice: blocks in 3-D, and slices with their neighbours as channels."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from mlex_jupyter.learn.describe import find, of_entry_point
from mlex_jupyter.learn.models import build, contract, find_builder, measure
from mlex_jupyter.learn.models.fold import folded
from mlex_jupyter.learn.models.reach import halo, reach
from mlex_jupyter.learn.training.state import packed

UNET3D, TUNET3D = "mlex_jupyter.learn.models.unet:unet3d", "mlex_jupyter.learn.models.dlsia:tunet3d"
UNET25D = "mlex_jupyter.learn.models.unet:unet25d"
SMALL: dict[str, Any] = {"depth": 2, "base_channels": 4}


def seasoned(where: str) -> nn.Module:
    torch.manual_seed(0)
    network = build(where, SMALL, channels=1, classes=3).double().train()
    with torch.no_grad():
        network(torch.randn(2, 1, 16, 16, 16, dtype=torch.float64))
    return network.eval()


@pytest.mark.parametrize("where", [UNET3D, TUNET3D])
def test_a_block_comes_out_as_large_as_it_went_in_for_any_sides_that_divide(where: str) -> None:
    network = build(where, {"depth": 3, "base_channels": 4}, channels=2, classes=5).eval()
    assert contract(find_builder(where)).dims == 3
    with torch.inference_mode():
        assert network(torch.randn(1, 2, 8, 12, 20)).shape == (1, 5, 8, 12, 20)


@pytest.mark.parametrize("where", [UNET3D, TUNET3D])
def test_nothing_outside_of_the_halo_matters_along_any_axis_and_something_at_its_edge_does(where: str) -> None:
    network = seasoned(where)
    found, said = reach(network, 2, 1, dims=3), halo(where, SMALL, network, 1)
    assert found is not None and said is not None and found <= said <= found + 4
    for part in network.parameters():
        part.data.abs_()
    side = 2 * found + 8 + (2 * found) % 2
    first = side // 4 * 2
    block = (slice(first, first + 2),) * 3
    image = torch.rand(1, 1, side, side, side, dtype=torch.float64)
    with torch.inference_mode():
        before = network(image)[0, :, *block]

        def changes(axis: int, rows: slice) -> bool:
            other = image.clone()
            other[0, 0].movedim(axis, 0)[rows] += 1e9
            return not torch.equal(before, network(other)[0, :, *block])

        for axis in range(3):
            assert not changes(axis, slice(first + 2 + found, None)) and not changes(axis, slice(0, first - found))
            at_edge = slice(first + 1 + found, first + 2 + found), slice(first - found, first - found + 1)
            assert any(changes(axis, edge) for edge in at_edge)


@pytest.mark.parametrize("where", [UNET3D, TUNET3D])
def test_slabs_with_the_halo_come_out_as_the_whole_block(where: str) -> None:
    network = seasoned(where).float()
    around = halo(where, SMALL, network, 1)
    assert around is not None
    image = torch.randn(1, 1, 40, 16, 16)
    with torch.inference_mode():
        whole = network(image)
        for low, high in itertools.pairwise(range(0, 41, 8)):
            start, stop = max(0, low - around), min(40, high + around)
            part = network(image[:, :, start:stop])[:, :, low - start : high - start]
            assert float((part - whole[:, :, low:high]).abs().max()) <= 1e-5 * float(whole.abs().max())


@pytest.mark.parametrize("where", [UNET3D, TUNET3D])
def test_weights_fit_again_and_folding_changes_nothing_but_rounding(where: str) -> None:
    first = seasoned(where).float()
    second = build(where, SMALL, channels=1, classes=3)
    second.load_state_dict(load(save(packed(first.state_dict()))))
    image, fast = torch.randn(1, 1, 8, 8, 8), folded(first)
    with torch.inference_mode():
        plain = first(image)
        assert torch.equal(plain, second.eval()(image))
        assert float((fast(image) - plain).abs().max()) <= 1e-5 * float(plain.abs().max())
    assert not any(isinstance(part, nn.BatchNorm3d) for part in fast.modules())


def test_neighbouring_slices_are_channels_of_the_same_network() -> None:
    params = {**SMALL, "neighbours": 2}
    network = build(UNET25D, params, channels=2, classes=3).eval()
    assert measure(UNET25D, contract(find_builder(UNET25D)).neighbours, params) == 2
    with torch.inference_mode():
        assert network(torch.randn(1, 2 * 5, 16, 24)).shape == (1, 3, 16, 24)
    assert halo(UNET25D, params, network, 2) == 12


@pytest.mark.parametrize("where", [UNET3D, TUNET3D])
def test_each_preset_is_larger_than_the_one_before_and_training_shows_blocks_that_suit(where: str) -> None:
    promise = contract(find_builder(where))
    sizes = [
        sum(one.numel() for one in build(where, params, channels=1, classes=3).parameters())
        for params in ({}, *promise.presets.values())
    ]
    assert list(promise.presets) == ["fast", "balanced", "best"]
    assert sizes[1] < sizes[0] == sizes[2] < sizes[3], "balanced is what one gets unasked"
    form = of_entry_point(find(where.rpartition(":")[2])).params_schema["properties"]
    assert [form[name]["default"] for name in ("patch", "batch", "epochs")] == [48, 4, 8]  # type: ignore[call-overload, index]
