"""Training from the panel: watched live, reloaded, cut off, cancelled, resumed. The run never notices."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.lab import Lab, told
from tests.servers import Server, processes_of

pytestmark = [pytest.mark.needs("browser", "lab", "torch"), pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def nothing_left_running(lab_server: Server) -> Iterator[None]:
    """A test that fails must not leave the next one waiting for cores."""
    yield
    with lab_server.client() as client:
        for job in client.get("/jobs").json():
            if job["state"] in ("waiting", "queued", "running"):
                client.post(f"/jobs/{job['id']}/cancel")


def run_id(lab: Lab, name: str) -> str:
    """The id of the newest run of this name."""
    with lab.server.client() as client:
        found = client.get(f"/jobs/{name}").raise_for_status().json()["id"]
    assert isinstance(found, str)
    return found


def wait_for_epoch(lab: Lab, epoch: int) -> None:
    """The run's page says that this epoch, or a later one, is reached."""
    lab.page.wait_for_function(
        "least => +(/epoch (\\d+) of/.exec(document.querySelector('.mlex-RunHead-progress')?.innerText)?.[1]) >= least",
        arg=epoch,
        timeout=90_000,
    )


def is_whole(lab: Lab, home: Path, run: str) -> None:
    """The chart has every point that the run wrote, no gap, and no other."""
    deadline = time.monotonic() + 30
    lab.page.wait_for_function("[...document.querySelectorAll('.mlex-Chart')].filter(node => node.plot).length == 2")
    while True:
        losses, dices = told(home, run)
        drawn = lab.drawn()
        steps, train, validation = drawn["Loss"]
        epochs, mean = drawn["Validation Dice"]
        if len(steps) >= len(losses) and len(epochs) >= len(dices):
            break
        assert time.monotonic() < deadline, f"{len(steps)} of {len(losses)} steps are drawn"
        lab.page.wait_for_timeout(200)
    seen = dict(zip(map(int, filter(None, steps)), train, strict=True))
    assert {step: seen[step] for step in losses} == losses
    assert steps == sorted(steps)
    score = dict(zip(map(int, filter(None, epochs)), mean, strict=True))
    assert {epoch: score[epoch] for epoch in dices} == dices
    assert sum(value is not None for value in validation) == len(epochs)


def test_a_training_is_started_watched_and_ends_with_its_score(lab: Lab, lab_home: Path) -> None:
    name = lab.train(epochs=8)
    lab.open_run(name)
    wait_for_epoch(lab, 2)
    before = len(lab.drawn()["Loss"][0])
    lab.page.wait_for_function(
        "least => document.querySelector('.mlex-Chart').plot.data[0].length > least", arg=before, timeout=60_000
    )
    expect(lab.run.locator(".mlex-Stage img")).to_be_visible()
    lab.shot("run-live")
    expect(lab.row("Runs", name)).to_contain_text("Done", timeout=120_000)
    expect(lab.row("Runs", name)).to_contain_text(re.compile(r"Dice 0\.\d\d"))
    expect(lab.page.locator(".Toastify")).to_contain_text(f"{name} finished. Dice 0.")
    is_whole(lab, lab_home, run_id(lab, name))
    lab.page.locator(".Toastify__close-button, .jp-toast-button").first.wait_for()
    lab.shot("run-done")
    lab.theme("Dark")
    lab.shot("run-done-dark")
    assert len(lab.inked()) == 2
    assert all(share > 0.01 for share in lab.inked()), f"a chart is empty in the new theme: {lab.inked()}"
    copied = lab.copied(lambda: lab.run.get_by_role("button", name="Copy log").click())
    assert "epoch   8" in copied


def test_the_curve_comes_back_whole_after_reload_kernel_kill_and_server_restart(lab: Lab, lab_home: Path) -> None:
    lab.command("notebook:create-new", kernelName="python3")
    lab.page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    name = lab.train(epochs=400)
    run = run_id(lab, name)
    lab.open_run(name)
    wait_for_epoch(lab, 3)

    lab.reload()
    lab.run.get_by_role("heading", name=name).wait_for()
    wait_for_epoch(lab, 4)
    is_whole(lab, lab_home, run)

    kernels = [process for process in processes_of(lab_home) if "ipykernel_launcher" in " ".join(process.cmdline())]
    assert kernels
    for kernel in kernels:
        kernel.kill()
    wait_for_epoch(lab, 6)
    is_whole(lab, lab_home, run)

    lab.server.kill()
    expect(lab.panel.get_by_text("No connection since")).to_be_visible()
    expect(lab.row("Runs", name)).to_contain_text("Last seen running")
    lab.shot("panel-offline")
    assert lab.overlaps() == []
    written = len(told(lab_home, run)[0])
    lab.page.wait_for_timeout(2000)
    assert len(told(lab_home, run)[0]) > written, "the run noticed that the server was gone"
    said = re.compile("Server Connection Error|Kernel Restarting")  # Lab says so too, sooner or later
    lost = lab.page.locator(".jp-Dialog", has_text=said).first
    lab.page.add_locator_handler(lost, lambda: lost.locator(".jp-Dialog-button").last.click(), no_wait_after=True)
    lab.server.start()
    expect(lab.panel.get_by_text("No connection since")).to_have_count(0, timeout=60_000)
    expect(lab.row("Runs", name)).to_contain_text("Running")
    is_whole(lab, lab_home, run)

    lab.run.get_by_role("button", name="Stop", exact=True).click()
    expect(lab.row("Runs", name)).to_contain_text("Cancelled", timeout=60_000)
    is_whole(lab, lab_home, run)


def test_a_stopped_run_keeps_its_checkpoint_and_goes_on_from_it(lab: Lab, lab_home: Path) -> None:
    name = lab.train(epochs=60)
    run = run_id(lab, name)
    lab.open_run(name)
    wait_for_epoch(lab, 3)
    lab.panel.get_by_role("button", name=f"Stop {name}").click()
    expect(lab.row("Runs", name)).to_contain_text("Cancelled", timeout=60_000)
    lab.shot("run-cancelled")
    kept = list((lab_home / "jobs" / run / "checkpoint").iterdir())
    assert kept
    stopped_at = max(told(lab_home, run)[1])
    lab.row("Runs", name).get_by_role("button", name="Resume").click()
    expect(lab.row("Runs", name)).to_contain_text("Running", timeout=60_000)
    wait_for_epoch(lab, stopped_at + 2)
    epochs = [epoch for epoch in lab.drawn()["Validation Dice"][0] if epoch]
    assert epochs == list(range(1, len(epochs) + 1)), "the resumed run began again, or left a gap"
    is_whole(lab, lab_home, run)
    lab.row("Runs", name).get_by_role("button").first.focus()
    lab.page.keyboard.press("Delete")
    lab.page.locator(".jp-Dialog").get_by_role("button", name="Stop", exact=True).click()
    expect(lab.row("Runs", name)).to_contain_text("Cancelled", timeout=60_000)


@pytest.mark.needs("dlsia")
def test_a_done_run_predicts_its_data_and_is_published(lab: Lab) -> None:
    name = lab.train("tunet", epochs=2)
    expect(lab.row("Runs", name)).to_contain_text("Done", timeout=120_000)
    lab.row("Runs", name).get_by_role("button", name=f"More for {name}").click()
    lab.page.get_by_role("menuitem", name="Publish…").click()
    lab.page.locator(".jp-Dialog input").fill("pores-tunet")
    lab.page.locator(".jp-Dialog").get_by_role("button", name="Publish").click()
    model = lab.row("Models", "pores-tunet")
    expect(model).to_contain_text("v1")
    expect(model).to_contain_text("Dice 0.")
    lab.open_run(name)
    expect(lab.run.get_by_label("Lineage")).to_contain_text("pores-tunet v1")
    expect(lab.run.get_by_label("Lineage")).to_contain_text("Prediction of its 3 labelled slices")
    lab.run.get_by_role("button", name="Predict", exact=True).click()
    expect(lab.rows("Data").filter(has_text="prediction")).to_have_count(1, timeout=90_000)
    model.hover()
    lab.shot("panel-published")


def test_a_failed_run_says_why_and_offers_to_resume(lab: Lab) -> None:
    with lab.server.client() as client:
        said = client.post("/jobs", json={"name": "broken", "task": {"kind": "run", "argv": ["false"]}})
        assert said.is_success, said.text
    expect(lab.row("Runs", "broken")).to_contain_text("Failed", timeout=60_000)
    lab.open_run("broken")
    alert = lab.run.get_by_role("alert")
    expect(alert).to_be_visible()
    assert "Traceback" not in alert.inner_text()
    expect(alert.get_by_role("button", name="Resume")).to_be_visible()
    lab.shot("run-failed")
