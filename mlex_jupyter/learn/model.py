"""DLSIAModel: a network with `fit` and `predict`, in a notebook or a script, without any server.

    model = DLSIAModel("tunet", depth=4, epochs=8)
    model.fit(volume, labels)              # arrays, or paths of volumes; labels of 0 are unlabelled
    segmented = model.predict(volume)      # a class value for every pixel
    model.save("pores"); DLSIAModel.load("pores")

It trains and predicts with the code of the jobs, and what it saves is what a run leaves.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue, ValidationError
from safetensors.torch import load_file, save
from torch import nn

from mlex_jupyter.data.readers import open_path
from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.files import write_whole
from mlex_jupyter.forms import complete_params
from mlex_jupyter.learn import grey, machine
from mlex_jupyter.learn.describe import find, of_entry_point
from mlex_jupyter.learn.models import contract, wants
from mlex_jupyter.learn.models.fold import folded
from mlex_jupyter.learn.params import TrainParams
from mlex_jupyter.learn.prediction.segmenter import load_network
from mlex_jupyter.learn.prediction.tiles import fit_for, segment
from mlex_jupyter.learn.training.atonce import training_for
from mlex_jupyter.learn.training.course import Course
from mlex_jupyter.learn.training.labelled import Labelled, Painted
from mlex_jupyter.types import ClassInfo, Params, Trained

Array = NDArray[Any]
MEMORY_GB = 4.0
"""What a slice may take at once."""


class DLSIAModel:
    """A network of the zoo by its name, and how to train it; trained by `fit`, or loaded with its weights."""

    def __init__(self, architecture: str = "unet", **params: JsonValue) -> None:
        """`params` are those of the architecture's form: the network's own, and those of training."""
        self.architecture = architecture
        point = find(architecture)
        self._builder, self._title = point.value, contract(point.load()).title
        self.params: Params = complete_params(of_entry_point(point), params)
        self.history: list[Mapping[str, Any]] = []
        """What came out at the end of each epoch."""
        self.metrics: dict[str, float] = {}
        """How good the best weights are on the labelled pixels kept apart."""
        self._trained: Trained | None = None
        self._network: nn.Module | None = None

    def __repr__(self) -> str:
        """The network, and whether it has learned anything."""
        score = f", Dice {self.metrics['dice']:.3f}" if "dice" in self.metrics else ""
        return f"<DLSIAModel {self.architecture}{score}{'' if self._network else ', not trained'}>"

    # ------------------------------------------------------------ training

    def fit(
        self,
        volume: Array | str | Path,
        labels: Array | str | Path,
        *,
        classes: Iterable[str] | Mapping[int, str] = (),
        say: Callable[[str], None] | None = print,
    ) -> Self:
        """Train on the labelled pixels; interrupted, the best weights so far are kept."""
        opened = _volume(volume)
        painted = _painted(labels, opened, classes)
        own, wanted = TrainParams.of(self.params), wants(self._builder, self.params)
        labelled = Labelled(opened, painted, wanted=wanted, validation=own.validation, seed=own.seed)
        follower = _Listener(say)
        course = Course(self._builder, self._title, self.params, memory_gb=MEMORY_GB)
        training = training_for(course, labelled, follower)
        try:
            training.run()
        except KeyboardInterrupt:
            if not training.state.best:
                raise
            follower.note(f"Interrupted; the weights of epoch {training.standing.best_epoch} are kept")
        self.history, self.metrics = follower.epochs, dict(training.standing.best_metrics)
        self._trained = Trained(
            architecture=self.architecture,
            builder=self._builder,
            params=self.params,
            channels=opened.shape_ZCYX[1],
            classes=labelled.classes,
            preprocessing=labelled.preprocessing,
            weights="weights.safetensors",
        )
        self._weights = training.state.best
        self._network = folded(training.state.load_best())
        return self

    @property
    def classes(self) -> dict[int, str]:
        """The classes by the value that a prediction has for them."""
        return {one.value: one.name for one in self._ready()[0].classes}

    # ------------------------------------------------------------ prediction

    def predict(self, volume: Array | str | Path) -> NDArray[np.uint8]:
        """The class value of every pixel, for a slice or a volume of them."""
        trained, network = self._ready()
        opened = _volume(volume)
        slices, channels, rows, columns = opened.shape_ZCYX
        if channels != trained.channels:
            raise Invalid(f"This network takes {trained.channels} channel(s); the volume has {channels}.")
        device = machine.prepare()
        fit = fit_for(network, trained.builder, trained.params, device, MEMORY_GB)
        values = np.array([one.value for one in trained.classes], np.uint8)
        neighbours = wants(trained.builder, trained.params).neighbours
        found = np.empty((slices, rows, columns), np.uint8)
        for z in range(slices):
            image_CYX = grey.seen(opened, z, trained.preprocessing, neighbours)
            found[z] = values[segment(network, image_CYX[None], fit, device)[0]]
        return found if "z" in opened.axes else found[0]

    def _ready(self) -> tuple[Trained, nn.Module]:
        if self._trained is None or self._network is None:
            raise Conflict("This network has not been trained.", hint="model.fit(volume, labels) does it.")
        return self._trained, self._network

    # ------------------------------------------------------------ kept

    def save(self, folder: str | Path) -> Path:
        """Leave weights (safetensors) and all that prediction needs (JSON) in a folder."""
        trained, _ = self._ready()
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / trained.weights, save(self._weights))
        write_whole(place / "model.json", trained.model_dump_json(indent=2))
        return place

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """What `save` left, or a finished run in its job folder. Nothing in it can run."""
        place = Path(folder)
        try:
            trained = Trained.model_validate_json((place / "model.json").read_bytes())
        except FileNotFoundError:
            raise NotFound(f"There is no model in {place}.", hint="It would have a model.json.") from None
        except ValidationError as error:
            raise Invalid(f"{place / 'model.json'} says no model: {error.errors()[0]['msg']}.") from error
        model = cls(trained.architecture, **trained.params)
        model._trained = trained
        model._network = load_network(trained, place / trained.weights, torch.device("cpu"))
        model._weights = load_file(place / trained.weights)
        return model


class _Listener:
    """Follows a training: says its sentences, and remembers its epochs."""

    stopping = False

    def __init__(self, say: Callable[[str], None] | None) -> None:
        self._say = say
        self.epochs: list[Mapping[str, Any]] = []

    def emit(self, kind: str, **values: JsonValue) -> None:
        """Keep what a curve is drawn from."""
        if kind == "epoch":
            self.epochs.append(values)

    def note(self, text: str) -> None:
        """Say it."""
        if self._say:
            self._say(text)

    def progress(self, done: int, total: int, unit: str, **more: float | None) -> None:
        """The sentence at the end of an epoch says it."""


def _volume(given: Array | str | Path) -> Volume:
    if isinstance(given, str | Path):
        return open_path(given)
    array = np.asarray(given)
    return Volume(array, uri=f"an array of {'×'.join(map(str, array.shape))}", reader="array")


def _painted(given: Array | str | Path, volume: Volume, names: Iterable[str] | Mapping[int, str]) -> Painted:
    """Labels as they are trained on; classes without a name are called by their value."""
    values = np.asarray(_volume(given)[...] if isinstance(given, str | Path) else given)
    slices, _, rows, columns = volume.shape_ZCYX
    if values.shape not in {(slices, rows, columns), (rows, columns) if slices == 1 else ()}:
        raise Invalid(
            f"The labels have the shape {values.shape}; the volume's slices make {(slices, rows, columns)}.",
            hint="Give a label for every pixel, and 0 where there is none.",
        )
    if values.dtype.kind not in "bui" or values.min() < 0 or values.max() > 255:
        raise Invalid("Labels are whole numbers from 0, which is unlabelled, to 255.")
    stack = values.astype(np.uint8).reshape(slices, rows, columns)
    known = dict(names) if isinstance(names, Mapping) else dict(enumerate(names, start=1))
    found = [int(value) for value in np.unique(stack) if value]
    classes = tuple(
        ClassInfo(value=value, name=known.get(value, f"class {value}"), color=_color(value))
        for value in sorted({*found, *known})
    )
    return Painted("labels", stack, classes, tuple(int(z) for z in np.flatnonzero(stack.any(axis=(1, 2)))))


def _color(value: int) -> str:
    """One of many colours that differ."""
    red, green, blue = colorsys.hsv_to_rgb(value * 0.618 % 1, 0.65, 0.9)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
