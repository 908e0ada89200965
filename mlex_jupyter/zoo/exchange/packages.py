"""Packages of bioimage.io: a zip with a description, weights, and one slice with what comes out of it.

What is exported is tried first, in a process of its own, and what is imported as well: the slice in the package must
give the same as it says. A package is never run: its weights must be safetensors, and its architecture installed here,
or the very text of one that this person has brought.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mlex_jupyter.errors import Conflict, Invalid, Unavailable
from mlex_jupyter.files import whole_file
from mlex_jupyter.forms import complete_params
from mlex_jupyter.plugins import entry_points
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.blobs import digest
from mlex_jupyter.types import Code, Model, Package, PackageFile, Trained
from mlex_jupyter.zoo.exchange.archives import local_file, opened
from mlex_jupyter.zoo.exchange.bioimageio import SOURCE, description, fields, readme, softened, weights_of
from mlex_jupyter.zoo.exchange.descriptions import Own, own_network, read_description
from mlex_jupyter.zoo.exchange.tensors import check_tensors
from mlex_jupyter.zoo.models import Zoo

TRY_S = 180
CLOSE = 1e-3
SLICE_BYTES = 256 << 20


class Packages:
    """Packages that come into a home and leave it."""

    def __init__(self, zoo: Zoo, settings: Settings) -> None:
        self.zoo = zoo
        self.settings = settings

    # ------------------------------------------------------------ out

    async def export(self, model: Model, path: str) -> PackageFile:
        """Write a published model as a package."""
        if model.task != "segmentation":
            raise Invalid(f"{model.name} is no segmentation, and such packages hold nothing else.")
        place = local_file(path, self.settings, there=False)
        place = place if place.suffix == ".zip" else place.with_name(place.name + ".zip")
        if os.path.lexists(place):
            raise Conflict(f"{place} is there already.", hint="Choose another name.")
        if not place.parent.is_dir():
            raise Invalid(f"There is no folder {place.parent} to write to.")
        trained, code = self.zoo.trained(model), await self.zoo.code(model)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            await asyncio.to_thread(shutil.copyfile, trained.weights, folder / "weights.safetensors")
            tried = await try_network(folder, trained, code)
            if code is not None:
                (folder / SOURCE).write_text(code.text)
            await asyncio.to_thread(_pack, folder, place, model, trained, tried)
        return PackageFile(path=str(place), nbytes=place.stat().st_size, sha256=digest(place).removeprefix("sha256:"))

    # ------------------------------------------------------------ in

    async def look(self, path: str) -> Package:
        """What a package says, and why it cannot be used here, if so."""
        file = local_file(path, self.settings)
        try:
            own = await own_network(file, self.zoo.architectures.sources)
        except Invalid:  # then its network is none that is known here
            own = None
        return await asyncio.to_thread(self._look, file, _builders(own))

    def _look(self, file: Path, builders: Mapping[str, str]) -> Package:
        with opened(file) as archive:
            found = read_description(archive)
            try:
                fields(found, builders)
                softened(found)
                refused = None
            except Invalid as error:
                refused = f"{error.message} {error.hint or ''}".strip()
            weights = found.get("weights")
            return Package(
                name=str(found.get("name", ""))[:200],
                format=f"{found.get('type', '')} {found.get('format_version', '')}".strip()[:50],
                description=str(found.get("description", ""))[:2000],
                license=str(found["license"])[:100] if isinstance(found.get("license"), str) else None,
                tags=tuple(str(tag)[:100] for tag in found.get("tags") or ())[:50],
                weights=tuple(str(kind)[:50] for kind in weights)[:20] if isinstance(weights, dict) else (),
                files=archive.sizes,
                refused=refused,
            )

    async def take(self, path: str, name: str | None) -> Model:
        """Add a package's model to the zoo; the same package under the same name again is the same version."""
        file = local_file(path, self.settings)
        own = await own_network(file, self.zoo.architectures.sources)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            found = await asyncio.to_thread(_unpack, file, folder)
            about, soft = fields(found, _builders(own)), softened(found)
            architecture = own.architecture if own else await self.zoo.architectures.get(about["architecture"])
            about["params"] = complete_params(architecture, about["params"])
            shape = {key: about[key] for key in ("architecture", "params", "channels", "classes", "preprocessing")}
            trained = Trained(**shape, builder=architecture.builder, weights="weights.safetensors")
            await self._compare(folder, trained, own and own.code, soft)
            about["weights"] = await asyncio.to_thread(self.zoo.blobs.put, folder / "weights.safetensors")
            if own is not None:
                (folder / SOURCE).write_text(own.code.text)
                about["code"] = await asyncio.to_thread(self.zoo.blobs.put, folder / SOURCE)
                about["builder"] = own.code.builder
        ours = (found.get("config") or {}).get("mlex") or {}
        return await self.zoo.add(
            **about,
            name=name or ours.get("name") or _slug(str(found.get("name", ""))),
            run=f"package:{digest(file).removeprefix('sha256:')}",
            dataset="",
            labels="",
            owner=self.settings.user,
        )

    async def _compare(self, folder: Path, trained: Trained, code: Code | None, soft: bool) -> None:
        """Refuse weights that do not give what the package says."""
        import numpy as np

        await try_network(folder, trained, code)
        expected = folder / "expected.npy"
        if not expected.exists():
            return
        try:
            said, comes = np.load(expected, allow_pickle=False), np.load(folder / "output.npy", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise Invalid("The package's test tensors cannot be read.") from error
        comes = softmax(comes) if soft else comes
        if said.shape != comes.shape or not np.allclose(said, comes, rtol=CLOSE, atol=CLOSE):
            raise Invalid(
                "The network does not give what the package says that it gives.",
                hint="It was made with another version of its architecture, or is damaged.",
            )


async def try_network(folder: Path, trained: Trained, code: Code | None = None) -> dict[str, Any]:
    """Run a network on one slice, in a process of its own."""
    model = trained.model_copy(update={"weights": "weights.safetensors"})
    (folder / "model.json").write_text(model.model_dump_json())
    if code is not None:
        (folder / "code.json").write_text(code.model_dump_json())
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "mlex_jupyter.learn.own.tried",
        str(folder),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), TRY_S)
        answer: dict[str, Any] = json.loads(out)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise Unavailable(f"Trying the network took more than {TRY_S} s.") from None
    except ValueError:
        raise Invalid("The network could not be tried: the process ended without a word.") from None
    if "error" in answer:
        raise Invalid(f"The network could not be tried: {answer['error']}")
    return answer


def _unpack(file: Path, folder: Path) -> dict[str, Any]:
    """Take out what is needed: the weights, checked, and the slice with what comes out of it."""
    with opened(file) as archive:
        found = read_description(archive)
        source, entry = weights_of(found)
        weights = folder / "weights.safetensors"
        archive.extract(source, weights)
        said = entry.get("sha256")
        if said is not None and digest(weights) != f"sha256:{said}":
            raise Invalid("The weights are not those that the description names: their SHA-256 differs.")
        check_tensors(weights)
        for key, name in (("inputs", "input.npy"), ("outputs", "expected.npy")):
            source = _test_tensor(found, key)
            if source in archive.sizes and archive.sizes[source] <= SLICE_BYTES:
                archive.extract(source, folder / name)
    return found


def _test_tensor(found: Mapping[str, Any], key: str) -> str:
    try:
        test = found[key][0]["test_tensor"]
        return str(test["source"] if isinstance(test, dict) else test)
    except (KeyError, IndexError, TypeError):
        return ""


def _pack(folder: Path, place: Path, model: Model, trained: Trained, tried: Mapping[str, Any]) -> None:
    import numpy as np

    (folder / "input.npy").rename(folder / "test_input.npy")
    np.save(folder / "test_output.npy", softmax(np.load(folder / "output.npy")))
    (folder / "output.npy").unlink()
    for ours in ("model.json", "code.json"):
        (folder / ours).unlink(missing_ok=True)
    (folder / "README.md").write_text(readme(model))
    _cover(folder, model)
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    text = yaml.safe_dump(description(model, trained, tried, sums), sort_keys=False, allow_unicode=True)
    (folder / "rdf.yaml").write_text(text)
    with whole_file(place) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.iterdir()):
            packed.write(file, file.name)


def _cover(folder: Path, model: Model) -> None:
    """The slice, and beside it what the network makes of it."""
    import numpy as np
    from PIL import Image, ImageColor

    raw, logits = np.load(folder / "test_input.npy")[0, 0], np.load(folder / "test_output.npy")[0]
    low, high = np.percentile(raw, (1, 99))
    grey = np.clip((raw - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)
    colours = np.array([ImageColor.getrgb(one.color)[:3] for one in model.classes], np.uint8)
    both = np.concatenate((np.repeat(grey[..., None], 3, axis=-1), colours[logits.argmax(0)]), axis=1)
    Image.fromarray(both).resize((512, 256), Image.Resampling.NEAREST).save(folder / "cover.png")


def softmax(logits_BCYX: Any) -> Any:
    """Probabilities of the classes, as float32."""
    import numpy as np

    powers = np.exp(logits_BCYX - logits_BCYX.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def _builders(own: Own | None) -> dict[str, str]:
    """The names of the architectures that a package may be of, by what it calls them."""
    installed = {entry.value: name for name, entry in entry_points("mlex.models").items()}
    return installed | ({own.said.builder: own.architecture.name} if own else {})


def _slug(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-._")[:100].lower() or "model"
