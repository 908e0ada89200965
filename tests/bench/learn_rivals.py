"""How others predict, each in a process of its own as it runs by itself: DLSIA's application with qlty, and MONAI.

    python -m tests.bench.learn_rivals NAME TRAINED VOLUME      says millions of pixels for each second of a processor

The DLSIA application in MLExchange takes a slice at a time, in windows of 64 that begin every 32 pixels, two at once;
takes what comes out to the processor's memory, makes probabilities of it, stitches those, and writes the slice before
it takes the next. Reading and writing are left out here, for all, which is in their favour.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import zarr
from safetensors.torch import load_file
from torch import Tensor, nn

from mlex_jupyter.learn import grey
from mlex_jupyter.learn.models import build
from mlex_jupyter.learn.prediction.segmenter import load_network
from mlex_jupyter.types import Trained
from tests.bench.peers import PLACE

MONAI = "monai==1.6.1"


def qlty(network: nn.Module, images_BCYX: Tensor, window: int) -> Tensor:
    """Windows that overlap by half."""
    from qlty.qlty2D import NCYXQuilt

    rows, columns = images_BCYX.shape[-2:]
    step = (window // 2, window // 2)
    quilt = NCYXQuilt(Y=rows, X=columns, window=(window, window), step=step, border=(8, 8), border_weight=0.1)
    with torch.no_grad():
        pieces = quilt.unstitch(images_BCYX)
        found = [network(pieces[at : at + 2]).softmax(dim=1).cpu() for at in range(0, len(pieces), 2)]
    stitched, _ = quilt.stitch(torch.cat(found))
    return stitched.argmax(dim=1).to(torch.uint8)


def monai(network: nn.Module, images_BCYX: Tensor, batch: int) -> Tensor:
    """Windows of 256 that overlap by a quarter."""
    from monai.inferers import SlidingWindowInferer

    windows = SlidingWindowInferer(roi_size=(256, 256), sw_batch_size=batch, overlap=0.25)
    with torch.inference_mode():
        return windows(images_BCYX, network).argmax(dim=1).to(torch.uint8)


# What each is, and the side of the slice that it is measured on: a pixel costs the same on larger ones, or more.
RIVALS: dict[str, tuple[Callable[[nn.Module, Tensor], Tensor], int, bool]] = {
    "qlty 64/32": (lambda network, images: qlty(network, images, 64), 512, False),
    "qlty 256/128": (lambda network, images: qlty(network, images, 256), 1024, False),
    "monai": (lambda network, images: monai(network, images, 1), 1024, False),
    "monai, 4 at once": (lambda network, images: monai(network, images, 4), 1024, False),
    "monai folded": (lambda network, images: monai(network, images, 1), 1024, True),
}


def rate(name: str, trained: Path, volume: Path) -> float:
    """Measured in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.learn_rivals", name, str(trained), str(volume)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def bring_monai() -> None:
    """MONAI by itself, beside our torch: with its requirements it would bring another."""
    place = PLACE / "monai"
    if not place.exists():
        command = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", str(place), MONAI]
        subprocess.run(command, check=True)


def _network(trained: Path, ours: bool) -> tuple[nn.Module, Trained]:
    model = Trained.model_validate(json.loads((trained / "model.json").read_bytes()))
    if ours:
        return load_network(model, trained / model.weights, torch.device("cpu")), model
    network = build(model.builder, model.params, channels=model.channels, classes=len(model.classes))
    network.load_state_dict(load_file(trained / model.weights))
    return network.eval(), model


def main(name: str, trained: str, volume: str) -> None:
    """Once to warm up, and once that counts."""
    sys.path.append(str(PLACE / "monai"))
    torch.set_num_threads(1)
    work, side, ours = RIVALS[name]
    network, model = _network(Path(trained), ours)
    raw = np.asarray(zarr.open_array(volume, mode="r")[0, :side, :side])
    images = torch.from_numpy(grey.normalised(raw[None, None], model.preprocessing))
    if ours:
        images = images.to(memory_format=torch.channels_last)
    work(network, images[:, :, :256, :256])
    begun = time.process_time()
    work(network, images)
    print(images.numel() / 1e6 / (time.process_time() - begun))


if __name__ == "__main__":
    main(*sys.argv[1:])
