"""docs/extending.md is a whole package: installed as it stands there, its three plugins work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT, SAMPLE
from tests.unit.test_docs import blocks, commands

GUIDE = (ROOT / "docs" / "extending.md").read_text()
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide's package, installed by pip into a folder of its own."""
    place = tmp_path_factory.mktemp("package")
    for name, code in re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(code)
    toml = re.search(r"^```toml\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert toml
    (place / "pyproject.toml").write_text(toml[1])
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--target", place / "site"]
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, place], check=True, timeout=120)
    return place / "site"


@pytest.fixture
def package(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The installed package, where every process of this test finds it."""
    site = shutil.copytree(installed, tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    return site


@pytest.mark.needs("torch")
def test_the_architecture_trains_on_the_target(package: Path, mlex_run: Run) -> None:
    form = json.loads(mlex_run("architecture", "wide", "--json").stdout)
    assert form["params_schema"]["properties"]["depth"]["maximum"] == 6
    assert form["distribution"] == "beamline-mlex"
    checked = json.loads(mlex_run("check", "wide", "--json").stdout)
    assert checked["ok"], [check for check in checked["checks"] if not check["ok"]]
    mlex_run("sample", *(f"--{name}={value}" for name, value in SAMPLE.items()))
    short = ["-p", "epochs=1", "-p", "steps_per_epoch=2", "-p", "patch=32", "-p", "batch=2"]
    words = ["--data", "sand-tomo", "--labels", "scribbles", "--target", "polite", *short, "-o", "first", "--wait"]
    mlex_run("train", "wide", *words)
    job = json.loads(mlex_run("job", "first", "--json").stdout)
    assert job["state"] == "done"
    assert job["spec"]["target"] == "polite"
    assert "polite" in [target["name"] for target in json.loads(mlex_run("targets", "--json").stdout)]


def test_the_reader_opens_its_files_and_refuses_a_half_written_one(
    package: Path, mlex_run: Run, tmp_path: Path
) -> None:
    whole = tmp_path / "scan_4x8x9.raw"
    whole.write_bytes(np.arange(4 * 8 * 9, dtype=np.uint8).tobytes())
    dataset = json.loads(mlex_run("register", str(whole), "--name", "scan", "--json").stdout)
    assert dataset["shape"] == [4, 8, 9]
    assert dataset["reader"] == "raw"
    half = tmp_path / "half_4x8x9.raw"
    half.write_bytes(b"\0" * 100)
    refused = mlex_run("register", str(half), check=False)
    assert refused.returncode != 0
    assert "still being written" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_doctor_names_the_plugins_and_those_that_cannot_be_loaded(package: Path, mlex_run: Run) -> None:
    def plugins() -> dict[str, object]:
        checks = json.loads(mlex_run("doctor", "--json", check=False).stdout)
        return next(check for check in checks if check["name"] == "Plugins")

    assert plugins()["says"] == "polite, raw, wide"
    (package / "beamline_mlex" / "readers.py").write_text("import no_such_library")
    assert not plugins()["ok"]
    assert "no_such_library" in str(plugins()["says"])
    assert "sand-tomo" in mlex_run("sample", "--size", "64", "--slices", "8").stdout


@pytest.mark.needs("torch")
def test_what_needs_no_package_does_what_the_guide_says(
    mlex_run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, function = (
        block for block in blocks(ROOT / "docs" / "extending.md", "python") if "import mlex_jupyter as mlex" in block
    )
    monkeypatch.chdir(tmp_path)
    Path("my_model.py").write_text(network.partition("\n\nmlex.check")[0])
    Path("my_script.py").write_text("import sys; print(sys.argv)")
    mlex_run("sample", *(f"--{name}={value}" for name, value in SAMPLE.items()))
    short = ["-p", "epochs=1", "-p", "steps_per_epoch=2", "-p", "patch=32", "-p", "batch=2"]
    shell = [words for block in blocks(ROOT / "docs" / "extending.md", "sh") for words in commands(block)]
    mine = [words[1:] for words in shell if "tiny" in words or "rule" in words[1]]
    for words in mine:
        mlex_run(*words, *(short if words[0] == "train" else ()))
    (Path("work.py")).write_text(function)
    done = subprocess.run([sys.executable, "work.py"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(mlex_run("returned", "count", "--json").stdout) == {"data": "sand-tomo", "share": 0.3}
    assert {rule["name"] for rule in json.loads(mlex_run("rules", "--json").stdout)} == {"predict-it", "watch"}
