"""The REST contract is generated: what is committed is what the code would write again."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOCUMENT = ROOT / "server_extension" / "openapi.json"
TYPES = ROOT / "server_extension" / "src" / "contract.ts"
MEND = "Run `make schema` and commit what it writes."


def test_the_openapi_document_is_the_codes() -> None:
    program = [sys.executable, "-m", "mlex_jupyter.server.openapi"]
    written = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert written == DOCUMENT.read_text(), MEND


def test_every_verb_with_a_route_is_in_the_document() -> None:
    from mlex_jupyter.app import Mlex
    from mlex_jupyter.verbs import table

    paths = json.loads(DOCUMENT.read_text())["paths"]
    routes = [verb.route for verb in table(Mlex).values() if verb.route]
    assert routes
    for route in routes:
        assert any(path.endswith(route.path) and route.method.lower() in paths[path] for path in paths), route


@pytest.mark.needs("node")
def test_the_typescript_types_are_the_documents(tmp_path: Path) -> None:
    if not (ROOT / "node_modules").exists():
        pytest.fail("node_modules is missing: run `make dev`.")
    script = json.loads((ROOT / "package.json").read_text())["scripts"]["schema"]
    fresh = tmp_path / "contract.ts"
    place = str(TYPES.relative_to(ROOT))
    program, *words = [str(fresh) if word == place else word for word in shlex.split(script)]
    assert str(fresh) in words
    subprocess.run([ROOT / "node_modules" / ".bin" / program, *words], check=True, capture_output=True, cwd=ROOT)
    assert fresh.read_text() == TYPES.read_text(), MEND


@pytest.mark.needs("node")
def test_the_client_and_the_panel_pass_their_own_tests() -> None:
    files = sorted(
        str(file) for folder in ("labextension", "server_extension") for file in (ROOT / folder).glob("test/*.test.ts")
    )
    assert files
    node = shutil.which("node")
    assert node
    done = subprocess.run([node, "--import", "tsx", "--test", *files], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
