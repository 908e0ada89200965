"""Prediction in 3-D from zarr to zarr, beside the same network alone on data in memory; and what halos cost.

As in learn_predict.py seconds of a processor are counted, on one thread. The network alone computes a block of the size
that the prediction cuts, of which nothing is computed twice.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import zarr

from mlex_jupyter.learn import grey
from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.learn.prediction import backends, bands, slabs
from mlex_jupyter.learn.prediction.task import Prediction
from tests.bench import segmented
from tests.bench.figures import Figure, interleaved, median
from tests.bench.learn_memory import resident_gb

UNET3D = "mlex_jupyter.learn.models.unet:unet3d"
SIDE, ROUNDS = 256, 3
MEMORY_GB = 4.0
BEST, USEFUL = 0.90, 0.60


def figures() -> Iterator[Figure]:
    """In millions of voxels for each second of a processor; the share of use; and the memory of it as a process."""
    os.environ["MLEX_CPUS"] = "1"  # or a prediction takes all that there are
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = segmented.volume(folder / "volume.zarr", SIDE, SIDE)
        _, trained = segmented.network(folder / "trained", UNET3D)
        yield from _rates(folder, data, trained)
        yield _memory(folder, data, trained)


def _rates(folder: Path, data: Path, trained: Path) -> Iterator[Figure]:
    counter = iter(range(1000))

    def made() -> Prediction:
        job = segmented.job(folder / f"run-{next(counter)}", data, trained)
        return Prediction(Attempt(job, job.job(), 1))

    first = made()
    backend, segmenter, plan = first.segmenter.backend, first.segmenter, first.plan
    block_BCZYX = _block(data, first)
    computed, useful = plan.computed, SIDE**3

    def ours() -> float:
        prediction = made()
        prediction.segmenter = segmenter
        return _rate(computed, lambda: (prediction.run(), prediction.finish()))

    def alone() -> float:
        return _rate(block_BCZYX.size, lambda: backend(block_BCZYX))

    for work in (ours, alone):
        work()  # the first warms up
    whole, network = map(median, interleaved(ROUNDS, ours, alone))
    about, against = f"U-Net in 3-D on {SIDE}³, {backend.name}", "the network alone, data in memory"
    yield Figure(f"{about}, computed MVox per CPU second", whole, "", network, against, least=BEST * network)
    yield Figure(f"{about}, of use", whole * useful / computed, "", network, against)
    yield Figure(
        f"useful of computed voxels, {SIDE}³ in {MEMORY_GB:g} GB", useful / computed, "", 1, "all", least=USEFUL
    )


def _block(data: Path, prediction: Prediction) -> np.ndarray:
    """The largest block that the prediction cuts, as the network sees it."""
    depth, fit = SIDE, prediction.segmenter.fit
    widest = max((slabs.around(zs, depth, fit) for zs in bands.pieces(range(depth), prediction.plan.band)), key=len)
    raw = np.asarray(zarr.open_array(data, mode="r")[widest.start : widest.stop])
    tile = next(iter(slabs.tiles.tiles(raw.shape[1:], slabs.flat(fit, len(raw)))))
    return np.ascontiguousarray(grey.normalised(raw[None, None], prediction.model.preprocessing)[..., *tile.read])


def _memory(folder: Path, data: Path, trained: Path) -> Figure:
    gb = resident_gb(segmented.job(folder / "memory", data, trained))
    return Figure(f"memory for {SIDE}³ in 3-D", gb, "GB", MEMORY_GB, "what the job asks for", limit=MEMORY_GB)


def _rate(voxels: int, work: Callable[[], object]) -> float:
    backends.keep_memory()
    begun = time.process_time()
    work()
    return voxels / 1e6 / (time.process_time() - begun)
