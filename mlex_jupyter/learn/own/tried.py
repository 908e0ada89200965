"""Try a network on one slice: `python -m mlex_jupyter.learn.own.tried FOLDER`.

    FOLDER/model.json     a `Trained`
    FOLDER/code.json      the `Code` that its network is built by, where it is one's own
    FOLDER/input.npy      raw grey values as batch, channel, y, x; made here where there is none
    FOLDER/output.npy     the logits that come out

It prints what it learned of the network as one line of JSON, or why it failed.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

from mlex_jupyter.errors import Invalid, MlexError
from mlex_jupyter.learn import grey
from mlex_jupyter.learn.grey import Floats
from mlex_jupyter.learn.models import contract, find_builder, measure
from mlex_jupyter.learn.models.reach import halo as halo_of
from mlex_jupyter.learn.own.brought import load_builder
from mlex_jupyter.learn.prediction.segmenter import load_network
from mlex_jupyter.learn.prediction.tiles import forward, up_to
from mlex_jupyter.types import Code, Trained


def try_one(folder: Path) -> dict[str, object]:
    """Run the network once, and say how sides must divide and how far a pixel looks."""
    model = Trained.model_validate_json((folder / "model.json").read_bytes())
    if (code := folder / "code.json").exists():
        load_builder(Code.model_validate_json(code.read_bytes()))
    builder = find_builder(model.builder)
    promise = contract(builder)
    multiple = measure(model.builder, promise.divisible_by, model.params) or 1
    if measure(model.builder, promise.neighbours, model.params):
        raise Invalid(
            "This network sees neighbouring slices too, which a package of bioimage.io cannot say.",
            hint="Share it with `mlex publish --visibility shared`, or train a network that sees single slices.",
        )
    if promise.dims == 3:
        raise Invalid(
            "This network sees blocks of slices, which a package of bioimage.io for slices cannot hold.",
            hint="Share it with `mlex publish --visibility shared`, or train a network that sees single slices.",
        )
    network = load_network(model, folder / model.weights, torch.device("cpu"))
    halo = halo_of(model.builder, model.params, network, model.channels) or 0
    smallest = up_to(2 * halo + multiple, multiple)
    place = folder / "input.npy"
    if not place.exists():
        np.save(place, _sand(model, max(smallest, up_to(64, multiple))))
    raw_BCYX = np.load(place, allow_pickle=False).astype(np.float32)
    logits_BCYX = forward(network, grey.normalised(raw_BCYX, model.preprocessing), torch.device("cpu")).numpy()
    np.save(folder / "output.npy", logits_BCYX)
    said = {
        "multiple": multiple,
        "halo": halo,
        "smallest": smallest,
        "takes": list(inspect.signature(builder).parameters),
    }
    return said | {"torch": torch.__version__.partition("+")[0]}


def _sand(model: Trained, side: int) -> Floats:
    """Round grains on a ground, with noise, in the grey values that the model was trained on."""
    rng = np.random.default_rng(7)
    ys, xs = np.mgrid[:side, :side]
    scene = np.full((side, side), -1.0)
    for _ in range(side // 6):
        middle, radius = rng.uniform(0, side, 2), rng.uniform(3, 9)
        scene[(ys - middle[0]) ** 2 + (xs - middle[1]) ** 2 < radius**2] = 1.0
    noisy = scene + rng.normal(0, 0.2, scene.shape)
    how = model.preprocessing
    image: Floats = (noisy * how.scale + how.offset).astype(np.float32)
    return np.repeat(image[None, None], model.channels, axis=1)


def main(folder: str) -> int:
    """Print the answer; what a package prints while it is loaded goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        answer = try_one(Path(folder))
    except MlexError as error:
        answer = {"error": error.message}
    except Exception as error:  # a builder may fail in any way
        answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[:1]}"}
    json.dump(answer, out)
    out.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
