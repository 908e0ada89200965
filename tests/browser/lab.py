"""A page with JupyterLab on it, in the words of somebody who uses the panel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from playwright.sync_api import Error, Locator, Page

from tests.conftest import ROOT
from tests.servers import Server

SCREENSHOTS = ROOT / "screenshots"
FAST = {"depth": 2, "base_channels": 4, "patch": 32, "batch": 2, "steps_per_epoch": 10}
"""A network so small that an epoch takes a fraction of a second."""


class Lab:
    """One page. Playwright's own waiting makes every step as patient as it must be."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.requested: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("pageerror", self._note_if_ours)

    def _note_if_ours(self, error: Error) -> None:
        """JupyterLab throws errors of its own when a kernel dies; ours are those with our code in the stack."""
        if "@mlex" in (error.stack or ""):
            self.errors.append(f"{error}\n{error.stack}")

    # ------------------------------------------------------------ the page

    def open(self) -> None:
        """JupyterLab in a fresh workspace, the panel showing."""
        self.page.goto(f"{self.server.url}/lab?token={self.server.token}&reset")
        self.ready()
        self.page.locator(".jp-Launcher").wait_for()  # it comes last, and takes the keyboard
        self.theme("Light")
        self.command("mlex:open-panel")
        self.panel.wait_for()

    def reload(self) -> None:
        """What the reload button does."""
        self.page.reload()
        self.ready()

    def ready(self) -> None:
        """JupyterLab has restored its layout."""
        self.page.wait_for_function("window.jupyterapp?.shell", timeout=90_000)
        self.page.evaluate("window.jupyterapp.restored.then(() => true)")

    def command(self, name: str, **arguments: Any) -> None:
        """A command of the palette."""
        self.page.evaluate("([name, args]) => void window.jupyterapp.commands.execute(name, args)", [name, arguments])

    def theme(self, name: str) -> None:
        """`Light` or `Dark`. JupyterLab remembers it, for other pages too."""
        wanted = f"body[data-jp-theme-name='JupyterLab {name}']"
        if not self.page.locator(wanted).count():
            self.command("apputils:change-theme", theme=f"JupyterLab {name}")
            self.page.wait_for_selector(wanted, state="attached")

    def shot(self, name: str) -> Path:
        """A picture for people to look at."""
        SCREENSHOTS.mkdir(exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.wait_for_timeout(400)  # thumbnails and fonts
        self.page.screenshot(path=path)
        return path

    def strangers(self) -> list[str]:
        """Addresses outside of this machine that the page asked for."""
        return [url for url in self.requested if urlsplit(url).hostname not in ("127.0.0.1", "localhost", None)]

    # ------------------------------------------------------------ the panel

    @property
    def panel(self) -> Locator:
        """The side panel."""
        return self.page.locator(".mlex-Panel")

    @property
    def form(self) -> Locator:
        """What a training needs."""
        return self.panel.get_by_role("form", name="Train")

    @property
    def train_button(self) -> Locator:
        """The button of the form."""
        return self.form.get_by_role("button", name="Train", exact=True)

    def rows(self, section: str) -> Locator:
        """The rows of Data, Models or Runs."""
        return self.panel.get_by_role("list", name=section, exact=True).get_by_role("listitem")

    def row(self, section: str, name: str) -> Locator:
        """The row with this name."""
        return self.rows(section).filter(has=self.page.get_by_text(name, exact=True))

    def pick(self, field: str, value: str) -> None:
        """Choose in the Train form."""
        self.form.get_by_label(field, exact=True).select_option(value)

    def settings(self, **values: object) -> None:
        """Type under Advanced."""
        advanced = self.panel.locator(".mlex-Advanced")
        if advanced.get_attribute("open") is None:
            advanced.locator("summary").click()
        for name, value in values.items():
            advanced.get_by_label(name.capitalize().replace("_", " ")).fill(str(value))
        advanced.locator("summary").click()

    def train(self, model: str = "unet", *, epochs: int) -> str:
        """Train a small network from the form; the run's name."""
        self.pick("Model", model)
        self.settings(epochs=epochs, **FAST)
        name = self.form.get_by_label("Name", exact=True).get_attribute("placeholder")
        assert name
        self.train_button.click()
        self.row("Runs", name).wait_for()
        return name

    # ------------------------------------------------------------ a run's page

    @property
    def run(self) -> Locator:
        """The page of a run in front."""
        return self.page.locator(".mlex-RunPage:not(.lm-mod-hidden)")

    def open_run(self, name: str) -> None:
        """Click the run's row."""
        self.row("Runs", name).get_by_role("button").first.click()
        self.run.get_by_role("heading", name=name).wait_for()

    def drawn(self) -> dict[str, list[list[float | None]]]:
        """What uPlot has on the screen: by chart, its x and its lines."""
        found = self.page.evaluate(
            """() => JSON.stringify(Object.fromEntries(
                [...document.querySelectorAll('.mlex-RunPage:not(.lm-mod-hidden) .mlex-Chart')]
                    .filter(node => node.plot)
                    .map(node => [node.ariaLabel.split(',')[0], node.plot.data.map(line => [...line])])))"""
        )
        return cast("dict[str, list[list[float | None]]]", json.loads(found))

    def inked(self) -> list[float]:
        """How much of each chart is drawn upon; 0 is an empty one."""
        found = self.page.evaluate(
            """() => [...document.querySelectorAll('.mlex-RunPage:not(.lm-mod-hidden) .mlex-Chart')].map(chart => {
                const canvas = chart.querySelector('canvas');
                if (!canvas?.width) return 0;
                const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                return data.filter((value, i) => i % 4 === 3 && value > 0).length
                    / (chart.clientWidth * chart.clientHeight * devicePixelRatio ** 2);
            })"""
        )
        return cast("list[float]", found)

    def copied(self, press: Callable[[], None]) -> str:
        """What a button copies on a page from plain http, where there is no `navigator.clipboard`."""
        self.page.evaluate(
            """() => {
                Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true});
                document.addEventListener(
                    'copy', event => (window.copied = event.clipboardData.getData('text/plain')), {once: true});
            }"""
        )
        press()
        return str(self.page.evaluate("window.copied"))

    def overlaps(self) -> list[str]:
        """What in the panel lies over its footer or under it, or is cut off by the panel's end."""
        found = self.page.evaluate(
            """() => {
                const panel = document.querySelector('.mlex-Panel');
                const footer = panel.querySelector('.mlex-Footer').getBoundingClientRect();
                const parts = panel.querySelectorAll('.jp-AccordionPanel-title, .mlex-Section:not(.lm-mod-hidden)');
                const low = [...parts].filter(node => node.getBoundingClientRect().bottom > footer.top + 1);
                return [...low.map(node => node.innerText.slice(0, 40)),
                        ...(footer.bottom > panel.getBoundingClientRect().bottom + 1 ? ['the footer'] : [])];
            }"""
        )
        return cast("list[str]", found)


def told(home: Path, run: str) -> tuple[dict[int, float], dict[int, float]]:
    """What the run itself wrote: the loss by step and the Dice by epoch, the last word of each."""
    losses: dict[int, float] = {}
    dices: dict[int, float] = {}
    for line in (home / "jobs" / run / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        values = event["values"]
        if event["kind"] == "metrics":
            losses[values["step"]] = values["loss"]
        elif event["kind"] == "epoch":
            dices[values["epoch"]] = values["dice"]
    return losses, dices
