"""What is said of a training before it starts: measured on real steps, and near to what it then takes."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.types import ClassInfo, Dataset, EstimateTask, LabelSet, Measurement, TrainTask
from tests.learning import dataset, events, label_set, run, small_sample, start, train_job

pytestmark = pytest.mark.needs("torch")

STEADY = {"epochs": 3, "steps_per_epoch": 8, "batch": 4, "patch": 64, "base_channels": 8}
OTHERS = 4
"""By so much may two runs on a machine differ where others are at work too."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, LabelSet]:
    folder = tmp_path_factory.mktemp("inputs") / "sample"
    made = small_sample(folder)
    classes: tuple[ClassInfo, ...] = made.classes
    return dataset(folder / "volume.zarr"), label_set(folder / "scribbles.zarr", classes)


def estimate_job(place: Path, sample: tuple[Dataset, LabelSet], model: str = "unet", **more: Any) -> JobFolder:
    """The folder of a training, of which only the measuring is wanted."""
    memory_gb = more.pop("memory_gb", 4)
    job = train_job(place, *sample, model=model, **more).job()
    assert isinstance(job.spec.task, TrainTask)
    task = EstimateTask(**job.spec.task.model_dump(exclude={"kind"}))
    resources = job.spec.resources.model_copy(update={"memory_gb": memory_gb})
    spec = job.spec.model_copy(update={"task": task, "resources": resources})
    return JobFolder.make(place.with_name(f"{place.name}-estimate"), job.model_copy(update={"spec": spec}))


def measured(folder: JobFolder) -> Measurement:
    assert run(folder) == 0, folder.log.read_text()
    return Measurement.model_validate_json((folder.path / "estimate.json").read_bytes())


def test_the_time_and_memory_that_are_said_are_near_those_that_it_takes(
    tmp_path: Path, sample: tuple[Dataset, LabelSet]
) -> None:
    said = measured(estimate_job(tmp_path / "a", sample, **STEADY))
    real = train_job(tmp_path / "b", *sample, **STEADY)
    begun = time.monotonic()
    assert run(real) == 0
    took = time.monotonic() - begun
    assert took / OTHERS < said.total_s < took * OTHERS, said
    peak = max(event["memory_gb"] for event in events(real, "metrics"))
    assert peak / 1.5 < said.memory_gb < peak * 1.5, said
    assert said.total_s == pytest.approx(said.start_s + 3 * (8 * said.step_s + said.epoch_end_s), abs=0.2)
    assert (said.epochs, said.steps_per_epoch, said.batch, said.patch) == (3, 8, 4, 64)
    assert said.memory_gb < said.memory_limit_gb <= 4 and not said.in_pieces
    assert said.largest_patch == 64, "a slice has no more"
    told = [event["text"] for event in events(real, "note") if " s a step: " in event["text"]]
    assert len(told) <= 1, "and the training itself says so once it has made a few steps"


def test_more_memory_fits_larger_batches_and_little_memory_none_at_once(
    tmp_path: Path, sample: tuple[Dataset, LabelSet]
) -> None:
    little, much = (
        measured(estimate_job(tmp_path / str(gb), sample, memory_gb=gb, **{**STEADY, "batch": 16})) for gb in (0.1, 3)
    )
    assert little.largest_batch == 0 and little.in_pieces and little.memory_limit_gb == 0.1
    assert much.largest_batch is not None and much.largest_batch > 16 and not much.in_pieces


def test_what_is_measured_leaves_numbers_and_nothing_that_could_be_taken_for_a_training(
    tmp_path: Path, sample: tuple[Dataset, LabelSet]
) -> None:
    folder = estimate_job(tmp_path / "a", sample)
    found = measured(folder)
    result = folder.result()
    assert result is not None and [output.kind for output in result.outputs] == ["value"]
    assert set(result.metrics) == {"epoch_s", "total_s", "memory_gb"}
    left = {path.name for path in folder.path.iterdir()}
    assert {"weights.safetensors", "model.json", "pictures", "measured"}.isdisjoint(left)
    assert events(folder, "epoch") == [] and events(folder, "progress")[-1]["unit"] == "step"
    assert json.loads((folder.path / "estimate.json").read_text())["machine"] == found.machine


def test_a_network_that_learns_at_once_is_measured_whole(tmp_path: Path, sample: tuple[Dataset, LabelSet]) -> None:
    found = measured(estimate_job(tmp_path / "a", sample, model="forest"))
    assert found.largest_batch is None and found.largest_patch is None
    assert found.total_s == pytest.approx(found.start_s + found.step_s, abs=0.2)


def test_told_to_stop_it_stops(tmp_path: Path, sample: tuple[Dataset, LabelSet]) -> None:
    slow = {"patch": 64, "batch": 256, "base_channels": 32, "depth": 4}
    folder = estimate_job(tmp_path / "a", sample, **slow)
    process = start(folder)
    while not folder.claimed(1):
        time.sleep(0.05)
    while "labelled pixels" not in folder.log.read_text():
        assert process.poll() is None, folder.log.read_text()
        time.sleep(0.05)
    psutil.Process(process.pid).send_signal(signal.SIGTERM)
    assert process.wait(120) == 75
    ending = folder.ending(1)
    assert ending is not None and ending.state == "cancelled" and not (folder.path / "estimate.json").exists()
