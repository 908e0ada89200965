"""A browser for the session, a server over a home with the sample for each file, a page for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests import needs
from tests.browser.lab import Lab
from tests.conftest import SAMPLE, mlex_command
from tests.servers import Server, end_processes_of, running_server

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZE = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as the system has it; Playwright's event loop must be gone before other files' asynchronous tests."""
    needs.require("browser", "lab")
    expect.set_options(timeout=30_000)  # the machine may be busy with other tests
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=needs.chromium(), args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def lab_home(tmp_path_factory: pytest.TempPathFactory, described: Path) -> Iterator[Path]:
    """A home with the sample, for the tests of one file."""
    path = tmp_path_factory.mktemp("lab-home")
    shutil.copytree(described, path / "cache")
    mlex_command("sample", *(f"--{name}={value}" for name, value in SAMPLE.items()), home=path)
    yield path
    end_processes_of(path)


@pytest.fixture(scope="module")
def lab_server(lab_home: Path, browser: Browser) -> Iterator[Server]:
    """JupyterLab over that home."""
    with running_server(lab_home, lab_home / "work") as server:
        yield server


@pytest.fixture
def lab(browser: Browser, lab_server: Server) -> Iterator[Lab]:
    """JupyterLab open in a page of its own, the panel showing."""
    yield from opened(browser, lab_server)


def opened(browser: Browser, server: Server) -> Iterator[Lab]:
    """A page on a server; nothing on it may have thrown an error."""
    context = browser.new_context(viewport=SIZE)
    context.set_default_timeout(30_000)
    lab = Lab(context.new_page(), server)
    lab.open()
    yield lab
    context.close()
    assert lab.errors == []
