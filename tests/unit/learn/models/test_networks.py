"""Every network that is built in: what a pixel sees, tiles, folding, weights that are loaded again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from mlex_jupyter.learn.models import architecture, build, contract, find_builder, measure
from mlex_jupyter.learn.models.fold import folded
from mlex_jupyter.learn.models.reach import halo, reach
from mlex_jupyter.learn.prediction.tiles import up_to
from mlex_jupyter.learn.training.state import packed

DLSIA = "mlex_jupyter.learn.models.dlsia:"
UNET, TUNET = "mlex_jupyter.learn.models.unet:unet", DLSIA + "tunet"
ENSEMBLE = "mlex_jupyter.learn.models.ensemble:ensemble"
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    (UNET, {"depth": 2, "base_channels": 4}),
    (UNET, {"depth": 4, "base_channels": 4}),
    (TUNET, {"depth": 2, "base_channels": 4}),
    (TUNET, {"depth": 4, "base_channels": 4, "growth_rate": 1.5}),
    (DLSIA + "tunet3plus", {"depth": 2, "base_channels": 4}),
    (DLSIA + "tunet3plus", {"depth": 3, "base_channels": 4, "carryover_channels": 3}),
    (DLSIA + "tunet3plus", {"depth": 4, "base_channels": 4}),
    (DLSIA + "msdnet", {"layers": 5, "max_dilation": 3}),
    (DLSIA + "msdnet", {"layers": 9, "max_dilation": 5, "layer_width": 2}),
    (DLSIA + "smsnet", {"layers": 6, "max_dilation": 4}),
    (DLSIA + "smsnet", {"layers": 14, "width": 2, "graph": 7}),
    (ENSEMBLE, {"of": "unet", "size": "fast", "members": 2}),
    (ENSEMBLE, {"of": "smsnet", "size": "fast", "members": 3}),
]
each_setting = pytest.mark.parametrize(("where", "params"), SETTINGS, ids=lambda one: str(one).rpartition(":")[2])


def seasoned(where: str, params: dict[str, Any], *, seed: int = 0, sides: int = 64) -> nn.Module:
    """In double precision, with statistics as after some training, so that nothing is folded away as one and nought."""
    torch.manual_seed(seed)
    network = build(where, params, channels=1, classes=3).double().train()
    with torch.no_grad():
        for _ in range(2):
            network(torch.randn(2, 1, sides, sides, dtype=torch.float64))
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.weight.uniform_(0.5, 1.5)
                part.bias.uniform_(-0.3, 0.3)
    return network.eval()


def multiple_of(where: str, params: dict[str, Any]) -> int:
    return measure(where, contract(find_builder(where)).divisible_by, params) or 1


@each_setting
def test_nothing_outside_of_the_halo_matters_and_something_at_its_edge_does(where: str, params: dict[str, Any]) -> None:
    network, step = seasoned(where, params), multiple_of(where, params)
    said = halo(where, params, network, 1)
    vars(network).pop("halo", None)  # what an ensemble says of itself; here it is found out
    found = reach(network, step, 1)
    assert found is not None and said is not None
    assert found <= said <= found + 2 * step, "what is said holds, and wastes little"
    for part in network.parameters():
        part.data.abs_()  # so that no ReLU stops what comes from the edge, and pools pass on what is large

    side = up_to(2 * found + 3 * step + 8, step)
    block = slice(side // 2 // step * step, side // 2 // step * step + step)
    image = torch.rand(1, 1, side, side, dtype=torch.float64)
    with torch.inference_mode():
        before = network(image)[0, :, block, block]

        def changes(rows: slice, columns: slice) -> bool:
            other = image.clone()
            other[0, 0, rows, columns] += 1e9
            return not torch.equal(before, network(other)[0, :, block, block])

        everything, after, ahead = slice(None), slice(block.stop + found, None), slice(0, block.start - found)
        assert not changes(after, everything) and not changes(everything, after)
        assert not changes(ahead, everything) and not changes(everything, ahead)
        edges = slice(after.start - 1, after.start), slice(ahead.stop, ahead.stop + 1)
        assert any(changes(*one) for edge in edges for one in ((edge, everything), (everything, edge)))


@each_setting
@pytest.mark.parametrize(("precision", "near"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["64", "32"])
def test_tiles_with_the_halo_come_out_as_the_whole_slice(
    where: str, params: dict[str, Any], precision: torch.dtype, near: float
) -> None:
    network, step = seasoned(where, params).to(precision), multiple_of(where, params)
    needed = halo(where, params, network, 1)
    assert needed is not None
    around, kept = up_to(needed, step), up_to(24, step)
    side = up_to(2 * around + kept + 9, step)
    image = torch.randn(1, 1, side, side, dtype=precision)
    with torch.inference_mode():
        whole = network(image)
        pieces = torch.full_like(whole, torch.nan)
        for top, left in itertools.product(range(0, side, kept), repeat=2):
            low = max(0, top - around), max(0, left - around)
            read = (slice(low[0], top + kept + around), slice(low[1], left + kept + around))
            part = network(image[:, :, *read])[:, :, top - low[0] :, left - low[1] :]
            pieces[:, :, top : top + kept, left : left + kept] = part[:, :, :kept, :kept]
    assert float((pieces - whole).abs().max()) <= near * float(whole.abs().max())


@each_setting
def test_folding_changes_nothing_but_rounding(where: str, params: dict[str, Any]) -> None:
    network = seasoned(where, params).float().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fast = folded(network, torch.randn(1, 1, 64, 64))
    image = torch.randn(2, 1, 64, 96).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        plain, quick = network(image), fast(image)
    assert float((plain - quick).abs().max()) <= 1e-5 * float(plain.abs().max())
    kept = [part for part in fast.modules() if isinstance(part, nn.BatchNorm2d)]
    assert bool(kept) == where.endswith("msdnet"), "MSDNet normalises after its ReLU, where nothing can be folded"
    wide = [part.weight for part in fast.modules() if isinstance(part, nn.Conv2d) and min(part.weight.shape) > 1]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in wide)


@each_setting
def test_weights_fit_a_network_that_is_built_again(where: str, params: dict[str, Any]) -> None:
    first = seasoned(where, params, seed=1).float()
    content = save(packed(first.state_dict()))
    np.random.seed(123)  # what others throw must not matter
    torch.manual_seed(99)
    second = build(where, params, channels=1, classes=3)
    second.load_state_dict(load(content))
    image = torch.randn(1, 1, 48, 64)
    with torch.inference_mode():
        assert torch.equal(first(image), second.eval()(image))


# ---------------------------------------------------------------- presets


@pytest.mark.parametrize("where", sorted({where for where, _ in SETTINGS}))
def test_each_preset_builds_a_larger_network_than_the_one_before(where: str) -> None:
    presets = contract(find_builder(where)).presets
    assert list(presets) == ["fast", "balanced", "best"]
    sizes = [
        sum(one.numel() for one in build(where, params, channels=1, classes=3).parameters())
        for params in presets.values()
    ]
    assert sizes[0] < sizes[1] < sizes[2]
    default = build(where, {}, channels=1, classes=3)
    assert sizes[1] == sum(one.numel() for one in default.parameters()), "balanced is what one gets unasked"


# ---------------------------------------------------------------- what is particular to one


def test_tunet3plus_takes_any_size_that_divides_and_gives_what_dlsia_gives_at_the_size_that_it_is_built_for() -> None:
    from mlex_jupyter.learn.models.dlsia import TUNet3Plus

    mine = build(DLSIA + "tunet3plus", {"depth": 4, "base_channels": 4}, channels=1, classes=3).eval()
    theirs = TUNet3Plus(
        image_shape=(48, 80), in_channels=1, out_channels=3, depth=4, base_channels=4, activation=nn.ReLU()
    ).eval()
    left = theirs.load_state_dict(mine.state_dict(), strict=False)
    assert not left.unexpected_keys
    assert {key.partition(".")[0] for key in left.missing_keys} == {"Decode_1", "Decode_2"}, "which it never uses"
    image = torch.randn(1, 1, 48, 80)
    with torch.inference_mode():
        assert torch.equal(mine(image), theirs(image))
        assert mine(torch.randn(1, 1, 72, 56)).shape == (1, 3, 72, 56)


def test_an_sms_graph_is_drawn_by_its_number_alone() -> None:
    def names(graph: int) -> set[str]:
        return set(build(DLSIA + "smsnet", {"graph": graph}, channels=1, classes=3).state_dict())

    np.random.seed(5)
    before = np.random.get_state(legacy=False)["state"]["key"].copy()
    assert names(3) == names(3) != names(4)
    assert (np.random.get_state(legacy=False)["state"]["key"] == before).all(), "nobody else's dice are touched"


def test_a_network_holds_on_to_nothing_of_a_picture() -> None:
    for where in (TUNET, DLSIA + "tunet3plus", DLSIA + "smsnet"):
        network = build(where, {}, channels=1, classes=3)
        network(torch.randn(2, 1, 32, 32)).sum().backward()
        held = [value for one in vars(network).values() if isinstance(one, dict) for value in one.values()]
        assert not any(isinstance(value, Tensor) and not isinstance(value, nn.Parameter) for value in held)


# ---------------------------------------------------------------- networks that others bring


def wrapped(title: str, make: Callable[[int, int], nn.Module], **promise: Any) -> nn.Module:
    @architecture(title=title, **promise)
    def builder(*, channels: int, classes: int) -> nn.Module:
        return make(channels, classes)

    return builder(channels=1, classes=2)


class Residual(nn.Module):
    """Convolutions and normalisations in no order that registration would tell."""

    def __init__(self) -> None:
        super().__init__()
        self.normal_b, self.normal_a = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        self.b, self.a = nn.Conv2d(6, 6, 5, padding=2), nn.Conv2d(1, 6, 3, padding=1)
        self.out = nn.Conv2d(6, 2, 1)
        self.both = False

    def forward(self, x: Tensor) -> Tensor:
        first = self.a(x)
        y = torch.relu(self.normal_a(first))
        y = torch.relu(self.normal_b(self.b(y))) + (first if self.both else y)
        return self.out(y)  # type: ignore[no-any-return]


@pytest.mark.parametrize("both", [False, True], ids=["follows", "used twice"])
def test_normalisations_outside_of_a_sequence_are_folded_where_nothing_else_uses_what_they_take(both: bool) -> None:
    network = Residual()
    network.both = both
    for part in (network.normal_a, network.normal_b):
        nn.init.uniform_(part.weight, 0.5, 2)
        part.running_mean = torch.randn(6)
    network.eval()
    image = torch.randn(1, 1, 20, 20)
    fast = folded(network, torch.randn(1, 1, 16, 16))
    with torch.inference_mode():
        assert torch.allclose(network(image), fast(image), atol=1e-5)
    left = sum(isinstance(part, nn.BatchNorm2d) for part in fast.modules())
    assert left == both, "what can be folded is, beside what cannot"
    assert reach(network, 1, 1) == 3


def test_a_pixel_that_sees_everything_has_no_halo() -> None:
    def over_all(channels: int, classes: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.Conv2d(4, classes, 1))

    assert reach(wrapped("Over all", over_all), 1, 1) is None


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate"])
def test_padding_strides_and_upsampling_are_counted(mode: Any) -> None:
    def strided(channels: int, classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(channels, 4, 5, stride=4, padding=2, padding_mode=mode),
            nn.ReLU(),
            nn.Conv2d(4, 4, (3, 7), padding=(1, 3)),
            nn.Upsample(scale_factor=4, mode="nearest"),
            nn.Conv2d(4, classes, 1),
        )

    # along columns 3 strided pixels are 12 beyond the block, and the first filter is 2 wider, on its left
    assert reach(wrapped("Strided", strided), 4, 1) == 14


def test_a_network_that_insists_on_single_precision_is_measured_too() -> None:
    class Single(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            if x.dtype != torch.float32:
                raise RuntimeError("expected float32")
            return super().forward(x)

    assert reach(Single(1, 2, 3, padding=4, dilation=4), 1, 1) == 4


def test_each_architecture_is_here() -> None:
    from mlex_jupyter.plugins import entry_points

    own = {entry.value for entry in entry_points("mlex.models").values() if entry.value.startswith("mlex_jupyter")}
    elsewhere = {"mlex_jupyter.learn.models.forest:forest", "mlex_jupyter.learn.models.unet:unet25d"}
    elsewhere |= {"mlex_jupyter.learn.models.unet:unet3d", DLSIA + "tunet3d"}
    assert own == {where for where, _ in SETTINGS} | elsewhere, "which have tests of their own"
