"""Prediction from zarr to zarr, beside the network alone on data in memory, DLSIA's qlty tiles and MONAI's windows.

Seconds of a processor are counted, not of the clock: what else the machine does counts less, and what we do beside the
network, in threads of its own, counts in full. What we change of memory for our process is theirs here, too.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import zarr
from torch import Tensor, nn

from mlex_jupyter.learn import grey
from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.learn.prediction.task import Prediction
from tests.bench import segmented
from tests.bench.figures import Figure, interleaved, median, seconds
from tests.bench.peers import PLACE
from tests.learning import events, start

SLICES, SIZE = 2, 1024
ROUNDS = 3
MONAI = "monai==1.6.1"
BEST = 0.90


def figures() -> Iterator[Figure]:
    """In millions of pixels for each second of a processor, those of reading and writing among them."""
    torch.set_num_threads(1)
    _bring_monai()
    with tempfile.TemporaryDirectory() as folder:
        yield from _measured(Path(folder))


def _measured(folder: Path) -> Iterator[Figure]:
    data = segmented.volume(folder / "volume.zarr", SLICES, SIZE)
    network, trained = segmented.network(folder / "trained", depth=4, base_channels=16)
    raw = np.asarray(zarr.open_array(data, mode="r")[:])
    counter = iter(range(10_000))

    def made() -> Prediction:
        job = segmented.job(folder / f"run-{next(counter)}", data, trained)
        return Prediction(Attempt(job, job.job(), 1))

    first = made()  # the plan, and with it the backend, of all that follow
    backend, folded = first.segmenter.backend, first.segmenter
    how = grey.normalised(raw[:, None], first.model.preprocessing)
    network.to(memory_format=torch.contiguous_format)

    def ours() -> float:
        prediction = made()
        prediction.segmenter = folded
        return _rate(raw.size, lambda: (prediction.run(), prediction.finish()))

    def best() -> float:
        return _rate(raw.size, lambda: [backend(how[z : z + 1]) for z in range(SLICES)])

    plain_rows = torch.from_numpy(how)
    small, quarter = plain_rows[:1, :, :256, :256], plain_rows[:1, :, :512, :512]  # per pixel it is the same
    layers = getattr(backend, "network", network)
    works: dict[str, Callable[[], float]] = {
        "ours": ours,
        "best": best,
        "qlty 64/32": lambda: _rate(small.numel(), lambda: _qlty(network, small, 64, 32)),
        "qlty 256/128": lambda: _rate(quarter.numel(), lambda: _qlty(network, quarter, 256, 128)),
        "monai": lambda: _rate(quarter.numel(), lambda: _monai(network, quarter)),
        "monai folded": lambda: _rate(
            quarter.numel(), lambda: _monai(layers, quarter.to(memory_format=torch.channels_last))
        ),
    }
    for work in works.values():
        work()  # the first warms up
    rates = dict(zip(works, map(median, interleaved(ROUNDS, *works.values())), strict=True))
    about = f"TUNet on {SIZE}², {backend.name}, MPix per CPU second"
    beside = {
        "the network alone, data in memory": ("best", BEST),
        "DLSIA with qlty 64/32, softmax, batch 2": ("qlty 64/32", 10),
        "DLSIA with qlty 256/128": ("qlty 256/128", 5),
        "MONAI's windows of 256, overlap 0.25": ("monai", 2),
        "the same with our folded network": ("monai folded", 1.3),
    }
    for against, (name, least) in beside.items():
        yield Figure(about, rates["ours"], "", rates[name], against, least=least * rates[name])
    yield _first_picture(folder, trained)


def _rate(pixels: int, work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return pixels / 1e6 / (time.process_time() - begun)


def _qlty(network: nn.Module, images_BCYX: Tensor, window: int, step: int) -> Tensor:
    """As DLSIA's application in MLExchange predicts: windows that overlap by half, two at a time."""
    from qlty.qlty2D import NCYXQuilt

    rows, columns = images_BCYX.shape[-2:]
    quilt = NCYXQuilt(Y=rows, X=columns, window=(window, window), step=(step, step), border=(8, 8), border_weight=0.1)
    with torch.no_grad():
        pieces = quilt.unstitch(images_BCYX)
        found = [network(pieces[at : at + 2]).softmax(dim=1).cpu() for at in range(0, len(pieces), 2)]
    stitched, _ = quilt.stitch(torch.cat(found))
    return stitched.argmax(dim=1).to(torch.uint8)


def _monai(network: nn.Module, images_BCYX: Tensor) -> Tensor:
    from monai.inferers import SlidingWindowInferer

    windows = SlidingWindowInferer(roi_size=(256, 256), sw_batch_size=1, overlap=0.25)
    with torch.inference_mode():
        return windows(images_BCYX, network).argmax(dim=1).to(torch.uint8)


def _bring_monai() -> None:
    """MONAI by itself, beside our torch: with its requirements it would bring another."""
    place = PLACE / "monai"
    if not place.exists():
        command = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", str(place), MONAI]
        subprocess.run(command, check=True)
    if str(place) not in sys.path:
        sys.path.append(str(place))


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
