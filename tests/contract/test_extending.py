"""docs/extending.md is a whole package: installed as it stands there, its three plugins work."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT, SAMPLE

GUIDE = (ROOT / "docs" / "extending.md").read_text()
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide's files and entry points, where every process of this test finds them."""
    site = tmp_path / "site"
    for name, code in re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(code)
    toml = re.search(r"^```toml\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert toml
    project = tomllib.loads(toml[1])["project"]
    info = site / "beamline_mlex-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [line for group, points in groups for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    return site


@pytest.mark.needs("torch")
def test_the_architecture_trains_on_the_target(package: Path, mlex_run: Run) -> None:
    form = json.loads(mlex_run("architecture", "wide", "--json").stdout)
    assert form["params_schema"]["properties"]["depth"]["maximum"] == 6
    assert form["distribution"] == "beamline-mlex"
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
