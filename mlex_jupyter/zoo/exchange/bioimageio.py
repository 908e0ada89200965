"""A model as bioimage.io describes it (model 0.5): from our card to its fields, and back.

The weights are `pytorch_state_dict` as safetensors. The architecture is named by module and function, or by a file of
source in the package and the class or function in it. What bioimage.io has no field for stands under `config.mlex`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlex_jupyter.data.units import short_unit
from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import ClassInfo, Model, Preprocessing, Trained

FORMAT = "0.5.4"
SOURCE = "network.py"
"""The file of a package with its network's source, where that is one's own."""
CARD = ("title", "description", "tags", "license", "citation", "metrics", "trained_on", "task")
UNITS = {"Å": "angstrom", "nm": "nanometer", "µm": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter"}
LICENSES = {
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD-3-Clause-LBNL",
    "CC-BY-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "LGPL-3.0-only",
    "MIT",
    "MPL-2.0",
}
"""Those that scientists use, by their SPDX names; another one is only in the README."""
DOI = re.compile(r"10\.\d{4,9}/[^\s,;\"<>]+")
REFUSED = {
    "torchscript": "TorchScript, a program that would run here",
    "keras_hdf5": "a Keras file, which can hold programs",
    "keras_v3": "a Keras file, which can hold programs",
    "onnx": "ONNX, for which there is no network here",
    "tensorflow_js": "TensorFlow.js, for which there is no network here",
    "tensorflow_saved_model_bundle": "a TensorFlow bundle, for which there is no network here",
    "pytorch_state_dict": "a pickle, which would run as a program when it is opened",
}


# ---------------------------------------------------------------- ours as theirs


def description(model: Model, trained: Trained, tried: Mapping[str, Any], sums: Mapping[str, str]) -> dict[str, Any]:
    """The fields of `rdf.yaml`; `sums` has the SHA-256 of each file beside it."""
    module, _, function = trained.builder.partition(":")
    own = {name: value for name, value in model.params.items() if name in tried["takes"]}
    where = {"source": SOURCE, "sha256": sums[SOURCE]} if SOURCE in sums else {"import_from": module}
    kwargs = {**own, "channels": model.channels, "classes": len(model.classes)}
    weights = {
        "source": "weights.safetensors",
        "sha256": sums["weights.safetensors"],
        "architecture": {**where, "callable": function, "kwargs": kwargs},
        "pytorch_version": tried["torch"],
        "comment": "The file is safetensors: read it with safetensors.torch.load_file.",
    }
    found: dict[str, Any] = {
        "format_version": FORMAT,
        "type": "model",
        "name": re.sub(r"[^\w\s.()-]", " ", model.title or model.name)[:128].strip(),
        "description": f"{model.architecture} that finds {', '.join(one.name for one in model.classes)}."[:1024],
        "version": str(model.version),
        "timestamp": model.created.isoformat(),
        "authors": [{"name": model.owner.replace("/", " ")}],
        "documentation": {"source": "README.md", "sha256": sums["README.md"]},
        "covers": ["cover.png"],
        "tags": list(model.tags),
        "inputs": [_input(model, tried, sums["test_input.npy"])],
        "outputs": [_output(model, tried, sums["test_output.npy"])],
        "weights": {"pytorch_state_dict": weights},
        "config": {"mlex": _ours(model)},
    }
    if model.license in LICENSES:
        found["license"] = model.license
    if model.citation and (doi := DOI.search(model.citation)):
        found["cite"] = [{"text": model.citation, "doi": doi[0].rstrip(".")}]
    return found


def _ours(model: Model) -> dict[str, Any]:
    card: dict[str, Any] = model.model_dump(
        mode="json", include={*CARD, "name", "version", "architecture", "framework"}
    )
    card["params"] = dict(model.params)
    card["classes"] = [one.model_dump() for one in model.classes]
    return card


def _input(model: Model, tried: Mapping[str, Any], sha256: str) -> dict[str, Any]:
    size = {"min": tried["smallest"], "step": tried["multiple"]}
    how = model.preprocessing
    return {
        "id": "input",
        "axes": [
            {"type": "batch"},
            {"type": "channel", "id": "channel", "channel_names": _channels(model.channels)},
            *({"type": "space", "id": axis, "size": {**size}, **_pixel(model)} for axis in "yx"),
        ],
        "test_tensor": {"source": "test_input.npy", "sha256": sha256},
        "preprocessing": [
            {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": how.offset, "std": how.scale}},
            {"id": "clip", "kwargs": {"min": how.clip[0], "max": how.clip[1]}},
        ],
    }


def _output(model: Model, tried: Mapping[str, Any], sha256: str) -> dict[str, Any]:
    halo = {"halo": tried["halo"]} if tried["halo"] else {}
    return {
        "id": "probabilities",
        "axes": [
            {"type": "batch"},
            {"type": "channel", "id": "channel", "channel_names": [one.name for one in model.classes]},
            *(
                {"type": "space", "id": axis, "size": {"tensor_id": "input", "axis_id": axis}, **_pixel(model), **halo}
                for axis in "yx"
            ),
        ],
        "test_tensor": {"source": "test_output.npy", "sha256": sha256},
        "postprocessing": [{"id": "softmax", "kwargs": {"axis": "channel"}}],
    }


def _channels(count: int) -> list[str]:
    return ["grey"] if count == 1 else [f"channel{number}" for number in range(1, count + 1)]


def _pixel(model: Model) -> dict[str, Any]:
    data = model.trained_on
    unit = UNITS.get(short_unit(data.pixel_unit) or "") if data else None
    return {"unit": unit, "scale": data.pixel_size[-1]} if data and data.pixel_size and unit else {}


def readme(model: Model) -> str:
    """The package's README: the card."""
    lines = [f"# {model.title or model.name}", "", model.description or "A segmentation network.", ""]
    said = {
        "Licence": model.license,
        "Cite as": model.citation,
        "Trained on": model.trained_on and model.trained_on.name,
    }
    lines += [f"- {name}: {text}" for name, text in said.items() if text]
    lines += ["", "## Validation", "", *(f"- {name}: {value:.4g}" for name, value in model.metrics.items())]
    lines += ["", "Measured on labelled pixels that were kept apart from the training.", ""]
    if model.code is not None:
        lines += [f"The network is the source in {SOURCE}: read it before you run it.", ""]
    return "\n".join(lines)


# ---------------------------------------------------------------- theirs as ours


def weights_of(found: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The weights' file and their entry; Invalid, with the reason, where they cannot be used without running them."""
    kinds = found.get("weights")
    if not isinstance(kinds, dict) or not kinds:
        raise Invalid("The package says nothing of weights.")
    entry = kinds.get("pytorch_state_dict")
    source = entry.get("source") if isinstance(entry, dict) else None
    if isinstance(entry, dict) and isinstance(source, str) and source.endswith(".safetensors"):
        return source, entry
    said = ", ".join(REFUSED.get(kind, f"{kind}, which is not known here") for kind in kinds)
    raise Invalid(
        f"Its weights are {said}.",
        hint="`mlex inspect-package FILE` shows its description. Ask its authors for safetensors weights.",
    )


class Brought(NamedTuple):
    """The network of a package that brings its source."""

    file: str
    name: str
    """The class or function in it."""
    sha256: str | None
    """Of the file, as the description says."""

    @property
    def builder(self) -> str:
        """What stands for `module:function` here; no module has such a name."""
        return f"{self.file}::{self.name}"


def brought(found: Mapping[str, Any]) -> Brought | None:
    """Where a package has the source of its network; None where it names an installed one, or nothing."""
    _, entry = weights_of(found)
    about = entry.get("architecture")
    if not isinstance(about, dict) or "import_from" in about or not isinstance(about.get("source"), str):
        return None
    said = about.get("sha256")
    return Brought(about["source"], str(about.get("callable", "")), said if isinstance(said, str) else None)


def fields(found: Mapping[str, Any], builders: Mapping[str, str]) -> dict[str, Any]:
    """A model's fields from a description.

    `builders` has our architectures by `module:function`, and what a package brings where that is trusted.
    """
    _, entry = weights_of(found)
    own = brought(found)
    try:
        about = entry["architecture"]
        builder = own.builder if own else f"{about['import_from']}:{about['callable']}"
        kwargs = dict(about.get("kwargs") or {})
        takes, gives = found["inputs"][0], found["outputs"][0]
        named = [str(name) for name in _axis(gives, "channel")["channel_names"]]
        channels = len(_axis(takes, "channel")["channel_names"])
        preprocessing = _preprocessing(takes.get("preprocessing") or [])
        ours = dict((found.get("config") or {}).get("mlex") or {})
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise Invalid(f"The description of the model is not complete: {error!r:.100}.") from error
    if builder not in builders:
        raise _unknown(builder, own)
    classes = ours.get("classes") or _classes(named)
    given = {**(ours.get("params") or {}), **kwargs}
    params = {name: value for name, value in given.items() if name not in ("channels", "classes")}
    card = {name: ours[name] for name in CARD if ours.get(name) is not None}
    card.setdefault("title", str(found.get("name") or "")[:200])
    card.setdefault("tags", tuple(map(str, found.get("tags") or ()))[:50])
    if isinstance(found.get("license"), str):
        card.setdefault("license", found["license"])
    if len(classes) != len(named):
        raise Invalid(f"The description names {len(named)} channels and {len(classes)} classes.")
    return {
        **card,
        "architecture": builders[builder],
        "params": params,
        "channels": channels,
        "classes": classes,
        "preprocessing": preprocessing,
    }


def _unknown(builder: str, own: Brought | None) -> Invalid:
    if own is None:
        return Invalid(
            f"Its architecture is {builder[:200]}, which is not installed here.",
            hint="Install the package that it comes from, if it is one of mlex.models.",
        )
    return Invalid(
        f"It brings its network as source, {own.name[:99]!r} in {own.file[:99]!r}, and no source of a package is run.",
        hint=f"Take {own.file[:100]} out of the package (unzip) and read it. If you trust it, list it with `mlex ingest"
        f" {own.file[:100]}:{own.name[:100]}`; then the package is taken, as long as it brings that very text.",
    )


def softened(found: Mapping[str, Any]) -> bool:
    """Whether what a description says comes out are probabilities; Invalid for what is not known here."""
    steps = [step.get("id") for step in found["outputs"][0].get("postprocessing") or []]
    if unknown := [step for step in steps if step not in ("softmax", "ensure_dtype")]:
        raise Invalid(f"Its postprocessing {unknown[0]!r} cannot be done here.", hint="Only softmax is known.")
    return "softmax" in steps


def _axis(tensor: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(axis for axis in [*tensor["axes"], {}] if not axis or axis["type"] == kind)
    return found


def _classes(named: list[str]) -> list[ClassInfo]:
    colours = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#f0e442")
    return [
        ClassInfo(value=number, name=name, color=colours[(number - 1) % len(colours)])
        for number, name in enumerate(named, 1)
    ]


def _preprocessing(steps: list[Mapping[str, Any]]) -> Preprocessing:
    """One scale and one clip; Invalid for anything that would change what the network sees."""
    scale, clip = (0.0, 1.0), (-1e30, 1e30)
    for place, step in enumerate(steps):
        kind, given = step.get("id"), dict(step.get("kwargs") or {})
        if kind == "fixed_zero_mean_unit_variance" and place == 0 and "axis" not in given:
            scale = float(given["mean"]), float(given["std"])
        elif kind == "scale_linear" and place == 0 and "axis" not in given:
            gain = float(given.get("gain", 1))
            scale = -float(given.get("offset", 0)) / gain, 1 / gain
        elif kind == "clip" and place == len(steps) - 1 and given.keys() <= {"min", "max"}:
            clip = float(given.get("min", clip[0])), float(given.get("max", clip[1]))
        elif kind != "ensure_dtype":
            raise Invalid(f"Its preprocessing {kind!r} cannot be done here.", hint="One scale, then one clip is known.")
    return Preprocessing(offset=scale[0], scale=scale[1], clip=clip)
