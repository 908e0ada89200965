"""Weights of other programs become models of the zoo, where they are those of the network that is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, Forbidden, Invalid, NotFound
from mlex_jupyter.learn.models import build
from mlex_jupyter.types import JobSpec, Params, PredictTask
from tests.engine import Hand

UNET = "mlex_jupyter.learn.models.unet:unet"
SMALL: Params = {"depth": 2, "base_channels": 4}
NAMES = ("Pore", "Grain")
GREY: dict[str, Any] = {"grey_offset": 120.0, "grey_scale": 30.0}


class Harm:
    """Runs a command where a pickle is trusted."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.fixture
def theirs() -> nn.Module:
    return build(UNET, SMALL, channels=1, classes=2)


@pytest.mark.usefixtures("knowing")
async def test_a_file_of_torch_becomes_a_model_with_the_same_weights(
    mlex: Mlex, tmp_path: Path, theirs: nn.Module
) -> None:
    shared = {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}
    torch.save({"state_dict": shared, "epoch": 9}, tmp_path / "theirs v2.pt")
    made = await mlex.convert(
        str(tmp_path / "theirs v2.pt"),
        architecture="unet",
        class_names=NAMES,
        params=SMALL,
        **GREY,
    )
    assert (made.model, made.version, made.refused, made.left_aside) == ("theirs-v2", 1, (), ("epoch",))
    model = await mlex.model("theirs-v2")
    assert ([one.name for one in model.classes], model.task) == (list(NAMES), "segmentation")
    assert (model.preprocessing.offset, model.preprocessing.scale) == (120, 30)
    kept = load_file(mlex.zoo.blobs.path(model.weights))
    assert all(torch.equal(kept[name], tensor) for name, tensor in theirs.state_dict().items())
    again = await mlex.convert(
        str(tmp_path / "theirs v2.pt"),
        architecture="unet",
        class_names=NAMES,
        params=SMALL,
        **GREY,
    )
    assert again.version == 1, "the same file is the same version"


@pytest.mark.usefixtures("knowing")
async def test_what_is_converted_predicts(mlex: Mlex, tmp_path: Path, theirs: nn.Module) -> None:
    hand = Hand(mlex)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
    await mlex.sample(size=64, slices=8)
    await mlex.convert(
        str(tmp_path / "theirs.pt"), architecture="unet", class_names=NAMES, params=SMALL, name="theirs", **GREY
    )
    assert (await mlex.fits("theirs", data="sand-tomo")).fits

    job = await hand.until_ended(
        await hand.submit(JobSpec(task=PredictTask(model="theirs", data="sand-tomo", slices="3")))
    )
    assert job.state == "done", job.message


@pytest.mark.usefixtures("knowing")
async def test_nothing_in_a_file_runs_and_what_it_wanted_is_said(mlex: Mlex, tmp_path: Path, theirs: nn.Module) -> None:
    proof = tmp_path / "harm-was-done"
    torch.save({"state_dict": theirs.state_dict(), "extra": Harm(f"touch {proof}")}, tmp_path / "bad.pt")
    made = await mlex.convert(str(tmp_path / "bad.pt"), architecture="unet", class_names=NAMES, params=SMALL)
    assert any("system" in name for name in made.refused) and not proof.exists()


@pytest.mark.usefixtures("knowing")
async def test_weights_of_another_network_are_refused_in_words(mlex: Mlex, tmp_path: Path, theirs: nn.Module) -> None:
    torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
    file = str(tmp_path / "theirs.pt")
    with pytest.raises(Invalid, match="not those of this unet") as refused:
        await mlex.convert(file, architecture="unet", class_names=NAMES, params={"depth": 3, "base_channels": 4})
    assert "down.2" in refused.value.message and "-p depth" in (refused.value.hint or "")
    with pytest.raises(Invalid, match="not those of this unet"):
        await mlex.convert(file, architecture="unet", class_names=(*NAMES, "Binder"), params=SMALL)
    with pytest.raises(Invalid, match="two classes"):
        await mlex.convert(file, architecture="unet", class_names=("Pore",), params=SMALL)
    with pytest.raises(Invalid, match="grey_scale"):
        await mlex.convert(file, architecture="unet", class_names=NAMES, params=SMALL, grey_scale=0)
    with pytest.raises(Conflict, match="name of an architecture"):
        await mlex.convert(file, architecture="unet", class_names=NAMES, params=SMALL, name="unet")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(Invalid, match="no file of torch"):
        await mlex.convert(str(tmp_path / "text.pt"), architecture="unet", class_names=NAMES)
    with pytest.raises((NotFound, Forbidden)):
        await mlex.convert(str(tmp_path / "nothing.pt"), architecture="unet", class_names=NAMES)
    assert not [entry for entry in await mlex.models("*") if entry.kind == "model"]
