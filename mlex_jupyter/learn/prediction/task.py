"""Segment a volume with a trained network, slice by slice, into the volumes of outputs.py.

    <job>/segmented.json   how much there is of each class, in how many objects; how sure each slice is
    <job>/pictures/        slices as they were segmented, the newest also as <job>/picture.png

Reading, computing and writing overlap. A band of slices counts once its files are durable and their hash is recorded
(ledger.py), so that a killed run computes at most one band again, and comes to the same bytes.
"""

from __future__ import annotations

import hashlib
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mlex_jupyter.data.readers import open_volume
from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.files import write_whole
from mlex_jupyter.learn import machine, picture
from mlex_jupyter.learn.attempt import Attempt, Stopped
from mlex_jupyter.learn.models import wants
from mlex_jupyter.learn.models.ensemble import Apart, Ensemble
from mlex_jupyter.learn.pace import Pace
from mlex_jupyter.learn.prediction import backends, bands, memory, slabs
from mlex_jupyter.learn.prediction.computing import Computing
from mlex_jupyter.learn.prediction.ledger import Band, Ledger, Plan, hash_of
from mlex_jupyter.learn.prediction.levels import sync
from mlex_jupyter.learn.prediction.outputs import Images, Outputs
from mlex_jupyter.learn.prediction.pipeline import flow
from mlex_jupyter.learn.prediction.room import bytes_per_voxel
from mlex_jupyter.learn.prediction.segmenter import Found, Segmenter, load_network, weights_file
from mlex_jupyter.learn.prediction.tally import Tally, means
from mlex_jupyter.learn.prediction.tiles import Fit, bytes_per_pixel, fit_for
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import Dataset, Output, PredictTask, Result, Trained, part_of, range_of

PICTURE_S = 5.0
PROBED_PIXELS = 1 << 25
"""A prediction of fewer pixels is over before it is known what is fastest."""
BATCH_PIXELS = {"cpu": 1 << 16, "cuda": 1 << 23}
"""At once, for small slices: beyond that a batch gains nothing."""
LARGE_SLICE = 1 << 21
"""Pixels; of such slices only one is read and one written ahead."""


def predict(attempt: Attempt) -> Result:
    """Segment the volume, or go on where an earlier attempt was cut off."""
    prediction = Prediction(attempt)
    prediction.run()
    return prediction.finish()


class Prediction(Computing):
    """One prediction: a network, a volume, and how far it is."""

    def __init__(self, attempt: Attempt) -> None:
        job = attempt.job
        if not (isinstance(job.spec.task, PredictTask) and job.data and job.model):
            raise Invalid("This job does not say what to predict with what.")
        self.attempt = attempt
        self.task: PredictTask = job.spec.task
        self.data: Dataset = job.data
        self.model: Trained = job.model
        self.volume: Volume = open_volume(job.data)
        depth, channels, *self.sides = self.volume.shape_ZCYX
        if channels != self.model.channels:
            raise Invalid(
                f"The model takes {self.model.channels} channel(s); {job.data.name} has {channels}.",
                hint="Choose a volume like the one that it was trained on.",
            )
        self.scope = range_of(self.task.slices, depth)
        if not self.scope:
            raise Invalid(f"{job.data.name} has {depth} slices; {self.task.slices} is none of them.")
        self.mine = part_of(self.task.part, self.scope)
        backends.keep_memory()
        self.device = machine.prepare()
        shape_ZYX, has_z = (depth, *self.sides), "z" in self.volume.axes
        folder = self._folder()
        self.outputs = Outputs(folder, self.data, shape_ZYX, has_z, self.model, self.task.probabilities)
        self.ledger = Ledger(folder)
        wanted = wants(self.model.builder, self.model.params)
        self.ahead = 1 if wanted.dims == 3 or math.prod(self.sides) > LARGE_SLICE else 2
        self.reader = bands.Reader(self.volume, wanted.neighbours)
        self.plan, self.segmenter, self.images = self._planned()
        self.tally = Tally(self.scope)
        if self.plan.dims == 3:
            self.reader = slabs.Reader(self.volume, self.segmenter.fit)
        self._resume()

    def _folder(self) -> Path:
        """Where the volumes are: the job's own folder, or one beside all jobs that several of them fill."""
        if self.task.shared is None:
            return self.attempt.path
        place = self.attempt.path.parent.parent / "predictions" / self.task.shared
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place

    # ------------------------------------------------------------ the plan

    def _planned(self) -> tuple[Plan, Segmenter, Images]:
        """How it is done: as an earlier attempt began, or as suits the network, the slices and the machine."""
        weights = weights_file(self.model, self.attempt.path)
        network = load_network(self.model, weights, self.device)
        if isinstance(network, Ensemble):
            network = Apart(network)
        wanted = wants(self.model.builder, self.model.params)
        of_one = bytes_per_pixel if wanted.dims == 2 else bytes_per_voxel
        self._pixel_bytes = of_one(network, wanted.multiple, self.device)
        with self.ledger.alone():
            made_by = self._made_by(weights)
            plan = self.ledger.plan(made_by) if self.outputs.exist else None
            backend = self._as_before(plan, network) if plan else None
            if plan is None or backend is None:
                memory_gb = self.attempt.job.spec.resources.memory_gb
                fit = fit_for(network, self.model.builder, self.model.params, self.device, memory_gb)
                cut = self._cut(network, fit) if fit.dims == 3 else None
                backend = self._fastest(network, fit)
                if cut is None and self.device.type == "cpu":
                    fit = memory.fitted(fit, self.sides, self._left(network), self._pixel_bytes, backend)
                plan = self._begin(made_by, backend.name, cut.fit if cut else fit, cut)
            images = self.outputs.open()
        fit = Fit(plan.multiple, plan.halo, plan.largest, plan.dims)
        self._say_how(fit, plan)
        return plan, Segmenter(self.model, backend, fit, probabilities=self.task.probabilities), images

    def _as_before(self, plan: Plan, network: nn.Module) -> backends.Backend | None:
        """What an earlier attempt computed with, so that the rest comes out as if it had gone on."""
        if plan.backend == backends.Torch.name:
            return backends.Torch(network, self.device)
        found = backends.openvino(network, plan.multiple, plan.dims)
        if isinstance(found, str) and self.task.shared:
            raise Invalid(f"The other jobs compute with OpenVINO, which does not compute here, since {found}.")
        if isinstance(found, str):
            self.attempt.note(f"It began with OpenVINO, which does not compute here, since {found}: it begins anew")
            return None
        return found

    def _fastest(self, network: nn.Module, fit: Fit) -> backends.Backend:
        large = len(self.scope) * math.prod(self.sides) >= PROBED_PIXELS
        if self.device.type != "cpu" or not large or not Settings.load().openvino:
            return backends.Torch(network, self.device)
        backend, why = backends.faster(network, fit.multiple, self.device, fit.dims)
        self.attempt.note(why)
        return backend

    def _cut(self, network: nn.Module, fit: Fit) -> slabs.Cut:
        """The slabs of a 3-D network, as thick as suits the memory."""
        memory_gb = self.attempt.job.spec.resources.memory_gb
        return slabs.cut_for(network, self.volume, self.scope, fit, self.device, memory_gb, self._found_bytes)

    def _left(self, network: nn.Module) -> float:
        """Of the memory, for the layers."""
        weights = sum(one.numel() * one.element_size() for one in network.parameters())
        return memory.left(self._held, weights, self.attempt.job.spec.resources.memory_gb)

    @property
    def _found_bytes(self) -> int:
        return 2 + (len(self.model.classes) if self.task.probabilities else 0)

    @property
    def _held(self) -> float:
        read = self.reader.channels * self.volume.dtype.itemsize
        return memory.held(self.sides, read, self._found_bytes, self.ahead) + self.reader.kept_bytes

    def _begin(self, made_by: str, backend: str, fit: Fit, by_slabs: slabs.Cut | None) -> Plan:
        """Empty volumes, and a plan."""
        self.outputs.create(self.attempt.job.name)
        band = by_slabs.band if by_slabs else bands.slices_of_band(self.sides)
        at_once = BATCH_PIXELS["cpu" if self.device.type == "cpu" else "cuda"]
        batch = max(1, min(band, at_once // math.prod(self.sides), fit.pixels // math.prod(self.sides)))
        cut: dict[str, Any] = {"multiple": fit.multiple, "halo": fit.halo, "largest": fit.largest, "dims": fit.dims}
        if by_slabs:
            batch, cut = 1, cut | {"computed": by_slabs.computed}
        plan = Plan(made_by=made_by, backend=backend, batch=batch, band=band, **cut)
        self.ledger.begin(plan)
        return plan

    def useful(self, plan: Plan) -> float | None:
        """Of all voxels that are computed, the share of those that are asked for; None where nothing is twice."""
        return len(self.scope) * math.prod(self.sides) / plan.computed if plan.computed else None

    def _made_by(self, weights: Path) -> str:
        """One text for all that decides what comes out, but for the slices: of those others may be done later."""
        digest = hashlib.sha256(weights.read_bytes())
        model = self.model.model_dump_json(exclude={"weights"})
        digest.update(repr((model, self.data.id, self.data.shape, self.task.probabilities, "3")).encode())
        return digest.hexdigest()

    def _say_how(self, fit: Fit, plan: Plan) -> None:
        if plan.dims == 3:
            self.attempt.note(slabs.in_words(plan.band, fit, len(self.scope), self.useful(plan)))
        elif fit.halo is None:
            how = "in one piece" if fit.whole(tuple(self.sides)) else "in tiles that are blended, not exactly"
            self.attempt.note(f"A pixel sees the whole slice in this network: slices are computed {how}")
        elif not fit.whole(tuple(self.sides)):
            self.attempt.note(f"Slices are computed in tiles with a halo of {fit.halo} pixels: exactly as in one piece")

    # ------------------------------------------------------------ band by band

    def _resume(self) -> None:
        whole, damaged = self.ledger.whole(self.images.files)
        for band in whole:
            self.tally.add(band)
        if damaged:
            self.attempt.note(f"{damaged} bands are not on the disk as they were written; they are done again")
        if self.tally.done:
            self.attempt.note(f"Going on: {self.tally.done} of {len(self.scope)} slices are done")

    def run(self) -> None:
        """Read, compute and write until all slices are done."""
        self.pace = Pace(len(self.scope), self.tally.done)
        self._say()
        left = bands.missing(self.mine, self.plan.band, self.tally.uncertainty)
        going = {"ahead": self.ahead, "go_on": lambda: not self.attempt.stopping}
        try:
            flow(bands.coarse_first(left), self.reader, self._compute, self._write, **going)  # type: ignore[arg-type]
        except (MemoryError, RuntimeError) as error:
            if machine.is_out_of_memory(error):
                in_slabs = self.plan.dims == 3
                raise (slabs.too_large() if in_slabs else memory.too_large(self.sides, self._held)) from error
            raise
        if any(z not in self.tally.uncertainty for z in self.mine):
            raise Stopped(self._how_far())

    def _write(self, zs: range, made: tuple[Found, NDArray[Any]]) -> None:
        found, raw_YX = made
        for index, z in enumerate(zs):
            self.images.write(z, found, index)
        files = [file for z in zs for file in self.images.files(z)]
        sync(files)
        failpoint("predict.written")
        band = Band(start=zs.start, stop=zs.stop, sha256=hash_of(files), uncertainty=means(found.unsure_BYX))
        self.ledger.record(band)
        failpoint("predict.recorded")
        self.tally.add(band)
        if self.pace.every("picture", PICTURE_S):
            self._picture(zs.start, raw_YX, found.values_BYX[0])
        here = dict(zip(zs, found.values_BYX, strict=True))
        self.tally.follow(lambda z: here[z] if z in here else self.images.values(z))

    def _picture(self, z: int, raw_YX: NDArray[Any], values_YX: NDArray[np.uint8]) -> None:
        path = picture.preview(self.attempt.path, z, raw_YX, values_YX, self.model.classes)
        self.attempt.emit("picture", z=z, path=path, done=self.tally.done, total=len(self.scope))

    # ------------------------------------------------------------ the end

    def finish(self) -> Result:
        """The new datasets, and how much there is of each class."""
        if self.task.part is not None:
            self.attempt.note(f"{len(self.mine)} slices are done; the last of the jobs makes the table")
            return Result(attempt=self.attempt.number)
        begun = time.monotonic()
        self.tally.follow(self.images.values)
        if (took := time.monotonic() - begun) > 1:
            self.attempt.note(f"Counting the objects took another {took:.0f} s")
        self._say()
        found = self.tally.segmented(self.model.classes)
        write_whole(self.attempt.path / "segmented.json", found.model_dump_json())
        shares = ", ".join(f"{one.name} {one.fraction:.1%} in {one.objects}" for one in found.classes)
        self.attempt.note(f"{len(self.scope)} slices segmented: {shares}")
        useful = self.useful(self.plan)
        metrics = found.metrics | ({"useful_of_computed": round(useful, 4)} if useful else {})
        about: dict[str, Any] = {"attempt": self.attempt.number, "metrics": metrics, "outputs": self._shown()}
        if self.task.trial:
            return Result(**about)
        first, *others = self.outputs.datasets(self.images, self.attempt.job)
        return Result(**about, dataset=first, datasets=tuple(others))

    def _shown(self) -> tuple[Output, ...]:
        source = (self.data.id, self.model.source or self.model.architecture)
        table = Output(kind="file", name="Classes and slices", ref="segmented.json", derived_from=source)
        drawn = Output(kind="picture", name="A slice as it was segmented", ref="picture.png", derived_from=source)
        return (drawn, table) if (self.attempt.path / drawn.ref).exists() else (table,)
