"""Packages whose network is source: written with it, and taken where that very text is trusted; never run to look."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Forbidden, Invalid
from mlex_jupyter.forms import complete_params
from mlex_jupyter.learn.own import brought
from mlex_jupyter.types import Code, Model, Preprocessing
from tests.engine import settings_of
from tests.unit.zoo.test_packages import CLASSES, VALIDATE, changed

pytestmark = [pytest.mark.needs("torch"), pytest.mark.timeout(400)]

TEXT = textwrap.dedent("""\
    import os
    import torch
    from torch import nn
    import mlex_jupyter as mlex

    open(os.path.join(os.environ.get("MLEX_HOME", "."), "ran"), "w").close()

    @mlex.model(title="Two layers", halo="1")
    class Tiny(nn.Module):
        def __init__(self, channels, classes, width: int = 4):
            super().__init__()
            self.one = nn.Conv2d(channels, width, 3, padding=1)
            self.two = nn.Conv2d(width, classes, 1)
        def forward(self, x):
            return self.two(torch.relu(self.one(x)))
    """)
CODE = Code(name="Tiny", text=TEXT)


@pytest.fixture
async def published(mlex: Mlex, home: Path) -> Model:
    """A network of one's own with weights, in the zoo; that it ran to be checked is forgotten."""
    from safetensors.torch import save_file

    report = await mlex.ingest(CODE)
    assert report.architecture is not None
    network = brought.load(CODE)(channels=1, classes=2, width=6)
    save_file(network.state_dict(), home / "w.safetensors")
    (home / "source.py").write_text(TEXT)
    (home / "ran").unlink(missing_ok=True)
    return await mlex.zoo.add(
        name="pores", architecture="Tiny", params=complete_params(report.architecture, {"width": 6}),
        weights=mlex.zoo.blobs.put(home / "w.safetensors"), code=mlex.zoo.blobs.put(home / "source.py"),
        builder=CODE.builder, preprocessing=Preprocessing(offset=100, scale=20), classes=CLASSES, run="run-1",
        dataset="data-1", labels="labels-1", owner="tester",
    )  # fmt: skip


@pytest.fixture
async def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mlex]:
    """The engine of somebody else, in a home of their own."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.setenv("MLEX_HOME", str(place))
    engine = Mlex(settings_of(place, user="other"))
    yield engine
    await asyncio.to_thread(engine.close)


async def test_it_is_written_with_its_source_as_bioimage_io_says(
    mlex: Mlex, published: Model, tmp_path: Path, home: Path
) -> None:
    await mlex.withdraw("Tiny")
    written = await mlex.export_model("pores", str(tmp_path / "pores.zip"))
    assert (home / "ran").exists(), "it was tried, in a process of its own"
    with zipfile.ZipFile(written.path) as package:
        assert package.read("network.py").decode() == TEXT
        assert not {"code.json", "model.json"} & set(package.namelist())
        said = yaml.safe_load(package.read("rdf.yaml"))["weights"]["pytorch_state_dict"]["architecture"]
        assert "source in network.py: read it before you run it" in package.read("README.md").decode()
    assert said == {
        "source": "network.py",
        "sha256": hashlib.sha256(TEXT.encode()).hexdigest(),
        "callable": "Tiny",
        "kwargs": {"width": 6, "channels": 1, "classes": 2},
    }
    pytest.importorskip("bioimageio.spec")
    environment = os.environ | {"BIOIMAGEIO_CACHE_PATH": str(tmp_path / "cache")}
    found = subprocess.run(
        [sys.executable, "-c", VALIDATE, written.path], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["valid-format", "ModelDescr"], found.stdout


async def test_its_source_is_not_run_to_look_at_it_nor_to_take_it_and_what_to_do_works(
    mlex: Mlex, published: Model, elsewhere: Mlex, tmp_path: Path
) -> None:
    package = (await mlex.export_model("pores", str(tmp_path / "pores.zip"))).path
    ran = elsewhere.settings.home / "ran"
    ran.unlink(missing_ok=True)
    looked = await elsewhere.inspect_package(package)
    assert "brings its network as source, 'Tiny' in 'network.py'" in (looked.refused or "")
    with pytest.raises(Invalid, match="no source of a package is run") as refused:
        await elsewhere.import_model(package)
    assert "`mlex ingest network.py:Tiny`" in str(refused.value.hint)
    assert not ran.exists()

    with zipfile.ZipFile(package) as found:
        found.extract("network.py", tmp_path)
    await elsewhere.ingest(f"{tmp_path}/network.py:Tiny", name="theirs")
    assert (await elsewhere.inspect_package(package)).refused is None
    taken = await elsewhere.import_model(package)
    assert (taken.name, taken.architecture, taken.builder) == ("pores", "theirs", CODE.builder)
    assert (taken.weights, taken.params["width"]) == (published.weights, 6)
    assert (await elsewhere.source("pores")).text == TEXT
    again = await elsewhere.export_model("pores", str(tmp_path / "again.zip"))
    with zipfile.ZipFile(again.path) as one, zipfile.ZipFile(package) as other:
        assert one.read("weights.safetensors") == other.read("weights.safetensors")
        np.testing.assert_allclose(*(np.load(found.open("test_output.npy")) for found in (one, other)), atol=1e-5)


async def test_another_text_than_the_trusted_one_is_refused(mlex: Mlex, published: Model, tmp_path: Path) -> None:
    good = Path((await mlex.export_model("pores", str(tmp_path / "good.zip"))).path)
    (mlex.settings.home / "ran").unlink()
    worse = (TEXT + "os.system('touch owned')\n").encode()

    def signed(found: dict[str, dict[str, dict[str, dict[str, str]]]]) -> None:
        about = found["weights"]["pytorch_state_dict"]["architecture"]
        about["sha256"] = hashlib.sha256(worse).hexdigest()

    unsigned = changed(good, tmp_path / "unsigned.zip", lambda found: None, **{"network.py": worse})
    with pytest.raises(Invalid, match="is not the source that the description names: its SHA-256 differs"):
        await mlex.import_model(str(unsigned))
    other = changed(good, tmp_path / "other.zip", signed, **{"network.py": worse})
    for bad in (unsigned, other):
        assert "no source of a package is run" in ((await mlex.inspect_package(str(bad))).refused or "")
    with pytest.raises(Invalid, match="no source of a package is run"):
        await mlex.import_model(str(other))
    assert not (mlex.settings.home / "ran").exists()
    assert (await mlex.inspect_package(str(good))).refused is None, "one's own is trusted"
    await mlex.withdraw("Tiny")
    assert "no source of a package is run" in ((await mlex.inspect_package(str(good))).refused or "")


async def test_somebody_elses_source_is_not_run_to_be_written_either(
    mlex: Mlex, published: Model, home: Path, tmp_path: Path
) -> None:
    await mlex.edit_model("pores", visibility="shared")
    other = Mlex(settings_of(home, user="other"))
    with pytest.raises(Forbidden, match="brings source of tester, which would run with your rights"):
        await other.export_model("pores", str(tmp_path / "theirs.zip"))
    assert not (home / "ran").exists()
    assert not (tmp_path / "theirs.zip").exists()
    await asyncio.to_thread(other.close)
