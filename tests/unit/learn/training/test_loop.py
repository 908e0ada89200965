"""The training loop: several processes as one, batches in pieces, when it has had enough, and how crops are changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file
from scipy import ndimage
from torch import nn

from mlex_jupyter.errors import Invalid, MlexError
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.learn.models import build
from mlex_jupyter.learn.score import UNLABELLED
from mlex_jupyter.learn.training.crops import _bent
from mlex_jupyter.learn.training.inherit import inherit
from mlex_jupyter.learn.training.loop import Training
from mlex_jupyter.learn.training.steps import rate
from mlex_jupyter.learn.training.task import training_of
from mlex_jupyter.learn.training.together import mixes_batches
from mlex_jupyter.types import Code, Dataset, LabelSet, Preprocessing, Trained
from tests.learning import dataset, events, label_set, run, small_sample, train_job
from tests.servers import free_port

UNET = "mlex_jupyter.learn.models.unet:unet"
PLAIN = """
from torch import nn

def plain(*, channels: int, classes: int, width: int = 6) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, width, 5, padding=2), nn.GroupNorm(2, width), nn.ReLU(),
        nn.Conv2d(width, classes, 3, padding=1),
    )
"""
"""A network whose result for a crop does not depend on the rest of its batch."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, LabelSet]:
    folder = tmp_path_factory.mktemp("inputs") / "sample"
    sample = small_sample(folder)
    return dataset(folder / "volume.zarr"), label_set(folder / "scribbles.zarr", sample.classes)


Inputs = tuple[Dataset, LabelSet]


def plain_job(place: Path, inputs: Inputs, **params: Any) -> JobFolder:
    """A training of that network, its source beside it."""
    folder = train_job(place, *inputs, **params)
    job, code = folder.job(), Code(name="plain", text=PLAIN)
    assert job.architecture
    own = job.architecture.model_copy(update={"builder": code.builder, "title": "Plain"})
    (place / "job.json").write_text(job.model_copy(update={"code": code, "architecture": own}).model_dump_json())
    return folder


def run_together(folder: JobFolder, processes: int, number: int = 1) -> int:
    """The job as several processes, as a scheduler starts them on its nodes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    command += ["--master-addr", "127.0.0.1", "--master-port", str(free_port()), "-m", "mlex_jupyter.learn.run"]
    with folder.log.open("ab") as log:
        return subprocess.run([*command, str(folder.path), str(number)], stdout=log, stderr=log, timeout=150).returncode


def losses(folder: JobFolder) -> list[float]:
    return [one["loss"] for one in events(folder, "epoch")]


def weights(folder: JobFolder) -> dict[str, Any]:
    return dict(load_file(folder.path / "weights.safetensors"))


def test_two_processes_come_to_the_loss_of_one_that_has_the_whole_batch(tmp_path: Path, inputs: Inputs) -> None:
    alone = plain_job(tmp_path / "alone", inputs, epochs=3, batch=4)
    assert run(alone) == 0, alone.log.read_text()
    both = plain_job(tmp_path / "both", inputs, epochs=3, batch=4)
    assert run_together(both, 2) == 0, both.log.read_text()
    assert losses(both) == pytest.approx(losses(alone), abs=2e-4)
    for name, value in weights(alone).items():
        np.testing.assert_allclose(weights(both)[name], value, atol=2e-3)
    assert "2 processes share every batch\n" in both.log.read_text()
    assert [one["epoch"] for one in events(both, "epoch")] == [1, 2, 3]  # said once


def test_batch_normalisation_is_known_to_make_a_difference() -> None:
    assert mixes_batches(build(UNET, {}, channels=1, classes=2))
    assert not mixes_batches(nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4)))


def test_a_second_copy_of_several_processes_ends_without_effect(tmp_path: Path, inputs: Inputs) -> None:
    folder = plain_job(tmp_path / "run", inputs, epochs=1)
    assert run(folder) == 0
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.path.rglob("*.safetensors"))
    assert run_together(folder, 2) != 0
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.path.rglob("*.safetensors")) == before


def training(folder: JobFolder) -> Training:
    return training_of(Attempt(folder, folder.job(), 1))


class Crowded(nn.Module):
    """A network that has room for so many crops at once."""

    def __init__(self, network: nn.Module, room: int) -> None:
        super().__init__()
        self.network = network
        self.room = room
        self.asked: list[int] = []

    def forward(self, images_BCHW: Any) -> Any:
        self.asked.append(len(images_BCHW))
        if len(images_BCHW) > self.room:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate …")
        return self.network(images_BCHW)


def test_a_batch_that_is_too_large_is_taken_in_pieces_and_learns_the_same(tmp_path: Path, inputs: Inputs) -> None:
    from mlex_jupyter.learn.own import brought

    brought.load_builder(Code(name="plain", text=PLAIN))
    whole = training(plain_job(tmp_path / "whole", inputs, batch=8, epochs=1))
    whole.run()
    folder = plain_job(tmp_path / "pieces", inputs, batch=8, epochs=1)
    pieces = training(folder)
    pieces.state.network = Crowded(pieces.state.network, room=2)
    pieces.state.mean = Crowded(pieces.state.mean, room=1000)
    pieces.run()
    assert pieces.state.network.asked[:7] == [8, 4, 2, 2, 2, 2, 2]
    assert pieces.standing.pieces == 4
    assert "A batch of 8 is more than the memory holds: it is taken in 4 pieces now" in str(events(folder, "note"))
    ours, theirs = pieces.state.network.network.state_dict(), whole.state.network.state_dict()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, atol=1e-4)


def test_a_crop_that_is_too_large_by_itself_fails_and_says_what_would_fit(tmp_path: Path, inputs: Inputs) -> None:
    crowded = training(train_job(tmp_path / "run", *inputs, batch=4))
    crowded.state.network = Crowded(crowded.state.network, room=0)
    with pytest.raises(MlexError, match="One crop of 32 × 32 is more than the memory holds") as failed:
        crowded.run()
    assert "patch of 16" in (failed.value.hint or "")


def test_it_ends_when_it_has_not_become_better_for_as_long_as_was_asked(tmp_path: Path, inputs: Inputs) -> None:
    folder = train_job(tmp_path / "run", *inputs, epochs=40, learning_rate=1e-9, patience=3)
    assert run(folder) == 0, folder.log.read_text()
    ended, best = len(events(folder, "epoch")), max(events(folder, "epoch"), key=lambda one: one["dice"])
    assert ended == best["epoch"] + 3 < 40
    assert f"No better since epoch {best['epoch']}: it ends here" in folder.log.read_text()


def test_bent_crops_keep_labels_on_what_they_lie_on() -> None:
    rng = np.random.default_rng(3)
    target = (ndimage.gaussian_filter(rng.normal(size=(96, 96)), 6) > 0).astype(np.uint8)
    image = target[None].astype(np.float32)
    bent, labels = _bent(image, target, np.random.default_rng(1))
    assert 0.02 < (labels != target).mean() < 0.5  # it did bend
    known = labels != UNLABELLED
    assert ((bent[0] > 0.5) == labels)[known].mean() > 0.99
    assert np.array_equal(_bent(image, target, np.random.default_rng(1))[1], labels)


def test_a_batch_is_made_of_seed_step_and_member_alone(tmp_path: Path, inputs: Inputs) -> None:
    crops = training(train_job(tmp_path / "run", *inputs, elastic=True, batch=4)).crops
    whole, targets = crops.batch(7, range(4))
    for member in (3, 1):
        image, target = crops.batch(7, [member])
        assert np.array_equal(image[0], whole[member]) and np.array_equal(target[0], targets[member])
    assert not np.array_equal(crops.batch(8, range(4))[0], whole)


def test_equal_weights_count_every_pixel_the_same(tmp_path: Path, inputs: Inputs) -> None:
    balanced = training(train_job(tmp_path / "balanced", *inputs)).weights
    equal = training(train_job(tmp_path / "equal", *inputs, class_weights="equal")).weights
    assert len(set(balanced)) > 1 and set(equal) == {1.0}


def test_the_rate_stays_level_where_that_was_asked() -> None:
    rates = [rate("level", step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.2) and set(rates[5:]) == {1.0}


def test_it_begins_with_weights_that_are_there_and_other_classes_begin_anew(tmp_path: Path, inputs: Inputs) -> None:
    network = build(UNET, {"depth": 3, "base_channels": 4}, channels=1, classes=9)
    save_file(network.state_dict(), tmp_path / "other.safetensors")
    folder = train_job(tmp_path / "run", *inputs)
    job = folder.job()
    model = Trained(
        architecture="unet",
        builder=UNET,
        params={},
        classes=(),
        preprocessing=Preprocessing(offset=0, scale=1),
        weights=str(tmp_path / "other.safetensors"),
    )
    (folder.path / "job.json").write_text(job.model_copy(update={"model": model}).model_dump_json())
    began = training(folder)
    total = len(network.state_dict())
    said = events(folder, "note")[0]["text"]
    assert said == f"It begins with weights that are there: {total - 2} of {total} tensors fit"
    for name, value in network.state_dict().items():
        if not name.startswith("out."):
            np.testing.assert_array_equal(began.state.network.state_dict()[name], value)


def test_weights_of_another_kind_of_network_are_refused(tmp_path: Path) -> None:
    save_file({"something": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(Invalid, match="none fits this network") as refused:
        inherit(build(UNET, {}, channels=1, classes=2), tmp_path / "other.safetensors")
    assert "the same architecture" in (refused.value.hint or "")
    (tmp_path / "broken.safetensors").write_bytes(b"\x80\x04 not weights")
    with pytest.raises(Invalid, match="cannot be read"):
        inherit(build(UNET, {}, channels=1, classes=2), tmp_path / "broken.safetensors")
