"""The floors: imports go downward only, and the server stays light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAVY = {"torch", "dlsia", "pandas", "mlflow", "zarr", "scipy", "matplotlib", "PIL", "optuna"}


def test_modules_import_downward_only() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "module", ["mlex_jupyter", "mlex_jupyter.server", "mlex_jupyter.cli", "mlex_jupyter.supervisor"]
)
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "mlex_jupyter" in loaded
    assert not loaded & HEAVY
