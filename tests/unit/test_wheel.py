"""A wheel brings everything: the package, the panel, the server's configuration, the command and the plugins."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    if not (ROOT / "mlex_jupyter" / "labextension" / "package.json").exists():
        pytest.fail("The panel is not built: run `make dev`.")
    folder = tmp_path_factory.mktemp("wheel")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        ROOT,
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (built,) = Path(folder).glob("mlex_jupyter-*.whl")
    return zipfile.ZipFile(built)


def names(wheel: zipfile.ZipFile) -> set[str]:
    """Paths in the wheel, as they will lie under the environment's prefix or in its packages."""
    return {name.partition(".data/data/")[2] or name for name in wheel.namelist()}


def test_it_holds_the_panel_and_enables_the_server_extension(wheel: zipfile.ZipFile) -> None:
    name = json.loads((ROOT / "labextension" / "package.json").read_text())["name"]
    panel = f"share/jupyter/labextensions/{name}"
    assert f"{panel}/package.json" in names(wheel)
    assert any(path.startswith(f"{panel}/static/remoteEntry") for path in names(wheel))
    config = next(path for path in wheel.namelist() if path.endswith("jupyter_server_config.d/mlex_jupyter.json"))
    assert json.loads(wheel.read(config))["ServerApp"]["jpserver_extensions"] == {"mlex_jupyter.server": True}


def test_it_holds_every_module_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "mlex_jupyter").rglob("*.py")}
    held = {name for name in wheel.namelist() if name.endswith(".py")}
    assert held == ours
    assert not [name for name in wheel.namelist() if {"tests", "node_modules"} & set(name.split("/"))]


def test_it_has_the_command_and_the_plugins(wheel: zipfile.ZipFile) -> None:
    points = next(wheel.read(name).decode() for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "mlex = mlex_jupyter.cli:main" in points
    assert all(f"[mlex.{group}]" in points for group in ("models", "readers", "targets"))
