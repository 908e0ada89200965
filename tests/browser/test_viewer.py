"""The viewer: a volume is looked at slice by slice, labels are painted on it, and nothing painted is lost."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import Lab
from tests.conftest import mlex_command

pytestmark = pytest.mark.needs("browser", "lab")
DATA, LABELS = "sand-tomo", "scribbles"


class View:
    """A viewer, in the words of somebody who uses it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.node: Locator = lab.page.locator(".mlex-Viewer:visible")
        self.canvas: Locator = self.node.locator("canvas")

    def open(self, data: str = DATA) -> None:
        row = self.lab.row("Data", data)
        row.hover()
        row.get_by_role("button", name="Look at").click()
        self.shown("0 ")

    def shown(self, slice: str) -> None:
        """Wait until this slice is on the canvas: axis and index."""
        self.lab.page.wait_for_function(
            "wanted => [...document.querySelectorAll('.mlex-Viewer canvas')]"
            ".some(c => c.offsetParent && (c.dataset.shown || '').startsWith(wanted))",
            arg=slice,
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            self.canvas.press(key)

    def go(self, z: int) -> None:
        self.node.get_by_role("slider", name="Slice", exact=True).fill(str(z))
        self.shown(f"0 {z}")

    def stroke(self, *points: tuple[float, float]) -> None:
        """Draw with the pointer through places, given as parts of the canvas."""
        box = self.canvas.bounding_box()
        assert box is not None
        mouse = self.lab.page.mouse
        at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        mouse.move(*at[0])
        mouse.down()
        for x, y in at[1:]:
            mouse.move(x, y, steps=5)
        mouse.up()

    def saved(self) -> None:
        steps = self.node.locator(".mlex-Steps")
        expect(steps.get_by_text("Saved", exact=True)).to_be_visible()

    def coloured(self) -> int:
        """How many pixels on the canvas are no grey."""
        return int(
            self.canvas.evaluate(
                "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
                "for (let i = 0; i < d.length; i += 4)"
                " n += Math.max(d[i], d[i+1], d[i+2]) - Math.min(d[i], d[i+1], d[i+2]) > 40; return n }"
            )
        )

    def on_server(self, z: int, labels: str = LABELS) -> dict[str, int]:
        """How many pixels of each class the server has on a slice."""
        with httpx.Client(headers=self.lab.server.headers, timeout=30) as client:
            answer = client.get(f"{self.lab.server.api}/datasets/{DATA}/labels/{labels}/balance")
            found: list[dict[str, Any]] = answer.raise_for_status().json()
        return next(({k: n for k, n in one["counts"].items() if n} for one in found if one["z"] == z), {})


@pytest.fixture
def view(lab: Lab) -> View:
    return View(lab)


def test_a_volume_is_looked_at_along_all_axes(view: View) -> None:
    view.open()
    expect(view.node.locator(".mlex-Classes li")).to_have_count(5)
    view.go(7)
    view.press("ArrowRight")
    view.shown("0 8")
    view.press("PageDown")
    view.shown("0 11")
    expect(view.node.get_by_text("Slice 11 of 12")).to_be_visible()
    view.press("Shift+N")
    expect(view.node.locator(".mlex-Labelled .mlex-mod-selected")).to_be_visible()
    view.lab.page.wait_for_timeout(500)
    assert view.coloured() > 100, "the scribbles are not to be seen"
    view.lab.shot("viewer-look")
    view.press("o")
    expect(view.node.get_by_role("slider", name="Labels", exact=True)).to_have_value("0")
    view.node.get_by_role("button", name="x", exact=True).click()
    view.shown("2 48")


def test_a_segmentation_is_shown_in_its_colours(view: View) -> None:
    view.open("sand-tomo-truth")
    view.lab.page.wait_for_timeout(300)
    assert view.coloured() > 10_000


def test_what_is_painted_is_on_the_server_is_taken_back_and_comes_back(view: View) -> None:
    view.open()
    view.go(4)
    view.press("b", "1")
    view.stroke((0.4, 0.4), (0.5, 0.5), (0.6, 0.42))
    view.saved()
    painted = view.on_server(4)
    assert painted["Pore"] > 50
    assert view.coloured() > 50
    view.lab.shot("viewer-paint")
    undo, redo = (view.node.get_by_role("button", name=name, exact=True) for name in ("Undo", "Redo"))
    view.press("Control+z")
    expect(undo).to_be_disabled()
    expect(redo).to_be_enabled()
    assert view.on_server(4) == {}
    view.press("Control+Shift+Z")
    expect(undo).to_be_enabled()
    assert view.on_server(4) == painted
    view.press("0")
    view.stroke((0.3, 0.3), (0.7, 0.3), (0.7, 0.6), (0.3, 0.6), (0.4, 0.4), (0.6, 0.42))
    expect(redo).to_be_disabled()
    assert view.on_server(4).get("Pore", 0) < painted["Pore"]


def test_a_reload_shows_the_volume_again_with_all_that_was_painted(view: View) -> None:
    view.open()
    view.go(3)
    view.press("b", "2")
    view.stroke((0.4, 0.4), (0.6, 0.6))
    view.saved()
    painted = view.on_server(3)
    assert painted
    view.lab.page.wait_for_timeout(1500)  # JupyterLab notes its layout a second later
    view.lab.reload()
    view.shown("0 ")
    view.go(3)
    view.lab.page.wait_for_timeout(500)
    assert view.coloured() > 50
    view.lab.theme("Dark")
    view.lab.shot("viewer-dark")


def test_keys_of_the_picture_do_nothing_else_in_lab(view: View) -> None:
    view.open()
    tabs = view.lab.page.locator(".lm-TabBar-tab").count()
    view.press("a", "b", "d", "d", "Enter", "m")
    assert view.lab.page.locator(".lm-TabBar-tab").count() == tabs
    expect(view.node.get_by_role("button", name="Brush", exact=True)).to_have_attribute("aria-pressed", "true")


def test_the_wheel_turns_slices_only_once_the_picture_has_the_focus(view: View) -> None:
    view.open()
    view.go(5)
    view.node.get_by_role("slider", name="Slice", exact=True).focus()
    view.canvas.hover()
    view.lab.page.mouse.wheel(0, 100)
    view.lab.page.wait_for_timeout(300)
    view.shown("0 5")
    view.canvas.focus()
    view.lab.page.mouse.wheel(0, 100)
    view.shown("0 6")


def test_two_windows_paint_the_same_place_and_neither_is_lost(view: View) -> None:
    view.open()
    view.go(1)
    view.press("b", "1")
    with httpx.Client(headers=view.lab.server.headers, timeout=30) as other:
        patch = {"index": 1, "row": 20, "column": 20, "height": 60, "width": 60, "value": 2}
        path = f"{view.lab.server.api}/datasets/{DATA}/labels/{LABELS}/strokes"
        other.post(path, json={"patches": [patch], "as_of": 10_000}).raise_for_status()
    view.stroke((0.45, 0.45), (0.55, 0.55))
    mine = view.node.get_by_role("button", name="Paint mine over it")
    mine.wait_for()
    view.lab.shot("viewer-conflict")
    assert "Pore" not in view.on_server(1)
    mine.click()
    expect(mine).to_be_hidden()
    both = view.on_server(1)
    assert both["Pore"] > 0
    assert both["Grain"] > 0


def test_a_prediction_is_laid_over_it_with_the_slices_that_are_worth_labelling(view: View) -> None:
    home = view.lab.server.home
    view.open()
    mlex_command("train", "forest", "--data", DATA, "--labels", LABELS, "-o", "trees", "--wait", home=home)
    mlex_command("predict", "trees", "--data", DATA, "-o", "seg", "--wait", home=home)
    chosen = view.node.get_by_role("combobox").filter(has_text="seg").first
    expect(chosen).to_have_value("seg")  # what was just made is shown by itself
    view.canvas.focus()
    view.press("o")
    expect(view.node.locator(".mlex-Steps [aria-current]")).to_contain_text("Check")
    doubts = view.node.get_by_role("img", name="Uncertainty by slice")
    expect(doubts).to_have_accessible_name(re.compile("worth labelling next: [0-9]+"))
    worth = [int(z) for z in re.findall("[0-9]+", doubts.get_attribute("aria-label") or "")]
    view.press("g")
    view.shown(f"0 {worth[0]}")
    view.lab.page.wait_for_timeout(500)
    assert view.coloured() > 10_000
    view.lab.shot("viewer-check")


def test_labels_begin_with_the_names_of_classes(view: View) -> None:
    view.open("sand-tomo-truth")
    view.node.get_by_label("Classes", exact=True).last.fill("Void, Rock")
    view.node.get_by_role("button", name="Begin to paint").click()
    expect(view.node.locator(".mlex-Classes li")).to_have_count(3)
    view.stroke((0.4, 0.4), (0.5, 0.5))
    view.saved()


def test_the_button_has_the_form_ready_for_what_was_painted(view: View) -> None:
    view.open()
    view.node.get_by_role("button", name="Train…").click()
    expect(view.lab.form.get_by_label("Data", exact=True)).to_have_value(DATA)
    expect(view.lab.form.get_by_label("Labels", exact=True)).to_have_value(LABELS)
