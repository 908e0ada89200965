"""`make lab`, the first of the two commands: JupyterLab on the guided notebook, with the sample and the panel."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT
from tests.servers import end_processes_of, free_port

TOKEN = "a-token-of-this-test"


@pytest.fixture
def lab(home: Path) -> Iterator[httpx.Client]:
    """The server that `make lab` starts in a fresh home."""
    port = free_port()
    options = f"--no-browser --ServerApp.ip=127.0.0.1 --ServerApp.port={port} --IdentityProvider.token={TOKEN}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    with (home.parent / "make.txt").open("wb") as log:
        make = subprocess.Popen(["make", "lab", f"ARGS={options}"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"token {TOKEN}"}) as client:
        deadline = time.monotonic() + 120
        while make.poll() is None and time.monotonic() < deadline:
            try:
                client.get("/api").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        else:
            pytest.fail((home.parent / "make.txt").read_text()[-4000:])
        yield client
    end_processes_of(home)
    make.wait(20)


@pytest.mark.needs("lab")
def test_make_lab_opens_a_copy_of_the_guided_notebook_beside_the_sample(lab: httpx.Client, home: Path) -> None:
    page = lab.get("/lab/tree/01-quickstart.ipynb")
    assert page.is_success
    assert re.search(r'"mlex": \{[^}]*"guided": true', page.text)
    assert "@mlex/jupyterlab" in page.text

    copy = lab.get("/api/contents/01-quickstart.ipynb", params={"content": 0}).json()
    assert copy["writable"]
    assert (home / "notebooks" / "01-quickstart.ipynb").read_bytes() == (
        ROOT / "notebooks" / "01-quickstart.ipynb"
    ).read_bytes()

    names = [dataset["name"] for dataset in lab.get("/mlex/api/v1/datasets", timeout=30).json()]
    assert "sand-tomo" in names
