"""Jobs that learn, for tests: a small sample on disk, and job folders over it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from mlex_jupyter.data.sample import Sample, make_sample, write_sample
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.describe import describe
from mlex_jupyter.types import (
    Architecture,
    ClassInfo,
    Dataset,
    JobFile,
    JobSpec,
    LabelSet,
    PredictTask,
    Trained,
    TrainTask,
    now,
)

QUICK = {"epochs": 2, "steps_per_epoch": 4, "batch": 2, "patch": 32, "base_channels": 4, "depth": 3}
"""A training that learns next to nothing, in a second or two."""


def small_sample(folder: Path, **given: Any) -> Sample:
    """A sample of 64 × 64 pixels and 8 slices, written to a folder."""
    sample = make_sample(**{"size": 64, "slices": 8, "seed": 7, **given})
    write_sample(folder, sample)
    return sample


def dataset(path: Path, axes: str = "zyx") -> Dataset:
    """A zarr array as a dataset."""
    array = zarr.open_array(path, mode="r")
    return Dataset(
        id="ds-1",
        name="sand-tomo",
        uri=str(path),
        reader="zarr",
        shape=array.shape,
        dtype=str(array.dtype),
        axes=axes,
        chunks=array.chunks,
        nbytes=int(array.nbytes),
        created=now(),
    )


def label_set(path: Path, classes: tuple[ClassInfo, ...]) -> LabelSet:
    """A zarr array as a label set."""
    values = np.asarray(zarr.open_array(path, mode="r")[:])
    stack = values if values.ndim == 3 else values[None]
    return LabelSet(
        id="ls-1",
        name="scribbles",
        dataset="ds-1",
        classes=classes,
        version=1,
        uri=str(path),
        counts={one.name: int((values == one.value).sum()) for one in classes},
        slices=tuple(int(z) for z in np.flatnonzero(stack.any(axis=(1, 2)))),
        created=now(),
    )


def train_job(place: Path, data: Dataset, labels: LabelSet, model: str = "unet", **params: Any) -> JobFolder:
    """A folder of a training, its parameters completed as the engine does."""
    architecture = Architecture.model_validate(describe(model))
    properties: Any = architecture.params_schema["properties"]
    quick = {name: value for name, value in QUICK.items() if name in properties}
    full = {name: about["default"] for name, about in properties.items()} | quick | params
    spec = JobSpec(name="run", task=TrainTask(model=model, data=data.name, labels=labels.name, params=full))
    return _make(place, spec, data=data, labels=labels, architecture=architecture)


def predict_job(place: Path, data: Dataset, trained: Path, **asked: Any) -> JobFolder:
    """A folder of a prediction with what a training left."""
    model = Trained.model_validate_json((trained / "model.json").read_bytes())
    model = model.model_copy(update={"weights": str(trained / model.weights), "source": trained.name})
    spec = JobSpec(name="seg", task=PredictTask(model="run", data=data.name, **asked))
    return _make(place, spec, data=data, model=model)


def _make(place: Path, spec: JobSpec, **given: Any) -> JobFolder:
    job = JobFile(id=place.name, name=spec.name or place.name, owner="tester", spec=spec, **given)
    return JobFolder.make(place, job)


def start(folder: JobFolder, number: int = 1, **environment: str) -> subprocess.Popen[bytes]:
    """The job as a process of its own."""
    command = [sys.executable, "-m", "mlex_jupyter.learn.run", str(folder.path), str(number)]
    with folder.log.open("ab") as log:
        return subprocess.Popen(command, env={**os.environ, "MLEX_CPUS": "2", **environment}, stdout=log, stderr=log)


def run(folder: JobFolder, number: int = 1, **environment: str) -> int:
    """Run it to its end."""
    return start(folder, number, **environment).wait(150)


def until(there: Callable[[], object], folder: JobFolder, process: subprocess.Popen[bytes]) -> None:
    """Wait for something that a running job does; its log says why it did not."""
    deadline = time.monotonic() + 90
    while not there():
        assert time.monotonic() < deadline and process.poll() is None, folder.log.read_text()
        time.sleep(0.05)


def events(folder: JobFolder, kind: str) -> list[dict[str, Any]]:
    """The values of all events of a kind."""
    lines = folder.events.read_text().splitlines() if folder.events.exists() else []
    return [event["values"] for event in map(json.loads, lines) if event["kind"] == kind]
