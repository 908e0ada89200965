"""DLSIAModel: a network with `fit` and `predict`, in a notebook or a script, without any server.

    model = DLSIAModel("tunet", depth=4, epochs=8)
    model.fit(volume, labels)              # arrays, or paths of volumes; labels of 0 are unlabelled
    segmented = model.predict(volume)      # a class value for every pixel
    model.save("pores"); DLSIAModel.load("pores")

    model.fit(volume, task="embed")        # without labels; what is fitted after it begins with the encoder
    model.fit(noisy, task="denoise")       # from itself, or model.fit(noisy, clean, task="denoise")

It trains and predicts with the code of the jobs, and what it saves is what a run leaves. What can be learned, and what
comes of it, is in `objectives`.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mlex_jupyter.data.readers import open_path
from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Conflict, Invalid, NotFound, nearest
from mlex_jupyter.files import write_whole
from mlex_jupyter.forms import complete_params
from mlex_jupyter.learn.describe import find, of_entry_point
from mlex_jupyter.learn.objectives import MEMORY_GB, OBJECTIVES, Lesson, Objective
from mlex_jupyter.learn.training.course import Course
from mlex_jupyter.learn.training.labelled import Painted
from mlex_jupyter.types import ClassInfo, Params, Trained

Array = NDArray[Any]
Learns = Literal["segment", "denoise", "regress", "embed", "classify"]
BY_TASK: dict[str, Objective] = {one.task: one for one in OBJECTIVES.values()}
ENCODED = ("embedding", "classification")


class DLSIAModel:
    """A network of the zoo by its name, and how to train it; trained by `fit`, or loaded with its weights."""

    def __init__(self, architecture: str = "unet", **params: JsonValue) -> None:
        """`params` are those of the architecture's form: the network's own, and those of training."""
        self.architecture = architecture
        point = find(architecture)
        self._described = of_entry_point(point)
        self._given = params
        self.params: Params = self._complete(without_labels=False)
        """All of them, as the last `fit` took them."""
        self.history: list[Mapping[str, Any]] = []
        """What came out at the end of each epoch."""
        self.metrics: dict[str, float] = {}
        """How good the best weights are on what was kept apart."""
        self._trained: Trained | None = None
        self._weights: Mapping[str, Tensor] = {}
        self._network: nn.Module | None = None
        self._encoder: Mapping[str, Tensor] | None = None
        self._encoder_of: Trained | None = None

    def __repr__(self) -> str:
        """The network, and whether it has learned anything."""
        score = f", Dice {self.metrics['dice']:.3f}" if "dice" in self.metrics else ""
        learned = f", {self._trained.task}" if self._trained and self._trained.task != "segmentation" else ""
        return f"<DLSIAModel {self.architecture}{learned}{score}{'' if self._network else ', not trained'}>"

    def _complete(self, without_labels: bool) -> Params:
        """All parameters of one of the two forms; those that only the other one has are left aside."""
        forms: list[Any] = [self._described.params_schema, self._described.pretrain_schema]
        known = {name for form in forms if form for name in form["properties"]}
        chosen: Any = forms[without_labels]
        if chosen is None:
            raise Invalid(
                f"{self.architecture} has no encoder that could learn without labels.",
                hint="Choose a U-Net: unet, tunet, tunet3plus or unet25d.",
            )
        own = chosen["properties"]
        wanted = {name: value for name, value in self._given.items() if name in own or name not in known}
        return complete_params(self._described.model_copy(update={"params_schema": chosen}), wanted)

    # ------------------------------------------------------------ training

    def fit(
        self,
        volume: Array | str | Path,
        target: Array | str | Path | None = None,
        *,
        task: Learns = "segment",
        classes: Iterable[str] | Mapping[int, str] = (),
        say: Callable[[str], None] | None = print,
    ) -> Self:
        """Learn to segment, denoise, regress, embed or classify; interrupted, the best weights so far are kept."""
        if task not in OBJECTIVES:
            hint = nearest(task, OBJECTIVES) or f"There are {', '.join(OBJECTIVES)}."
            raise Invalid(f"A network does not learn to {task!r}.", hint=hint)
        objective, opened, follower = OBJECTIVES[task], _volume(volume), _Listener(say)
        params = self._complete(objective.without_labels)
        builder = self._described.builder
        course = Course(builder, self._described.title, params, memory_gb=MEMORY_GB, start=self._encoder)
        lesson = Lesson(opened, _target(task, target, opened, classes), self._encoder_of)
        learned = objective.teach(course, lesson, follower)
        self.params, self.history, self.metrics = params, follower.epochs, dict(learned.metrics)
        self._trained = Trained(
            architecture=self.architecture,
            builder=builder,
            task=objective.task,
            params=params,
            channels=opened.shape_ZCYX[1],
            classes=learned.classes,
            preprocessing=learned.preprocessing,
            gives=learned.gives,
            weights="weights.safetensors",
        )
        self._take(learned.weights)
        return self

    def _take(self, weights: Mapping[str, Tensor]) -> None:
        trained = self._trained
        assert trained
        self._weights = weights
        self._network = BY_TASK[trained.task].network(trained, weights)
        if trained.task in ENCODED:
            self._encoder = {name: one for name, one in weights.items() if not name.startswith("head/")}
            self._encoder_of = trained

    @property
    def classes(self) -> dict[int, str]:
        """The classes by the value that a prediction has for them."""
        return {one.value: one.name for one in self._ready()[0].classes}

    # ------------------------------------------------------------ prediction

    def predict(self, volume: Array | str | Path) -> Array:
        """What it has learned to give: for every pixel, or after `embed` and `classify` for every slice or patch."""
        trained, network = self._ready()
        opened = _volume(volume)
        found = BY_TASK[trained.task].give(trained, network, opened)
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
        write_whole(place / trained.weights, save(dict(self._weights)))
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
        if trained.task not in BY_TASK:
            raise Invalid(f"What is in {place} learned {trained.task!r}, which this version does not know.")
        model = cls(trained.architecture, **trained.params)
        model._trained, model.params = trained, trained.params
        try:
            model._take(load_file(place / trained.weights))
        except (FileNotFoundError, SafetensorError) as error:
            raise NotFound(f"The weights in {place} cannot be read: {error}.") from error
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


def _target(task: str, given: Any, volume: Volume, names: Iterable[str] | Mapping[int, str]) -> Any:
    """What is learned, in the form that it is learned from."""
    if task in ("denoise", "regress"):
        return None if given is None else _volume(given)
    if task == "embed":
        return given
    if given is None:
        raise Invalid(f"There are no labels to learn to {task} from.", hint=f"model.fit(volume, labels, task={task!r})")
    if task == "classify":
        count = volume.shape_ZCYX[0]
        hint = f"The volume has {count} slices: give a class for each, and 0 for none."
        of_N = _whole_numbers(given, {(count,)}, hint)
        return Painted("classes", of_N, _classes(of_N, names), ())
    return _painted(given, volume, names)


def _whole_numbers(given: Any, shapes: set[tuple[int, ...]], hint: str) -> NDArray[np.uint8]:
    values = np.asarray(_volume(given)[...] if isinstance(given, str | Path) else given)
    if values.shape not in shapes:
        raise Invalid(f"The labels have the shape {values.shape}; expected was {min(shapes)}.", hint=hint)
    if values.dtype.kind not in "bui" or values.min() < 0 or values.max() > 255:
        raise Invalid("Labels are whole numbers from 0, which is unlabelled, to 255.")
    return values.astype(np.uint8)


def _painted(given: Array | str | Path, volume: Volume, names: Iterable[str] | Mapping[int, str]) -> Painted:
    """Labels as they are trained on."""
    slices, _, rows, columns = volume.shape_ZCYX
    shapes: set[tuple[int, ...]] = {(slices, rows, columns)}
    if slices == 1:
        shapes.add((rows, columns))
    found = _whole_numbers(given, shapes, "Give a label for every pixel, and 0 where there is none.")
    stack = found.reshape(slices, rows, columns)
    zs = tuple(int(z) for z in np.flatnonzero(stack.any(axis=(1, 2))))
    return Painted("labels", stack, _classes(stack, names), zs)


def _classes(values: NDArray[np.uint8], names: Iterable[str] | Mapping[int, str]) -> tuple[ClassInfo, ...]:
    """Those that occur; one without a name is called by its value."""
    known = dict(names) if isinstance(names, Mapping) else dict(enumerate(names, start=1))
    found = [int(value) for value in np.unique(values) if value]
    return tuple(
        ClassInfo(value=value, name=known.get(value, f"class {value}"), color=_color(value))
        for value in sorted({*found, *known})
    )


def _color(value: int) -> str:
    """One of many colours that differ."""
    red, green, blue = colorsys.hsv_to_rgb(value * 0.618 % 1, 0.65, 0.9)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
