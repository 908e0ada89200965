"""Whether a network suits data, said before anything runs: axes, grey values, sizes, classes, pixels, memory.

A `problem` is what cannot work, and a submission is refused in the same words; a `warn` is what people want to know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlex_jupyter.data.units import short_unit
from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn.models import evaluate
from mlex_jupyter.types import (
    Architecture,
    Dataset,
    FitCheck,
    LabelSet,
    Params,
    Preprocessing,
    Resources,
    Trained,
    TrainedOn,
)

AXES = ("zyx", "yx")
FAR = 1.5
"""Pixel sizes that differ by more than this make things look different."""
OUTSIDE = 0.1
LOOKED_AT = 1 << 18
METRES = {"Å": 1e-10, "nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}
TORCH_GB = 0.6
"""What torch takes before anything is computed."""
MAPS = {2: 224, 3: 110}
"""Bytes, by dimensions, for each pixel of a crop and feature map of the first level: its two convolutions, normalised
and rectified, down and up again, half as much a level (in 3-D a quarter), in single precision, with their gradients."""


@dataclass(frozen=True)
class Network:
    """What is to be used on data."""

    name: str
    channels: int | None
    multiple: int
    params: Params
    trained: Trained | None = None
    trained_on: TrainedOn | None = None
    dims: int = 2
    """3 where it sees blocks of slices."""


def untrained(architecture: Architecture, params: Params) -> Network:
    """An architecture with complete parameters."""
    multiple = _multiple(architecture, params)
    return Network(architecture.name, architecture.inputs.channels, multiple, params, dims=_dims(architecture))


def ready(name: str, trained: Trained, architecture: Architecture | None, trained_on: TrainedOn | None) -> Network:
    """A trained network."""
    multiple = _multiple(architecture, trained.params) if architecture else 1
    return Network(name, trained.channels, multiple, trained.params, trained, trained_on, _dims(architecture))


def checks(network: Network, data: Dataset, labels: LabelSet | None, resources: Resources) -> list[FitCheck]:
    """All that can be said without looking at pixels."""
    said = [axes(data)]
    if said[0].level == "problem":
        return said
    if network.dims == 3:
        said = [_depth(network, data)]
    if network.trained is not None and network.trained.task != "segmentation":
        return [*said, _no_classes(network.name, network.trained)]
    said += [_channels(network), _values(network, data), _sides(network, data)]
    if network.trained_on is not None:
        said.append(_pixels(network.trained_on, data))
    if labels is not None:
        said += _labels(network, data, labels)
    if network.trained is None:
        said.append(_memory(network, data, resources))
    return said


def refuse(said: Sequence[FitCheck]) -> None:
    """Invalid where something is a problem."""
    for check in said:
        if check.level == "problem":
            raise Invalid(check.says, hint=check.mend)


def axes(data: Dataset) -> FitCheck:
    """Whether there is one grey value a pixel, in slices."""
    if data.axes in AXES:
        count = f"{data.shape[0]} slices of" if data.axes == "zyx" else "One slice of"
        return _ok("axes", f"{count} {data.shape[-2]} × {data.shape[-1]} grey values: a network takes slice by slice.")
    return FitCheck(
        level="problem",
        about="axes",
        says=f"{data.name} has the axes {data.axes}; a network here takes grey-scale {' or '.join(AXES)}.",
        mend="Register one channel and time step of it by itself.",
    )


def grey(network: Network, dtype: str, plane: bytes) -> FitCheck:
    """How the values of a slice look through the preprocessing that the network was trained with."""
    import numpy as np

    how = network.trained.preprocessing if network.trained else None
    if how is None:
        return _ok("grey values", "They are scaled to suit when the training begins.")
    values = np.frombuffer(plane, dtype)
    values = values[:: max(1, values.size // LOOKED_AT)]
    values = values[np.isfinite(values)]
    if values.size == 0:
        return _warn("grey values", "The slice that was looked at holds no number.", "Replace NaN and infinity.")
    scaled = (values.astype(np.float64) - how.offset) / how.scale
    low, high = np.percentile(scaled, (1, 99))
    outside = float(np.mean((scaled <= how.clip[0]) | (scaled >= how.clip[1])))
    raw = f"{values.min():.4g} to {values.max():.4g}"
    if high <= how.clip[0] or low >= how.clip[1] or high - low < 0.05:
        return FitCheck(
            level="problem",
            about="grey values",
            says=f"The grey values ({raw}) are far from those of the training ({_span(how)}): all look the same to it.",
            mend=f"Bring them to that range, as it was in {_of(network)}, or train on this data.",
        )
    if outside > OUTSIDE:
        says = f"{outside:.0%} of the grey values ({raw}) lie outside of what the training saw ({_span(how)})."
        return _warn("grey values", says, "Scale them as those of the training were, or look closely at the result.")
    return _ok("grey values", f"{raw} lie within what the training saw ({_span(how)}).")


# ---------------------------------------------------------------- one thing each


def _depth(network: Network, data: Dataset) -> FitCheck:
    """Whether there are slices enough for a network that sees blocks of them."""
    depth = data.shape[0] if data.axes == "zyx" else 1
    if depth == 1:
        says = f"{network.name} sees slices above and below too; {data.name} has one slice."
        mend = "Choose a 2-D network, as unet or tunet."
        return FitCheck(level="problem", about="axes", says=says, mend=mend)
    if depth < network.multiple:
        says = f"{depth} slices are fewer than the {network.multiple} that the network's levels need."
        return _warn("axes", says, "Most of what it sees is mirrored: choose fewer levels (depth), or a 2-D network.")
    rows, columns = data.shape[-2:]
    return _ok("axes", f"{depth} slices of {rows} × {columns} grey values: a network takes blocks of them.")


def _no_classes(name: str, trained: Trained) -> FitCheck:
    return FitCheck(
        level="problem",
        about="task",
        says=f"{name} is an encoder that learned without labels: it knows of no classes yet.",
        mend=f"Train with it: mlex train {trained.architecture} --start {name} --data … --labels …",
    )


def _channels(network: Network) -> FitCheck:
    if network.channels in (None, 1):
        return _ok("channels", "It takes one channel, and that is what there is.")
    return FitCheck(
        level="problem",
        about="channels",
        says=f"{network.name} takes {network.channels} channels; grey-scale data has one.",
        mend="Choose a model for one channel.",
    )


def _values(network: Network, data: Dataset) -> FitCheck:
    kind = data.dtype.lstrip("<>=|")
    if kind.startswith(("complex", "str", "object", "datetime", "timedelta", "void")):
        return FitCheck(
            level="problem",
            about="type",
            says=f"{data.name} holds {kind}; a network takes real numbers.",
            mend="Register its magnitude or phase by itself.",
        )
    before = network.trained_on.dtype if network.trained_on else None
    if before is not None and before.startswith("float") != kind.startswith("float"):
        says = f"It was trained on {before}, and this is {kind}: the grey values may have another scale."
        return _warn("type", says, "Look at the grey values below, and convert the volume as that one was.")
    return _ok("type", f"{kind} is turned into single precision.")


def _sides(network: Network, data: Dataset) -> FitCheck:
    height, width = data.shape[-2:]
    multiple = network.multiple
    if min(height, width) < multiple:
        says = f"Slices of {height} × {width} are smaller than the {multiple} pixels that the network's levels need."
        return _warn("size", says, "Most of what it sees is padding: choose fewer levels (depth).")
    padded = [math.ceil(side / multiple) * multiple for side in (height, width)]
    if padded != [height, width]:
        says = f"Sides must divide by {multiple}: slices are padded to {padded[0]} × {padded[1]}, and cut back."
        return _ok("size", says)
    return _ok("size", f"{height} × {width} divide by {multiple}." if multiple > 1 else "Any size will do.")


def _pixels(before: TrainedOn, data: Dataset) -> FitCheck:
    was, is_ = _metres(before.pixel_size, before.pixel_unit), _metres(data.pixel_size, data.pixel_unit)
    if was is None or is_ is None:
        missing = before.name if was is None else data.name
        return _ok("pixel size", f"Not compared: {missing} says no pixel size.")
    ratio = is_ / was
    if max(ratio, 1 / ratio) > FAR:
        larger = f"{ratio:.2g} times larger" if ratio > 1 else f"{1 / ratio:.2g} times smaller"
        says = f"A pixel here is {larger} than in training, so that things look {'smaller' if ratio > 1 else 'larger'}."
        return _warn("pixel size", says, "Rescale the volume, or train on data of this pixel size.")
    return _ok("pixel size", "Much the same as in training.")


def _labels(network: Network, data: Dataset, labels: LabelSet) -> list[FitCheck]:
    painted = [name for name, count in labels.counts.items() if count]
    if labels.dataset != data.id:
        says = f"{labels.name} was painted over another dataset."
        return [FitCheck(level="problem", about="labels", says=says, mend=f"Choose labels of {data.name}.")]
    if network.trained is not None:
        return [_same_classes(network.trained, labels)]
    if not painted:
        says, mend = f"{labels.name} has no labelled pixels.", "Paint some of each class, on a slice or two."
        return [FitCheck(level="problem", about="labels", says=says, mend=mend)]
    if len(painted) < 2:
        says = f"{labels.name} has labels of one class only, {painted[0]}."
        mend = "Paint some of another class too: a network learns to tell classes apart."
        return [FitCheck(level="problem", about="labels", says=says, mend=mend)]
    said = [_ok("labels", f"{len(painted)} classes on {len(labels.slices)} slices: {', '.join(painted)}.")]
    if empty := [name for name, count in labels.counts.items() if not count]:
        says = f"Nothing is painted of {', '.join(empty)}, so the network will not know of it."
        said.append(_warn("labels", says, "Paint some of it, or go on without."))
    return said


def _same_classes(trained: Trained, labels: LabelSet) -> FitCheck:
    known, there = {one.name for one in trained.classes}, {one.name for one in labels.classes}
    if known == there:
        return _ok("labels", f"The same classes: {', '.join(sorted(known))}.")
    says = f"It finds {', '.join(sorted(known))}; the labels have {', '.join(sorted(there))}."
    return _warn("labels", says, "They can be compared only where the names are the same.")


def _memory(network: Network, data: Dataset, resources: Resources) -> FitCheck:
    params = network.params
    width, batch, patch = (params.get(name) for name in ("base_channels", "batch", "patch"))
    if not (isinstance(width, int) and isinstance(batch, int) and isinstance(patch, int)):
        return _ok("memory", f"Not estimated for {network.name}; it keeps to {resources.memory_gb:g} GB.")
    lengths = [min(data.shape[-2:])] * 2 + ([data.shape[0]] if network.dims == 3 else [])
    crop = math.prod(min(patch, math.ceil(length / network.multiple) * network.multiple) for length in lengths)
    needed = TORCH_GB + batch * crop * width * MAPS[network.dims] / 1e9
    if needed > resources.memory_gb:
        says = f"Training needs about {needed:.1f} GB, and the job asks for {resources.memory_gb:g} GB."
        mend = f"Choose a smaller batch, patch or base_channels, or --memory-gb {math.ceil(needed)}."
        return _warn("memory", says, mend)
    return _ok("memory", f"About {needed:.1f} GB of {resources.memory_gb:g} GB.")


def _dims(architecture: Architecture | None) -> int:
    return 3 if architecture and "z" in architecture.inputs.axes else 2


def _multiple(architecture: Architecture, params: Params) -> int:
    properties: Any = architecture.params_schema.get("properties", {})
    values: Mapping[str, Any] = {name: about.get("default") for name, about in properties.items()} | params
    return max(1, evaluate(architecture.inputs.divisible_by, values))


def _metres(size: tuple[float, ...] | None, unit: str | None) -> float | None:
    length = METRES.get(short_unit(unit) or "")
    return size[-1] * length if size and length and size[-1] > 0 else None


def _span(how: Preprocessing) -> str:
    return f"about {how.offset - 2 * how.scale:.4g} to {how.offset + 2 * how.scale:.4g}"


def _of(network: Network) -> str:
    return network.trained_on.name if network.trained_on else "its training"


def _ok(about: str, says: str) -> FitCheck:
    return FitCheck(level="ok", about=about, says=says)


def _warn(about: str, says: str, mend: str) -> FitCheck:
    return FitCheck(level="warn", about=about, says=says, mend=mend)
