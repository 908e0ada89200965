"""Packages of bioimage.io: what we write is valid and comes back, and what could run or escape is refused."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, Forbidden, Invalid, NotFound
from mlex_jupyter.forms import complete_params
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import ClassInfo, Model, Preprocessing, TrainedOn
from mlex_jupyter.zoo.exchange import archives
from mlex_jupyter.zoo.exchange.archives import opened
from mlex_jupyter.zoo.exchange.tensors import check_tensors

CLASSES = (ClassInfo(value=1, name="grain", color="#ff0000"), ClassInfo(value=3, name="pore", color="#0000ff"))
VALIDATE = """
import sys
from bioimageio.spec import load_description
found = load_description(sys.argv[1])
print(found.validation_summary.status, type(found).__name__)
"""


@pytest.fixture
async def published(mlex: Mlex, described: Path, tmp_path: Path) -> Model:
    """A small network with weights of its own, in the zoo."""
    from safetensors.torch import save_file

    from mlex_jupyter.learn.models import build

    mlex.settings.home.joinpath("cache").symlink_to(described)
    architecture = await mlex.architecture("unet")
    params = complete_params(architecture, {"depth": 2, "base_channels": 4})
    save_file(build(architecture.builder, params, channels=1, classes=2).state_dict(), tmp_path / "w.safetensors")
    seen = TrainedOn(
        name="sand", axes="zyx", shape=(4, 8, 8), dtype="uint8", pixel_size=(1.0, 1.0, 0.65), pixel_unit="um"
    )
    return await mlex.zoo.add(
        name="pores", architecture="unet", params=params, weights=mlex.zoo.blobs.put(tmp_path / "w.safetensors"),
        preprocessing=Preprocessing(offset=100, scale=20), classes=CLASSES, run="run-1", dataset="data-1",
        labels="labels-1", owner="tester", title="Pores: sand/stone", license="BSD-3-Clause", tags=("sand",),
        citation="A paper, doi:10.1000/xyz123.", metrics={"dice": 0.9}, trained_on=seen, description="Finds *pores*.",
    )  # fmt: skip


def changed(package: Path, to: Path, edit: Callable[[dict[str, Any]], object], **files: bytes) -> Path:
    """The package with another description, and other files."""
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            content = files.get(name, old.read(name))
            if name == "rdf.yaml":
                found = yaml.safe_load(content)
                edit(found)
                content = yaml.safe_dump(found).encode()
            new.writestr(name, content)
    return to


@pytest.mark.needs("torch")
async def test_what_is_exported_is_valid_and_comes_back_the_same(mlex: Mlex, published: Model, tmp_path: Path) -> None:
    pytest.importorskip("bioimageio.spec")
    written = await mlex.export_model("pores@1", str(tmp_path / "pores"))
    assert written.path.endswith("pores.zip")
    environment = os.environ | {"BIOIMAGEIO_CACHE_PATH": str(tmp_path / "cache")}
    said = subprocess.run(
        [sys.executable, "-c", VALIDATE, written.path], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["valid-format", "ModelDescr"], said.stdout
    with zipfile.ZipFile(written.path) as package:
        assert {
            "rdf.yaml",
            "weights.safetensors",
            "test_input.npy",
            "test_output.npy",
            "cover.png",
            "README.md",
        } == set(package.namelist())
        probabilities = np.load(io.BytesIO(package.read("test_output.npy")))
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert "Finds *pores*." in package.read("README.md").decode()
    looked = await mlex.inspect_package(written.path)
    assert (looked.refused, looked.license, looked.weights) == (None, "BSD-3-Clause", ("pytorch_state_dict",))
    back = await mlex.import_model(written.path, name="again")
    same = (
        "architecture",
        "params",
        "weights",
        "classes",
        "preprocessing",
        "title",
        "tags",
        "license",
        "citation",
        "metrics",
    )
    assert {name: getattr(back, name) for name in same} == {name: getattr(published, name) for name in same}
    assert (await mlex.import_model(written.path, name="again")).version == 1, "the same package is the same version"
    assert (await mlex.import_model(written.path)).name == "pores"
    with pytest.raises(Conflict, match="is there already"):
        await mlex.export_model("pores", str(tmp_path / "pores"))


@pytest.mark.needs("torch")
async def test_a_package_that_cannot_be_used_is_looked_at_and_refused_with_the_reason(
    mlex: Mlex, published: Model, tmp_path: Path
) -> None:
    good = Path((await mlex.export_model("pores", str(tmp_path / "good.zip"))).path)
    weights = "pytorch_state_dict"

    def renamed(source: str) -> Callable[[dict[str, Any]], object]:
        return lambda found: found["weights"][weights].update(source=source)

    def only(kind: str) -> Callable[[dict[str, Any]], object]:
        return lambda found: found.update(weights={kind: {"source": "w", "sha256": "0"}})

    def made_by(**about: str) -> Callable[[dict[str, Any]], object]:
        return lambda found: found["weights"][weights].update(architecture=about)

    def step(tensor: str, when: str, kind: str) -> Callable[[dict[str, Any]], object]:
        return lambda found: found[tensor][0].update({when: [{"id": kind}]})

    cases: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
        ("pickle", renamed("weights.pt")),
        ("TorchScript", only("torchscript")),
        ("ONNX", only("onnx")),
        ("Keras", only("keras_hdf5")),
        ("nothing of weights", lambda found: found.pop("weights")),
        ("os:system", made_by(import_from="os", callable="system")),
        ("brings its network as source, 'Net' in 'net.py'", made_by(source="net.py", callable="Net")),
        ("not complete", made_by(callable="Net")),
        ("zero_mean_unit_variance", step("inputs", "preprocessing", "zero_mean_unit_variance")),
        ("binarize", step("outputs", "postprocessing", "binarize")),
    ]
    for number, (words, edit) in enumerate(cases):
        bad = changed(good, tmp_path / f"bad-{number}.zip", edit)
        looked = await mlex.inspect_package(str(bad))
        assert words in (looked.refused or ""), (words, looked.refused)
        assert looked.name == "Pores  sand stone"
        with pytest.raises(Invalid) as refused:
            await mlex.import_model(str(bad))
        assert words in f"{refused.value.message} {refused.value.hint}"
    assert [entry.name for entry in await mlex.models() if entry.kind == "model"] == ["pores"]


@pytest.mark.needs("torch")
async def test_weights_that_are_not_what_they_are_said_to_be_are_refused(
    mlex: Mlex, published: Model, tmp_path: Path
) -> None:
    good = Path((await mlex.export_model("pores", str(tmp_path / "good.zip"))).path)
    with zipfile.ZipFile(good) as package:
        weights, output = package.read("weights.safetensors"), package.read("test_output.npy")
    flipped = bytes([*weights[:-1], weights[-1] ^ 64])

    def unsigned(found: dict[str, Any]) -> None:
        del found["weights"]["pytorch_state_dict"]["sha256"]

    other = io.BytesIO()
    np.save(other, np.load(io.BytesIO(output))[:, ::-1])
    pickled = io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], object), allow_pickle=True)
    cases: list[tuple[str, Callable[[dict[str, Any]], object], dict[str, bytes]]] = [
        ("SHA-256 differs", lambda found: None, {"weights.safetensors": flipped}),
        ("no safetensors", unsigned, {"weights.safetensors": b"\x80\x04pickle" * 99}),
        ("damaged", unsigned, {"weights.safetensors": weights[:-8]}),
        ("does not give what", lambda found: None, {"test_output.npy": other.getvalue()}),
        ("test tensors cannot be read", lambda found: None, {"test_output.npy": pickled.getvalue()}),
    ]
    for number, (words, edit, files) in enumerate(cases):
        bad = changed(good, tmp_path / f"bad-{number}.zip", edit, **files)
        with pytest.raises(Invalid, match=words):
            await mlex.import_model(str(bad))


# ---------------------------------------------------------------- hostile archives


def written(place: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as package:
        for info, content in members:
            package.writestr(info, content)
    return place


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


RDF = ("rdf.yaml", b"type: model\nname: x\n")


@pytest.mark.parametrize("name", ["../rdf.yaml", "/etc/rdf.yaml", "a/../../b", "C:/x", "a\\..\\b"])
async def test_a_name_that_leads_elsewhere_is_refused(mlex: Mlex, tmp_path: Path, name: str) -> None:
    bad = written(tmp_path / "bad.zip", (name, b"type: model"), RDF)
    with pytest.raises(Invalid, match="outside of itself"):
        await mlex.inspect_package(str(bad))


async def test_links_and_what_swells_and_what_is_no_zip_are_refused(
    mlex: Mlex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = {
        "link or a device": written(tmp_path / "link.zip", (link("weights.safetensors"), b"/etc/passwd"), RDF),
        "would become": written(tmp_path / "bomb.zip", ("bomb", bytes(400 << 20)), RDF),
        "no rdf.yaml": written(tmp_path / "empty.zip", ("a.txt", b"")),
        "no zip file": tmp_path / "text.zip",
        "describes no model": written(tmp_path / "list.zip", ("rdf.yaml", b"[1, 2]")),
        "is no text": written(tmp_path / "bytes.zip", ("rdf.yaml", b"\xff\xfe\x00")),
        "is too long": written(tmp_path / "long.zip", ("rdf.yaml", os.urandom(700_000).hex().encode())),
        "cannot be read": written(tmp_path / "tag.zip", ("rdf.yaml", b"!!python/object/apply:os.system [touch owned]")),
    }
    (tmp_path / "text.zip").write_text("hello")
    for words, file in cases.items():
        with pytest.raises(Invalid, match=words):
            await mlex.inspect_package(str(file))
    deep = written(tmp_path / "deep.zip", ("rdf.yaml", b"[" * 20_000))
    with pytest.raises(Invalid, match="cannot be read"):
        await mlex.inspect_package(str(deep))
    monkeypatch.setattr(archives, "FILES", 3)
    with pytest.raises(Invalid, match="holds 5 files"):
        await mlex.inspect_package(str(written(tmp_path / "many.zip", *((f"f{n}", b"") for n in range(4)), RDF)))
    assert not Path("owned").exists()


def test_not_a_byte_more_is_taken_than_the_archive_says(tmp_path: Path) -> None:
    package = written(tmp_path / "a.zip", ("big", bytes(1000)), RDF)
    with opened(package) as archive:
        archive.sizes["big"] = 10
        with pytest.raises(Invalid, match="longer than"):
            archive.extract("big", tmp_path / "out")


async def test_only_files_below_the_roots_are_opened(home: Path, tmp_path: Path) -> None:
    package = written(tmp_path / "a.zip", RDF)
    (home / "link.zip").symlink_to(package)
    engine = Mlex(Settings.load(home=home, user="tester", roots=(str(home),)))
    for path in (str(package), str(home / "link.zip"), f"{home}/../a.zip"):
        with pytest.raises(Forbidden, match="outside of the folders"):
            await engine.inspect_package(path)
    for path in (f"{home}/none.zip", str(home), "https://example.org/a.zip", "\0"):
        with pytest.raises((NotFound, Invalid, Forbidden)):
            await engine.inspect_package(path)
    engine.close()


# ---------------------------------------------------------------- safetensors


def tensors(header: object, data: bytes) -> bytes:
    said = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(said)) + said + data


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def test_a_true_header_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(tensors({"__metadata__": {"a": "b"}, "w": F32}, bytes(8)))
    assert check_tensors(tmp_path / "a") == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04",
        tensors(b"{", b""),
        tensors(b"[" * 5000, b""),
        tensors({}, b""),
        tensors({"w": F32}, bytes(4)),
        tensors({"w": F32}, bytes(12)),
        tensors({"w": F32 | {"shape": [3]}}, bytes(8)),
        tensors({"w": F32 | {"shape": [-2, -1]}}, bytes(8)),
        tensors({"w": F32 | {"dtype": "OBJ"}}, bytes(8)),
        tensors({"w": F32, "v": F32}, bytes(8)),
        tensors({"w": F32 | {"data_offsets": [8, 16]}}, bytes(16)),
        struct.pack("<Q", 1 << 60) + b"{}",
    ],
)
def test_a_header_that_is_not_true_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(Invalid):
        check_tensors(tmp_path / "a")
