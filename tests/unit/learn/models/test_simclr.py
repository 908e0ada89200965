"""SimCLR: views of one patch come together without labels, and a U-Net begins with what was learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mlex_jupyter.data.sample import make_sample
from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn.models import build
from mlex_jupyter.learn.models.simclr import Changes, SimCLR, embed, encoder_weights, nt_xent, views
from mlex_jupyter.learn.training.inherit import inherit
from mlex_jupyter.learn.training.state import packed

UNET, DLSIA = "mlex_jupyter.learn.models.unet:unet", "mlex_jupyter.learn.models.dlsia:"
SMALL: dict[str, Any] = {"depth": 3, "base_channels": 8}
each_network = pytest.mark.parametrize("where", [UNET, DLSIA + "tunet", DLSIA + "tunet3plus"])


@pytest.fixture(scope="module")
def patches() -> Tensor:
    """Places of both textures, so that there is something to tell apart."""
    made = []
    for texture in ("sand", "foam"):
        volume = make_sample(size=128, slices=33, texture=texture).volume.astype(np.float32)
        grey = (volume - np.median(volume)) / (volume.std() * 1.5)
        made += [grey[z, y : y + 48, x : x + 48] for z in (0, 16, 32) for y in (0, 70) for x in (0, 70)]
    return torch.from_numpy(np.stack(made)[:, None])


def taught(where: str, patches: Tensor, steps: int) -> tuple[SimCLR, list[float]]:
    torch.manual_seed(0)
    network = SimCLR(build(where, SMALL, channels=1, classes=3), channels=1).train()
    optimizer, dice = torch.optim.AdamW(network.parameters(), lr=3e-3), torch.Generator().manual_seed(1)
    losses = []
    for _ in range(steps):
        some = patches[torch.randperm(len(patches), generator=dice)[:16]]
        optimizer.zero_grad()
        loss = network.loss(some, 40, dice)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    return network, losses


def test_it_learns_to_find_the_other_view_of_a_patch_among_all(patches: Tensor) -> None:
    network, losses = taught(UNET, patches, 100)
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:4])
    dice = torch.Generator().manual_seed(7)
    with torch.inference_mode():
        first, second = (network.eval()(views(patches, 40, dice, Changes())) for _ in range(2))
    near = first @ second.T
    own, others = near.diagonal(), near[~torch.eye(len(near), dtype=torch.bool)]
    assert own.mean() > others.mean() + 0.3, "views of one patch are nearer to each other than to those of others"


@each_network
def test_any_u_net_begins_with_the_encoder_that_was_taught(where: str, patches: Tensor, tmp_path: Path) -> None:
    network, losses = taught(where, patches, 3)
    assert all(np.isfinite(losses))
    learned = encoder_weights(network.network)
    save_file(packed(learned), tmp_path / "encoder.safetensors")
    torch.manual_seed(5)
    fresh = build(where, SMALL, channels=1, classes=5)
    assert not torch.allclose(embed(fresh.eval(), patches[:4]), embed(network.network.eval(), patches[:4]))
    fitting, total = inherit(fresh, tmp_path / "encoder.safetensors")
    assert fitting == len(learned) < total, "the way up begins anew"
    assert torch.equal(embed(fresh.eval(), patches[:4]), embed(network.network.eval(), patches[:4]))


@each_network
def test_the_encoder_is_the_way_down_and_nothing_else(where: str) -> None:
    network = build(where, SMALL, channels=1, classes=3)
    names = {name.split(".")[0] for name in encoder_weights(network)}
    assert names == ({"down"} if where == UNET else {"Encode_0", "Encode_1", "Final_layer_2"})
    assert network.training, "looking at it changes nothing"


def test_the_loss_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    first, second = (torch.nn.functional.normalize(torch.randn(3, 4, dtype=torch.float64), dim=1) for _ in range(2))
    both, total = torch.cat((first, second)), 0.0
    for index in range(6):
        near = [float(both[index] @ both[other]) / 0.5 for other in range(6)]
        others = [np.exp(value) for other, value in enumerate(near) if other != index]
        total += -near[(index + 3) % 6] + float(np.log(sum(others)))
    assert float(nt_xent(first, second, temperature=0.5)) == pytest.approx(total / 6)
    assert float(nt_xent(first, first, 0.05)) < float(nt_xent(first, second, 0.05))


def test_views_are_what_a_scan_might_have_shown() -> None:
    patches = torch.randn(8, 2, 40, 40)
    dice = torch.Generator().manual_seed(0)
    made = views(patches, 24, dice, Changes())
    assert made.shape == (8, 2, 24, 24)
    assert torch.equal(made, views(patches, 24, torch.Generator().manual_seed(0), Changes())), "by the dice alone"
    plain = views(patches, 40, dice, Changes(scale=0, gain=0, offset=0, noise=0, blur=-0.2 + 1e-3))
    for patch, view in zip(patches, plain, strict=True):
        assert torch.allclose(patch.flatten(1).sort().values, view.flatten(1).sort().values, atol=1e-4), "only turned"
    with pytest.raises(Invalid, match="larger than its patch"):
        views(patches, 41, dice, Changes())


def test_a_network_without_an_encoder_is_refused_with_what_to_do() -> None:
    network = build(DLSIA + "msdnet", {"layers": 3}, channels=1, classes=2)
    with pytest.raises(Invalid, match="no encoder") as error:
        SimCLR(network, channels=1)
    assert "U-Net" in (error.value.hint or "")
