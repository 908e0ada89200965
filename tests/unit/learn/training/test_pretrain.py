"""Learning without labels, as the process that a job is: what it leaves, how it stops and goes on, what it refuses."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from PIL import Image
from safetensors.numpy import load_file

from mlex_jupyter.data.readers import open_path
from mlex_jupyter.errors import Invalid
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.learn.describe import describe
from mlex_jupyter.learn.models import Wants, build
from mlex_jupyter.learn.models.simclr import encoder_weights
from mlex_jupyter.learn.params import PretrainParams
from mlex_jupyter.learn.run import STOPPED
from mlex_jupyter.learn.training.contrast import measured
from mlex_jupyter.learn.training.inherit import inherit
from mlex_jupyter.learn.training.patches import Patches
from mlex_jupyter.learn.training.pretrain import pretrain
from mlex_jupyter.types import Architecture, Dataset, JobFile, JobSpec, JobState, PretrainTask, Trained
from tests.learning import dataset, events, run, small_sample, start, until

QUICK = {"epochs": 2, "steps_per_epoch": 3, "batch": 8, "patch": 32, "base_channels": 4, "depth": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("inputs") / "sample"
    small_sample(folder)
    return dataset(folder / "volume.zarr")


def job(place: Path, data: Dataset, model: str = "unet", **params: Any) -> JobFolder:
    """A folder of such a job, its parameters completed as the engine does."""
    architecture = Architecture.model_validate(describe(model))
    assert architecture.pretrain_schema
    form: Any = architecture.pretrain_schema["properties"]
    full = {name: about["default"] for name, about in form.items()} | QUICK | params
    spec = JobSpec(name="run", task=PretrainTask(model=model, data=data.name, params=full))
    file = JobFile(id=place.name, name="run", owner="tester", spec=spec, data=data, architecture=architecture)
    return JobFolder.make(place, file)


@pytest.mark.parametrize("model", ["unet", "tunet", "tunet3plus", "unet25d"])
def test_it_leaves_an_encoder_with_which_the_same_network_begins(tmp_path: Path, data: Dataset, model: str) -> None:
    folder = job(tmp_path / "run-1", data, model)
    result = pretrain(Attempt(folder, folder.job(), 1))
    left = Trained.model_validate_json((folder.path / "model.json").read_bytes())
    assert {output.kind for output in result.outputs} == {"weights", "picture"}
    assert {output.derived_from for output in result.outputs} == {("ds-1", "run-1")}
    assert {"pairs_found", "alignment", "uniformity", "val_loss"} <= result.metrics.keys()
    assert (left.task, left.classes) == ("embedding", ())
    fresh = build(left.builder, left.params, channels=left.channels, classes=5)
    learned = load_file(folder.path / left.weights)
    assert learned.keys() == encoder_weights(fresh).keys()
    inherit(fresh, folder.path / left.weights)
    assert all(np.array_equal(encoder_weights(fresh)[name].numpy(), value) for name, value in learned.items())


def test_it_says_how_it_goes_and_shows_what_it_takes_for_alike(tmp_path: Path, data: Dataset) -> None:
    folder = job(tmp_path / "run-1", data)
    assert run(folder) == 0, folder.log.read_text()
    assert [one["epoch"] for one in events(folder, "epoch")] == [1, 2]
    assert all(0 <= one["pairs_found"] <= 1 and one["dice"] is None for one in events(folder, "epoch"))
    assert {"loss", "memory_gb", "step"} <= events(folder, "metrics")[0].keys()
    assert events(folder, "progress")[-1]["fraction"] == 1
    assert [one["path"] for one in events(folder, "picture")] == ["pictures/epoch-0001.png", "pictures/epoch-0002.png"]
    with Image.open(folder.path / "picture.png") as image:
        assert np.asarray(image).std() > 20, "it shows patches"
    said = folder.log.read_text()
    assert "6 slices → 24 pairs of views of 32 × 32 an epoch" in said
    assert "96 pairs from 2 slices kept apart" in said


def test_killed_and_gone_on_it_comes_to_the_same_bits(tmp_path: Path, data: Dataset) -> None:
    straight = job(tmp_path / "straight", data, epochs=3)
    assert run(straight) == 0
    broken = job(tmp_path / "broken", data, epochs=3)
    assert run(broken, MLEX_FAILPOINTS="checkpoint.written=1") == -signal.SIGKILL
    assert run(broken, 2) == 0
    assert "Going on from epoch 1, step 3" in broken.log.read_text()
    one, other = (load_file(folder.path / "weights.safetensors") for folder in (straight, broken))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert straight.result().metrics == broken.result().metrics  # type: ignore[union-attr]


def test_asked_to_stop_it_saves_in_mid_epoch_and_goes_on_there(tmp_path: Path, data: Dataset) -> None:
    folder = job(tmp_path / "run-1", data, epochs=1, steps_per_epoch=1000)
    process = start(folder)
    until(lambda: events(folder, "metrics"), folder, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == STOPPED
    ending = folder.ending(1)
    assert ending is not None
    assert (ending.state, ending.message) == (JobState.CANCELLED, "Stopped at epoch 1; its checkpoint is kept.")
    resumed = start(folder, 2)
    until(lambda: "Going on from epoch 0, step" in folder.log.read_text(), folder, resumed)
    resumed.send_signal(signal.SIGTERM)
    assert resumed.wait(60) == STOPPED


def test_several_processes_are_refused_in_words(tmp_path: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    folder = job(tmp_path / "run-1", data)
    with pytest.raises(Invalid, match="takes one process"):
        pretrain(Attempt(folder, folder.job(), 1))


def test_slices_that_are_too_small_are_refused_in_words(tmp_path: Path, data: Dataset) -> None:
    tiny = zarr.create_array(tmp_path / "tiny.zarr", data=np.asarray(zarr.open_array(data.uri, mode="r")[:, :12, :12]))
    with pytest.raises(Invalid, match="too small for this network") as refused:
        Patches(open_path(str(tmp_path / "tiny.zarr")), Wants(8), PretrainParams())
    assert "depth" in (refused.value.hint or "") and tiny.shape[1] == 12


def test_an_encoder_learns_to_find_partners_far_better_than_chance(tmp_path: Path) -> None:
    small_sample(tmp_path / "sample", size=192, slices=12)
    data = dataset(tmp_path / "sample" / "volume.zarr")
    folder = job(tmp_path / "run-1", data, epochs=2, steps_per_epoch=40, batch=24, base_channels=8)
    assert run(folder) == 0, folder.log.read_text()
    found, losses = ([one[name] for one in events(folder, "epoch")] for name in ("pairs_found", "val_loss"))
    assert losses[-1] < losses[0] < 5.2, "chance comes to ln 191, which is 5.25"
    assert max(found) > 5 / 191, "chance finds one in 191"


# ---------------------------------------------------------------- where the patches are from


def test_slices_that_judge_are_not_learned_from_unless_there_are_too_few(tmp_path: Path, data: Dataset) -> None:
    volume = open_path(data.uri)
    patches = Patches(volume, Wants(4), PretrainParams(patch=32))
    assert patches.keeps_apart and not set(patches.zs) & set(patches.judging)
    assert len(patches.zs) + len(patches.judging) == 8
    two = zarr.create_array(tmp_path / "two.zarr", data=np.asarray(zarr.open_array(data.uri, mode="r")[:2]))
    few = Patches(open_path(str(tmp_path / "two.zarr")), Wants(4), PretrainParams(patch=32))
    assert not few.keeps_apart and list(few.zs) == list(few.judging) == [0, 1]
    assert two.shape[0] == 2


def test_a_batch_follows_from_seed_and_step_whoever_asks_for_which_of_it(data: Dataset) -> None:
    volume = open_path(data.uri)
    one, other = (Patches(volume, Wants(4), PretrainParams(patch=32, seed=3)) for _ in range(2))
    whole = one.batch(5, range(4))
    assert whole.shape == (8, 1, 32, 32)
    assert np.array_equal(other.batch(5, [1, 3]), whole[[1, 3, 5, 7]])
    assert not np.array_equal(one.batch(6, range(4)), whole)
    assert not np.array_equal(whole[:4], whole[4:]), "the two views of a patch differ"


def test_only_some_slices_are_in_memory_at_a_time(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlex_jupyter.learn.training.patches.POOL_BYTES", 1)
    patches = Patches(open_path(data.uri), Wants(4), PretrainParams(patch=32, steps_per_epoch=2))
    seen = set()
    for step in range(12):
        patches.batch(step, range(8))
        assert len(patches._kept) <= 4
        seen |= set(patches._kept)
    assert seen == set(patches.zs), "other ones in each epoch"


def test_the_measures_are_what_they_say() -> None:
    points = torch.nn.functional.normalize(torch.eye(8), dim=1)
    perfect = measured(points, points)
    assert (perfect["pairs_found"], perfect["alignment"]) == (1, 0)
    torch.manual_seed(0)
    one, other = (torch.nn.functional.normalize(torch.randn(200, 16), dim=1) for _ in range(2))
    chance = measured(one, other)
    assert chance["pairs_found"] < 0.03 and chance["alignment"] == pytest.approx(2, abs=0.2)
    together = measured(points[:1].repeat(8, 1), points[:1].repeat(8, 1))
    assert together["uniformity"] == 0 > perfect["uniformity"]
