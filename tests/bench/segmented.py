"""A volume and a network to measure prediction with, one that learned it or one that sees noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from safetensors.torch import save_file
from torch import nn
from zarr.codecs import ZstdCodec

from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.models import build
from mlex_jupyter.types import ClassInfo, Preprocessing, Trained, range_of
from tests.learning import dataset, predict_job

CLASSES = tuple(
    ClassInfo(value=number, name=name, color=f"#{number:02x}8040")
    for number, name in enumerate(("Pore", "Grain", "Binder", "Heavy mineral"), 1)
)
TUNET = "mlex_jupyter.learn.models.dlsia:tunet"


def volume(place: Path, slices: int, size: int, only: str | None = None) -> Path:
    """Grey grains, a chunk a slice, zstd 1; with `only` the other slices are left out, and read as zeros."""
    rng = np.random.default_rng(7)
    coarse = rng.normal(120, 30, (size // 8 + 2, size // 8 + 2))
    base = np.kron(coarse, np.ones((8, 8)))[:size, :size]
    array = zarr.create_array(
        place,
        shape=(slices, size, size),
        chunks=(1, size, size),
        dtype="uint8",
        compressors=[ZstdCodec(level=1)],
        dimension_names=("z", "y", "x"),
    )
    for z in range_of(only, slices):
        array[z] = np.clip(np.roll(base, 3 * z, 0) + rng.normal(0, 1.5, (size, size)), 0, 255).astype("uint8")
    return place


def network(folder: Path, builder: str = TUNET, steps: int = 0, **params: Any) -> tuple[nn.Module, Path]:
    """A network whose normalisation has statistics, and the folder that a training of it would have left.

    With steps it learns the classes of `volume`, by how bright a grain is; without, it sees noise.
    """
    torch.manual_seed(0)
    made = build(builder, params, channels=1, classes=len(CLASSES)).train()
    if steps:
        _teach(made, steps)
    else:
        with torch.no_grad():
            for _ in range(4):
                made(torch.randn(2, 1, 64, 64))
        _balance(made.eval())
    made.eval()
    trained = Trained(
        architecture="tunet",
        builder=builder,
        params=params,
        classes=CLASSES,
        preprocessing=Preprocessing(offset=120, scale=30),
        weights="weights.safetensors",
    )
    folder.mkdir()
    save_file(made.state_dict(), folder / "weights.safetensors")
    (folder / "model.json").write_text(trained.model_dump_json())
    return made, folder


def _teach(made: nn.Module, steps: int) -> None:
    optimizer = torch.optim.Adam(made.parameters(), 0.01)
    for _ in range(steps):
        grains = torch.randn(4, 1, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
        classes = torch.bucketize(grains[:, 0], torch.tensor([-0.7, 0.0, 0.7]))
        loss = nn.functional.cross_entropy(made((grains + 0.05 * torch.randn_like(grains)).clamp(-4, 4)), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _balance(made: nn.Module) -> None:
    """Let each class come out somewhere: one class everywhere would be too easy to count."""
    last = [layer for layer in made.modules() if getattr(layer, "out_channels", 0) == len(CLASSES)][-1]
    with torch.no_grad():
        logits = made(torch.randn(1, 1, 128, 128)).transpose(0, 1).flatten(1)
        last.bias -= logits.mean(dim=1)
        last.weight /= logits.std()
        last.bias /= logits.std()


def job(place: Path, data: Path, trained: Path, **asked: Any) -> JobFolder:
    """A prediction of it."""
    return predict_job(place, dataset(data), trained, **asked)
