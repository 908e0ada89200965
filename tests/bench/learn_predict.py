"""Prediction from zarr to zarr, beside the network alone on data in memory, DLSIA's qlty tiles and MONAI's windows.

Seconds of a processor are counted, not of the clock: what else the machine does counts less, and what we do beside the
network, in threads of its own, counts in full. The network has learned what it segments, as those have that people
use: noise has hundreds of thousands of objects a slice, which is a line of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import zarr

from mlex_jupyter.learn import grey
from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.learn.prediction.task import Prediction
from tests.bench import learn_rivals, segmented
from tests.bench.figures import Figure, interleaved, median, seconds
from tests.learning import events, start

SLICES, SIZE = 2, 1024
ROUNDS = 3
STEPS = 60
"""That a network learns, until it knows grains."""
BEST = 0.90


def figures() -> Iterator[Figure]:
    """In millions of pixels for each second of a processor, those of reading and writing among them."""
    torch.set_num_threads(1)
    learn_rivals.bring_monai()
    with tempfile.TemporaryDirectory() as folder:
        yield from _measured(Path(folder))


def _measured(folder: Path) -> Iterator[Figure]:
    data = segmented.volume(folder / "volume.zarr", SLICES, SIZE)
    _, trained = segmented.network(folder / "trained", steps=STEPS, depth=4, base_channels=16)
    _, noisy = segmented.network(folder / "noisy", depth=4, base_channels=16)
    ours, best = Ours(folder / "ours", data, trained), Ours(folder / "best", data, trained)
    works: dict[str, Callable[[], float]] = {"ours": ours.whole, "best": best.network_alone}
    works["noise"] = Ours(folder / "noise", data, noisy).whole
    for rival in learn_rivals.RIVALS:
        works[rival] = partial(learn_rivals.rate, rival, trained, data)
    for name in ("ours", "best", "noise"):
        works[name]()  # the first warms up; the others do so themselves
    rates = dict(zip(works, map(median, interleaved(ROUNDS, *works.values())), strict=True))
    rates["monai"] = max(rates["monai"], rates.pop("monai, 4 at once"))
    about = f"TUNet on {SIZE}², {ours.backend.name}, MPix per CPU second"
    alone = "the network alone, data in memory"
    beside = {
        alone: ("best", BEST),
        "DLSIA with qlty 64/32, softmax, batch 2": ("qlty 64/32", 10),
        "DLSIA with qlty 256/128": ("qlty 256/128", 5),
        "MONAI's windows of 256, overlap 0.25": ("monai", 2),
        "the same with our folded network": ("monai folded", 1.3),
    }
    for against, (name, least) in beside.items():
        yield Figure(about, rates["ours"], "", rates[name], against, least=least * rates[name])
    yield Figure("… of noise, with objects without number", rates["noise"], "", rates["best"], alone)
    yield _first_picture(folder, trained)


class Ours:
    """Predictions of one volume, as jobs make them; the plan, and with it the backend, is that of the first."""

    def __init__(self, folder: Path, data: Path, trained: Path) -> None:
        self._folder, self._data, self._trained = folder, data, trained
        folder.mkdir()
        self._count = 0
        self._segmenter = self._next().segmenter
        self.backend = self._segmenter.backend
        raw = np.asarray(zarr.open_array(data, mode="r")[:])
        self._grey = grey.normalised(raw[:, None], self._segmenter.model.preprocessing)

    def _next(self) -> Prediction:
        self._count += 1
        job = segmented.job(self._folder / str(self._count), self._data, self._trained)
        return Prediction(Attempt(job, job.job(), 1))

    def whole(self) -> float:
        """From zarr to zarr."""
        prediction = self._next()
        prediction.segmenter = self._segmenter
        self.backend(self._grey[:1])  # planning gave memory back, which a job asks for once, however long it is
        return _rate(self._grey.size, lambda: (prediction.run(), prediction.finish()))

    def network_alone(self) -> float:
        """Slice by slice, as large pieces as there are."""
        return _rate(self._grey.size, lambda: [self.backend(self._grey[z : z + 1]) for z in range(SLICES)])


def _rate(pixels: int, work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return pixels / 1e6 / (time.process_time() - begun)


def _first_picture(folder: Path, trained: Path) -> Figure:
    """From the start of the process, imports and all, on two threads."""
    data = segmented.volume(folder / "large.zarr", 64, SIZE)
    job = segmented.job(folder / "preview", data, trained)
    begun = time.perf_counter()
    process = start(job)
    try:
        while not events(job, "picture"):
            assert process.poll() is None, job.log.read_text()
            time.sleep(0.02)
        taken = time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait()
    return Figure("first picture of 64 slices of 1024²", taken, "s", _imports(), "importing torch", limit=30)


def _imports() -> float:
    return seconds(lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True))
