"""The page of the REST API in a browser: it filters, nothing of its own is stopped, the token leaves the address."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.servers import running_server

pytestmark = pytest.mark.needs("browser")


def test_the_page_of_the_api_is_read_and_filtered(browser: Browser, home: Path) -> None:
    with running_server(home, app="server") as server:
        page = browser.new_context().new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.goto(f"{server.api}/docs?token={server.token}")
        assert page.url == f"{server.api}/docs"
        expect(page.locator("#submit")).to_be_visible()
        page.keyboard.press("/")
        page.keyboard.type("checkpoint kept")
        expect(page.locator("#cancel")).to_be_visible()
        expect(page.locator("#submit")).to_be_hidden()
        expect(page.locator("nav li:visible")).to_have_text(["cancel", "tune_cancel"])
        page.keyboard.type(" nonsense")
        expect(page.get_by_text("Nothing here has all these words.")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#submit")).to_be_visible()
        page.goto(f"{server.api}/openapi.json")
        assert '"openapi": "3.1.0"' in page.content()
        assert [url for url in requested if not url.startswith(server.url)] == []
        assert said == []
        stranger = browser.new_context().new_page()
        stranger.goto(f"{server.api}/docs")
        assert "/login" in stranger.url
