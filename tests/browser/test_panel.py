"""The panel as one finds it: its sections, empty states, themes, keys, and what it does with hostile names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import opened
from tests.browser.lab import SCREENSHOTS, Lab
from tests.servers import Server, end_processes_of, running_server

pytestmark = pytest.mark.needs("browser", "lab")


@pytest.fixture
def empty_lab(browser: Browser, home: Path) -> Iterator[Lab]:
    """JupyterLab over a home where nothing is yet."""
    with running_server(home, home / "work") as server:
        yield from opened(browser, server)
    end_processes_of(home)


def test_the_panel_shows_data_models_the_form_and_what_is_free(lab: Lab) -> None:
    data = lab.row("Data", "sand-tomo")
    expect(data).to_contain_text("12 × 96 × 96 · uint8 · 111 kB")
    expect(data).to_contain_text("3 of 12 labelled")
    expect(data.locator("img.mlex-Thumbnail")).to_have_js_property("complete", True)
    assert data.locator("img").evaluate("image => image.naturalWidth") > 0
    expect(lab.row("Models", "unet")).to_contain_text("trains from zero")
    expect(lab.form.get_by_label("Data", exact=True)).to_have_value("sand-tomo")
    expect(lab.form.get_by_label("Labels", exact=True)).to_have_value("scribbles")
    expect(lab.train_button).to_be_enabled()
    expect(lab.panel.locator(".mlex-Footer")).to_contain_text(re.compile(r"\d+ of \d+ cores? free"))
    lab.shot("panel-light")
    lab.theme("Dark")
    lab.shot("panel-dark")


def test_the_narrowest_panel_still_shows_everything(lab: Lab) -> None:
    width = lab.panel.bounding_box()
    assert width
    assert width["width"] >= 250
    overflow = "node => node.scrollWidth > node.clientWidth + 1"
    for part in lab.panel.locator(".mlex-Top, .mlex-Section, .mlex-Footer").all():
        assert not part.evaluate(overflow), part.inner_text()


@pytest.mark.parametrize("height", [900, 640, 480, 360])
def test_however_low_the_page_nothing_lies_over_the_footer(lab: Lab, height: int) -> None:
    lab.row("Data", "sand-tomo").wait_for()
    lab.page.set_viewport_size({"width": 1280, "height": height})
    lab.page.wait_for_timeout(500)
    assert lab.overlaps() == []


def test_what_cannot_be_drawn_leaves_a_sentence_and_a_way_back(lab: Lab) -> None:
    lab.row("Data", "sand-tomo").wait_for()
    lab.page.route("**/mlex/api/v1/datasets", lambda route: route.fulfill(json=[{"id": "x", "classes": []}]))
    lab.panel.get_by_role("button", name="Refresh data").click()
    expect(lab.panel.get_by_role("alert").filter(has_text="cannot be shown").first).to_be_visible()
    expect(lab.rows("Models").nth(1)).to_be_visible()
    lab.shot("panel-broken")
    lab.page.unroute("**/mlex/api/v1/datasets")
    lab.panel.get_by_role("button", name="Refresh data").click()
    again = lab.panel.get_by_role("button", name=re.compile("Try again"))
    while again.count():
        again.first.click()
    expect(lab.row("Data", "sand-tomo")).to_be_visible()


def test_the_form_is_made_from_the_architectures_schema(lab: Lab) -> None:
    lab.pick("Model", "unet")
    lab.panel.locator(".mlex-Advanced summary").click()
    depth = lab.form.get_by_label("Depth")
    expect(depth).to_have_attribute("placeholder", "4")
    depth.fill("99")
    expect(lab.panel.get_by_text("At most 6.")).to_be_visible()
    expect(lab.train_button).to_be_disabled()
    depth.fill("3")
    expect(lab.panel.locator(".mlex-Advanced summary")).to_contain_text("1 changed ●")
    expect(lab.train_button).to_be_enabled()
    lab.shot("panel-advanced")
    depth.fill("")
    expect(lab.panel.locator(".mlex-Advanced summary")).not_to_contain_text("●")


def test_the_search_finds_over_all_sections_and_says_when_it_finds_nothing(lab: Lab) -> None:
    lab.panel.locator(".jp-AccordionPanel-title").first.focus()
    lab.page.keyboard.press("/")
    lab.page.keyboard.type("truth")
    expect(lab.rows("Data")).to_have_count(1)
    expect(lab.panel.get_by_text("No model with this name.")).to_be_visible()
    lab.panel.get_by_role("button", name="Show all").first.click()
    expect(lab.rows("Data")).to_have_count(2)


def test_a_home_where_nothing_is_offers_the_sample_and_makes_it(empty_lab: Lab) -> None:
    lab = empty_lab
    expect(lab.panel.get_by_text("No data yet").first).to_be_visible()
    expect(lab.panel.get_by_text("No runs yet")).to_be_visible()
    expect(lab.train_button).to_be_disabled()
    lab.shot("panel-empty")
    lab.panel.get_by_role("button", name="Make sample tomogram").click()
    expect(lab.row("Data", "sand-tomo")).to_contain_text("3 of 64 labelled", timeout=60_000)
    expect(lab.train_button).to_be_enabled()


def test_data_that_cannot_be_added_says_why_and_what_to_do(lab: Lab) -> None:
    lab.panel.get_by_role("button", name="Add data").click()
    lab.page.locator(".jp-Dialog input").fill("/no/such/volume.zarr")
    lab.page.locator(".jp-Dialog").get_by_role("button", name="Add").click()
    expect(lab.panel.get_by_role("alert")).to_contain_text("/no/such/volume.zarr")
    lab.shot("panel-error")
    lab.panel.get_by_role("button", name="Dismiss").click()
    expect(lab.panel.get_by_role("alert")).to_have_count(0)


def test_hostile_words_are_shown_as_text(lab: Lab, lab_home: Path) -> None:
    path = lab_home / "<img src=x onerror=alert(1)>.npy"
    np.save(path, np.zeros((2, 8, 8), np.uint8))
    tag = "<script>document.title='taken'</script>"
    with lab.server.client() as client:
        said = client.post("/datasets", json={"path": str(path), "name": "hostile", "tags": [tag]})
        assert said.is_success, said.text
    expect(lab.row("Data", "hostile")).to_contain_text(tag)
    assert lab.panel.locator("script").count() == 0
    assert lab.page.title() != "taken"


def test_nothing_is_asked_of_any_other_machine(lab: Lab) -> None:
    lab.row("Data", "sand-tomo").wait_for()
    lab.page.wait_for_load_state("networkidle")
    assert lab.requested
    assert lab.strangers() == []


def test_the_keyboard_alone_reaches_train(lab: Lab) -> None:
    lab.row("Data", "sand-tomo").wait_for()
    lab.panel.get_by_label("Search models, data and runs").focus()
    reached = []
    for _ in range(30):
        lab.page.keyboard.press("Tab")
        name = lab.page.evaluate("document.activeElement.innerText || document.activeElement.id")
        reached.append(name)
        outline = lab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        if name.strip() == "Train" and lab.page.evaluate("document.activeElement.type") == "submit":
            assert outline == "solid"
            break
    else:
        pytest.fail(f"Tab went by {reached}")


def test_arrow_keys_walk_over_rows_and_enter_picks_one(lab: Lab) -> None:
    lab.rows("Models").nth(1).wait_for()
    lab.rows("Models").first.get_by_role("button").first.focus()
    lab.page.keyboard.press("ArrowDown")
    lab.page.keyboard.press("Enter")
    expect(lab.rows("Models").nth(1).get_by_role("button").first).to_have_attribute("aria-pressed", "true")
    expect(lab.form.get_by_label("Model", exact=True)).to_have_value("unet")


def test_a_guided_start_opens_the_panel_by_itself(browser: Browser, lab_home: Path) -> None:
    with running_server(lab_home, lab_home / "work", MLEX_GUIDED="1") as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{server.url}/lab?token={server.token}&reset")
        expect(page.locator(".mlex-Panel")).to_be_visible(timeout=60_000)
        context.close()


def test_notebook_7_shows_the_panel_too(browser: Browser, lab_home: Path) -> None:
    notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (lab_home / "work" / "empty.ipynb").write_text(json.dumps(notebook))
    with running_server(lab_home, lab_home / "work", app="notebook") as server:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text) if "mlex" in said.text else None)
        page.goto(f"{server.url}/notebooks/empty.ipynb?token={server.token}")
        page.wait_for_function("window.jupyterapp?.commands.hasCommand('mlex:open-panel')", timeout=60_000)
        page.evaluate("window.jupyterapp.restored.then(() => window.jupyterapp.commands.execute('mlex:open-panel'))")
        expect(page.locator(".mlex-Panel")).to_contain_text("sand-tomo", timeout=30_000)
        page.wait_for_selector(".jp-NotebookSpinner, .jupyterlab-splash", state="detached")
        page.wait_for_timeout(1000)
        page.screenshot(path=SCREENSHOTS / "notebook-7.png")
        context.close()
        assert complaints == []


def test_a_server_that_refuses_says_so_at_the_top(lab: Lab, lab_server: Server) -> None:
    lab.page.route("**/mlex/api/v1/hello*", lambda route: route.fulfill(status=403, body="<html>Hub</html>"))
    lab.reload()
    lab.command("mlex:open-panel")
    expect(lab.panel.get_by_role("alert")).to_contain_text("not logged in", timeout=30_000)
    lab.shot("panel-refused")
