"""Slabs of a volume: cut however memory asks for, they are what the whole volume gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn.models import build
from mlex_jupyter.learn.models.fold import folded
from mlex_jupyter.learn.prediction import backends, bands, room, slabs
from mlex_jupyter.learn.prediction.tiles import Fit, fit_for, forward, up_to

CPU = torch.device("cpu")
UNET3D, TUNET3D = "mlex_jupyter.learn.models.unet:unet3d", "mlex_jupyter.learn.models.dlsia:tunet3d"
NETWORKS = [(UNET3D, 2), (UNET3D, 3), (TUNET3D, 2), (TUNET3D, 3)]


def settled(where: str, depth: int) -> nn.Module:
    """A network whose normalisation has statistics."""
    torch.manual_seed(depth)
    network = build(where, {"depth": depth, "base_channels": 4}, channels=1, classes=3).train()
    with torch.no_grad():
        network(torch.randn(2, 1, 16, 16, 16))
    return network.eval()


def stack(shape: tuple[int, ...], seed: int = 0) -> Volume:
    array = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return Volume(array, uri="noise", reader="array")


def mirrored(volume: Volume, multiple: int) -> np.ndarray:
    """All of it as a network takes it in one piece."""
    whole = np.asarray(volume)
    return np.pad(whole, [(0, -side % multiple) for side in whole.shape], mode="symmetric")[None, None]


def by_slabs(network: nn.Module, volume: Volume, scope: range, band: int, fit: Fit) -> tuple[torch.Tensor, int]:
    """The logits of some slices, as KZYX, and in how many pieces they came."""
    depth, _, *sides = volume.shape_ZCYX
    padded = [up_to(side, fit.multiple) for side in sides]
    made, pieces, reader = torch.full((3, depth, *padded), torch.nan), 0, slabs.Reader(volume, fit)
    for zs in bands.pieces(scope, band):
        for keep, logits_ZKYX in slabs.logits_of(lambda block: forward(network, block, CPU), reader(zs), fit):
            made[:, zs.start : zs.stop, *keep] = logits_ZKYX.transpose(0, 1)
            pieces += 1
    return made[:, scope.start : scope.stop, : sides[0], : sides[1]], pieces


@pytest.mark.parametrize(("where", "depth"), NETWORKS)
@pytest.mark.parametrize(("band", "largest"), [(8, 1000), (20, 44), (64, 40)])
def test_any_cut_comes_out_as_the_whole_volume(where: str, depth: int, band: int, largest: int) -> None:
    network, volume = settled(where, depth), stack((62, 46, 71), depth)
    halo, multiple = 6 * 2 ** (depth - 1), 2 ** (depth - 1)
    fit = Fit(multiple, halo, largest, 3)
    whole = forward(network, mirrored(volume, multiple), CPU)[0, :, :62, :46, :71]
    made, pieces = by_slabs(network, volume, range(62), band, fit)
    assert pieces > 1, "nothing was cut"
    assert float((made - whole).abs().max()) <= 1e-5 * float(whole.abs().max())


@pytest.mark.parametrize("where", [UNET3D, TUNET3D])
@pytest.mark.parametrize("scope", [range(30, 31), range(3), range(37, 50), range(61, 62)])
def test_some_slices_are_computed_with_what_lies_outside_of_them(where: str, scope: range) -> None:
    network, volume, fit = settled(where, 2), stack((62, 22, 19)), Fit(2, 12, 1000, 3)
    whole = forward(network, mirrored(volume, 2), CPU)[0, :, scope.start : scope.stop, :22, :19]
    made, _ = by_slabs(network, volume, scope, 16, fit)
    assert float((made - whole).abs().max()) <= 1e-5 * float(whole.abs().max())


@pytest.mark.needs("openvino")
@pytest.mark.parametrize("where", [UNET3D, TUNET3D])
def test_openvino_gives_the_same_of_blocks(where: str) -> None:
    network = folded(settled(where, 2))
    other = backends.openvino(network, 2, 3)
    assert not isinstance(other, str), other
    for shape in ((12, 16, 20), (8, 30, 10)):
        block = np.random.default_rng(0).normal(size=(1, 1, *shape)).astype(np.float32)
        plain = forward(network, block, CPU)
        assert float((other(block) - plain).abs().max()) <= 1e-5 * float(plain.abs().max())


def test_too_small_a_halo_would_be_noticed() -> None:
    network, volume = settled(UNET3D, 3), stack((60, 40, 40))
    whole = forward(network, mirrored(volume, 4), CPU)[0]
    made, _ = by_slabs(network, volume, range(60), 16, Fit(4, 4, 1000, 3))
    assert float((made - whole).abs().max()) > 1e-4 * float(whole.abs().max())


@pytest.mark.parametrize("shape", [(3, 20, 20), (5, 3, 37), (9, 8, 8)])
def test_a_volume_that_does_not_divide_is_mirrored_at_its_ends(shape: tuple[int, int, int]) -> None:
    volume, fit = stack(shape), Fit(4, 0, 1000, 3)
    read = slabs.Reader(volume, fit)(range(shape[0]))
    assert np.array_equal(
        read.raw_CZYX[0], np.pad(np.asarray(volume), [(0, -shape[0] % 4), (0, 0), (0, 0)], "symmetric")
    )
    last = slabs.Reader(volume, fit)(range(shape[0] - 1, shape[0]))
    assert np.array_equal(last.raw_CZYX[0, last.inner], np.asarray(volume)[-1:])


def test_what_a_slice_needs_is_read_and_no_more() -> None:
    asked: list[int] = []

    class Asked(np.ndarray):
        def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:  # type: ignore[override]
            asked.extend(range(index[0].start, index[0].stop))
            return np.asarray(self)[index]

    volume = Volume(np.zeros((200, 8, 8), np.uint8).view(Asked), uri="asked", reader="array")
    slab = slabs.Reader(volume, Fit(4, 24, 1000, 3))(range(100, 101))
    assert asked == list(range(76, 128)) and slab.raw_CZYX.shape == (1, 52, 8, 8)


# ---------------------------------------------------------------- how it is cut


def cut(side: int, gb: float, scope: range | None = None) -> slabs.Cut:
    fit = Fit(4, 24, 100, 3)
    return slabs.cut((side,) * 3, scope or range(side), fit, free=gb * 1e9, each=230, kept=2, read=1)


def test_most_of_what_is_computed_is_of_use_where_memory_allows() -> None:
    assert cut(256, 8).share == 1, "all of it at once"
    ample, scarce = cut(256, 2.6), cut(256, 0.4)
    assert ample.share >= 0.6 > scarce.share > 0.1
    assert cut(1024, 2.6).share > 0.3


@pytest.mark.parametrize("gb", [0.3, 1, 2.6])
@pytest.mark.parametrize("side", [40, 256, 700])
def test_no_block_is_larger_than_the_room_that_there_is(side: int, gb: float) -> None:
    made = cut(side, gb)
    thick = max(len(slabs.around(zs, side, made.fit)) for zs in bands.pieces(range(side), made.band))
    shape = (up_to(side, 4), up_to(side, 4))
    blocks = [thick * math.prod(one.stop - one.start for one in tile.read) for tile in _tiles(shape, made.fit, thick)]
    beside = 2 * side * side * (thick + 2 * made.band)
    assert max(blocks) * 230 + beside <= max(gb * 1e9, 52**3 * 230 + beside)


def _tiles(shape: tuple[int, int], fit: Fit, thick: int) -> list[slabs.tiles.Tile]:
    return list(slabs.tiles.tiles(shape, slabs.flat(fit, thick)))


def test_with_too_little_room_for_any_block_the_smallest_are_cut() -> None:
    made = cut(256, 0.001)
    assert made.band == 4
    assert {tuple(one.stop - one.start for one in tile.read) for tile in _tiles((256, 256), made.fit, 52)} == {(52, 52)}


def test_of_one_slice_only_its_slab_is_computed() -> None:
    made = cut(256, 2.6, range(100, 101))
    assert made.computed == 52 * 256 * 256 and made.useful == 256 * 256


def test_memory_is_planned_with_as_much_as_a_network_takes() -> None:
    small, large = (
        room.bytes_per_voxel(folded(build(UNET3D, {"base_channels": base}, channels=1, classes=3)), 4, CPU)
        for base in (4, 8)
    )
    assert 1.8 < large / small < 2.1 and 8 * 4 * 4 < large < 8 * 4 * 12
    assert room.budget(4, CPU) > room.budget(2, CPU) > 0


# ---------------------------------------------------------------- what it refuses


def test_one_slice_is_refused_and_so_is_a_network_that_sees_more_than_memory_holds() -> None:
    with pytest.raises(Invalid, match="needs slices above and below; this volume has one slice"):
        slabs.check(stack((20, 20)), Fit(4, 24, 100, 3), 1 << 30)
    everywhere = Fit(1, None, 100, 3)
    slabs.check(stack((20, 20, 20)), everywhere, 8000)
    with pytest.raises(Invalid, match="sees the whole volume"):
        slabs.check(stack((20, 20, 20)), everywhere, 7999)
    assert slabs.around(range(3, 4), 20, everywhere) == range(20)
    made = slabs.cut((20, 20, 20), range(5, 9), everywhere, free=8000, each=1, kept=2, read=1)
    assert made.fit.whole((20, 20, 20)) and made.computed == 8000


def test_a_3d_network_is_fitted_by_the_cube() -> None:
    network = build(UNET3D, {}, channels=1, classes=3)
    fit = fit_for(network, UNET3D, {}, CPU, 4)
    assert (fit.dims, fit.multiple, fit.halo) == (3, 4, 24) and network.training
    assert fit.pixels == fit.largest**3 and fit.whole((40, 40, 40)) and not fit.whole((4000, 400, 400))
