"""Segment a whole volume with a trained network, slice by slice.

    <job>/prediction.zarr        class values, uint8, chunks of one slice
    <job>/prediction-done.json   how many slices are surely on the disk, and what made them

Reading, computing and writing overlap. Bands of slices are done in order; a band counts once its chunks are
fsynced, so that a killed run computes at most one band again, and comes to the same bytes.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from mlex_jupyter.data.provenance import provenance
from mlex_jupyter.data.readers import open_volume
from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.files import sync_folder, write_whole
from mlex_jupyter.learn import grey, machine
from mlex_jupyter.learn.attempt import Attempt, Stopped
from mlex_jupyter.learn.models import build
from mlex_jupyter.learn.models.fold import folded
from mlex_jupyter.learn.pace import Pace
from mlex_jupyter.learn.tiles import Fit, fit_for, segment
from mlex_jupyter.types import Dataset, JobFile, PredictTask, Record, Result, Trained, now

Bytes = NDArray[np.uint8]
BAND_PIXELS, BAND_SLICES = 1 << 21, 16
SAY_S = 0.2


class Done(Record):
    """How far a prediction is on the disk."""

    made_by: str
    """The weights, the volume and the cut that made it."""
    slices: int
    counts: dict[int, int]
    """Pixels by class value."""


def predict(attempt: Attempt) -> Result:
    """Segment the volume, or go on where an earlier attempt was cut off."""
    prediction = Prediction(attempt)
    prediction.run()
    return prediction.finish()


class Prediction:
    """One prediction: a network, a volume, and how far it is."""

    def __init__(self, attempt: Attempt) -> None:
        job = attempt.job
        if not (isinstance(job.spec.task, PredictTask) and job.data and job.model):
            raise Invalid("This job does not say what to predict with what.")
        self.attempt = attempt
        self.data: Dataset = job.data
        self.model: Trained = job.model
        self.volume: Volume = open_volume(job.data)
        self.slices, channels, *self.sides = self.volume.shape_ZCYX
        if channels != self.model.channels:
            raise Invalid(
                f"The model takes {self.model.channels} channel(s); {job.data.name} has {channels}.",
                hint="Choose a volume like the one that it was trained on.",
            )
        self.device = machine.prepare()
        weights = _weights_file(self.model, attempt.path)
        self.network = load_network(self.model, weights, self.device)
        memory = job.spec.resources.memory_gb
        self.fit = fit_for(self.network, self.model.builder, self.model.params, self.device, memory)
        self.band = max(1, min(BAND_SLICES, BAND_PIXELS // math.prod(self.sides)))
        self.of_class = np.array([one.value for one in self.model.classes], np.uint8)
        self.place = attempt.path / "prediction.zarr"
        self.made_by = _made_by(weights, job, self.fit, self.band)
        self.done, self.array = self._resume()

    def _resume(self) -> tuple[Done, Any]:
        """What an earlier attempt left, if it was made by the same; else an empty array."""
        try:
            done = Done.model_validate_json((self.attempt.path / "prediction-done.json").read_bytes())
            if done.made_by == self.made_by:
                array = zarr.open_array(self.place, mode="r+")
                if done.slices:
                    self.attempt.note(f"Going on at slice {done.slices} of {self.slices}")
                return done, array
        except (FileNotFoundError, ValidationError):
            done = None  # nothing of use is there: begin anew
        return Done(made_by=self.made_by, slices=0, counts={}), self._create()

    def _create(self) -> Any:
        shape = self.volume.shape_ZCYX[0], *self.sides
        beside = self.place.with_name(f".prediction.{os.getpid()}")
        zarr.create_array(
            beside,
            shape=shape if "z" in self.volume.axes else shape[1:],
            chunks=(1, *self.sides) if "z" in self.volume.axes else tuple(self.sides),
            dtype="uint8",
            fill_value=0,
            dimension_names=tuple(axis for axis in "zyx" if axis in self.volume.axes),
            attributes={"classes": [one.model_dump() for one in self.model.classes]},
            overwrite=True,
        )
        _sync_file(beside / "zarr.json")
        sync_folder(beside)
        shutil.rmtree(self.place, ignore_errors=True)
        os.rename(beside, self.place)
        sync_folder(self.place.parent)
        return zarr.open_array(self.place, mode="r+")

    # ------------------------------------------------------------ band by band

    def run(self) -> None:
        """Read, compute and write until all slices are done."""
        self.pace = Pace(self.slices, self.done.slices)
        self._say(self.done.slices)
        starts = list(range(self.done.slices, self.slices, self.band))
        with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor(1) as writing:
            ahead: Future[grey.Floats] | None = reading.submit(self._read, starts[0]) if starts else None
            behind: Future[None] | None = None
            for start, following in zip(starts, [*starts[1:], None], strict=False):
                assert ahead
                images_BCYX = ahead.result()
                ahead = reading.submit(self._read, following) if following is not None else None
                found_BYX = self._compute(start, images_BCYX)
                if behind:
                    behind.result()
                behind = writing.submit(self._write, start, found_BYX)
                if self.attempt.stopping:
                    break
            if behind:
                behind.result()
        if self.done.slices < self.slices:
            raise Stopped(f"Stopped at slice {self.done.slices} of {self.slices}; what is done is kept.")

    def _read(self, start: int) -> grey.Floats:
        zs = range(start, min(start + self.band, self.slices))
        return np.stack(
            [grey.normalised(grey.checked(self.volume.slice_CYX(z), z), self.model.preprocessing) for z in zs]
        )

    def _compute(self, start: int, images_BCYX: grey.Floats) -> Bytes:
        found = np.empty((len(images_BCYX), *self.sides), np.uint8)
        for index, image_CYX in enumerate(images_BCYX):
            found[index] = self.of_class[segment(self.network, image_CYX[None], self.fit, self.device)[0]]
            self.pace.step()
            if self.pace.every("progress", SAY_S):
                self._say(start + index + 1)
        return found

    def _write(self, start: int, found_BYX: Bytes) -> None:
        stop = start + len(found_BYX)
        if self.array.ndim == 2:
            self.array[:] = found_BYX[0]
        else:
            self.array[start:stop] = found_BYX
        _sync_chunks(self.place, self.array.ndim, start, stop)
        failpoint("predict.written")
        seen, pixels = np.unique(found_BYX, return_counts=True)
        counts = dict(self.done.counts)
        for value, count in zip(seen.tolist(), pixels.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
        self.done = Done(made_by=self.made_by, slices=stop, counts=counts)
        write_whole(self.attempt.path / "prediction-done.json", self.done.model_dump_json())
        failpoint("predict.recorded")

    def _say(self, done: int) -> None:
        self.attempt.progress(done, self.slices, "slice", eta_s=self.pace.eta_s())

    # ------------------------------------------------------------ the end

    def finish(self) -> Result:
        """The new dataset, and how much of it each class fills."""
        self._say(self.slices)
        job = self.attempt.job
        has_z = "z" in self.volume.axes
        dataset = Dataset(
            id=f"ds-{job.id}",
            name=job.name,
            uri=str(self.place.absolute()),
            reader="zarr",
            shape=tuple(self.array.shape),
            dtype="uint8",
            axes="zyx" if has_z else "yx",
            chunks=tuple(self.array.chunks),
            pixel_size=self.data.pixel_size,
            pixel_unit=self.data.pixel_unit,
            nbytes=int(self.array.nbytes),
            classes=self.model.classes,
            derived_from=tuple(source for source in (self.data.id, self.model.source) if source),
            tags=("prediction",),
            owner=job.owner,
            provenance=provenance(),
            created=now(),
        )
        total = sum(self.done.counts.values())
        fractions = {one.name: self.done.counts.get(one.value, 0) / total for one in self.model.classes}
        shares = ", ".join(f"{name} {share:.1%}" for name, share in fractions.items())
        self.attempt.note(f"{self.slices} slices segmented: {shares}")
        return Result(
            attempt=self.attempt.number,
            metrics={f"fraction/{name}": round(share, 6) for name, share in fractions.items()},
            dataset=dataset,
        )


def load_network(model: Trained, weights: Path, device: torch.device) -> nn.Module:
    """The trained network, ready to predict. Weights are safetensors; nothing in them can run."""
    network = build(model.builder, model.params, channels=model.channels, classes=len(model.classes))
    try:
        network.load_state_dict(load_file(weights))
    except Exception as error:  # safetensors and torch have several errors for weights that do not fit
        first = str(error).strip().splitlines()[0][:300]
        raise Invalid(
            f"The weights do not fit {model.architecture}: {first}",
            hint="Was the package that the architecture comes from changed? Train again, or install the old version.",
        ) from error
    ready: nn.Module = folded(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return ready


def _weights_file(model: Trained, folder: Path) -> Path:
    path = folder / model.weights
    if not path.is_file():
        raise NotFound(f"The model's weights are not at {path}.", hint="Was the run that made them deleted?")
    return path


def _made_by(weights: Path, job: JobFile, fit: Fit, band: int) -> str:
    """One text for all that decides what comes out."""
    assert job.model and job.data
    digest = hashlib.sha256(weights.read_bytes())
    digest.update(job.model.model_dump_json().encode())
    digest.update(repr((job.data.id, job.data.shape, fit, band)).encode())
    return digest.hexdigest()


def _sync_chunks(place: Path, ndim: int, start: int, stop: int) -> None:
    """Make the chunks of some slices durable, with the names of their folders."""
    chunks = [place / "c" / str(z) / "0" / "0" for z in range(start, stop)] if ndim == 3 else [place / "c" / "0" / "0"]
    folders = {place, place / "c"}
    for chunk in chunks:
        _sync_file(chunk)
        folders |= {chunk.parent, chunk.parent.parent}
    for folder in folders:
        sync_folder(folder)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
