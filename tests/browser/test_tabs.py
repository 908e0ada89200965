"""Several tabs of one browser: one connection for the events of all, also when the tab that has it is closed."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, WebSocket, expect

from tests.browser.conftest import SIZE
from tests.browser.lab import Lab
from tests.browser.test_training import is_whole, run_id, wait_for_epoch
from tests.servers import Server

pytestmark = [pytest.mark.needs("browser", "lab", "torch"), pytest.mark.timeout(300)]


class Connections:
    """The streams of events that the tabs of a browser have open."""

    def __init__(self) -> None:
        self.opened: list[Page] = []
        self._open: dict[WebSocket, Page] = {}

    def watch(self, page: Page) -> None:
        page.on("websocket", lambda socket: self._begun(page, socket))

    def _begun(self, page: Page, socket: WebSocket) -> None:
        if "/mlex/api/v1/stream" in socket.url:
            self.opened.append(page)
            self._open[socket] = page
            socket.on("close", lambda _: self._open.pop(socket, None))

    def pages(self) -> list[Page]:
        """The tabs that have one; of a tab that is closed no end is told."""
        return [page for page in self._open.values() if not page.is_closed()]


def test_three_tabs_have_one_connection_and_whole_curves(browser: Browser, lab_server: Server, lab_home: Path) -> None:
    context = browser.new_context(viewport=SIZE)
    context.set_default_timeout(60_000)
    connections, labs = Connections(), []
    for number in range(3):
        page = context.new_page()
        connections.watch(page)
        lab = Lab(page, lab_server)
        # A workspace each: JupyterLab sends a second tab of one elsewhere, when it notices.
        page.goto(f"{lab_server.url}/lab/workspaces/tab-{number}?token={lab_server.token}&reset")
        lab.ready()
        page.locator(".jp-Launcher").wait_for()
        lab.command("mlex:open-panel")
        lab.panel.wait_for()
        labs.append(lab)
    name = labs[0].train(epochs=400)
    run = run_id(labs[0], name)
    for lab in labs:
        lab.row("Runs", name).wait_for()
        lab.open_run(name)
        wait_for_epoch(lab, 2)
    assert len(connections.opened) == 1
    for lab in labs:
        is_whole(lab, lab_home, run)

    (listening,) = connections.pages()
    others = [lab for lab in labs if lab.page is not listening]
    listening.close()
    here = int(others[0].run.locator(".mlex-RunHead-progress").inner_text().split("epoch ")[1].split()[0])
    for lab in others:
        wait_for_epoch(lab, here + 3)
        is_whole(lab, lab_home, run)
    assert len(connections.opened) == 2
    assert len(connections.pages()) == 1

    others[0].run.get_by_role("button", name="Stop", exact=True).click()
    for lab in others:
        expect(lab.row("Runs", name)).to_contain_text("Cancelled", timeout=60_000)
        is_whole(lab, lab_home, run)
        assert lab.errors == []
    assert len(connections.opened) == 2
    context.close()
