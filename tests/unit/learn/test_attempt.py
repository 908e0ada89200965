"""One attempt, from inside: it says what happens, a line an event, and hears when it is to stop."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.runevents import read_events
from mlex_jupyter.types import JobFile
from tests.engine import spec

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGALRM)


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    return JobFolder.make(tmp_path / "run-1", JobFile(id="run-1", name="run", owner="tester", spec=spec()))


@pytest.fixture
def attempt(folder: JobFolder) -> Attempt:
    return Attempt(folder, folder.job(), 1)


@pytest.fixture
def as_before() -> Iterator[None]:
    """The signals as they were."""
    before = {number: signal.getsignal(number) for number in HEARD}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_what_it_says_is_read_as_it_was_said(attempt: Attempt) -> None:
    attempt.emit("epoch", epoch=1, loss=0.5, text="Grüße\n🌱")
    attempt.progress(1, 4, "epoch", eta_s=30.0, score=0.7)
    found = read_events(attempt.folder.events, 0).events
    assert found[0].values == {"epoch": 1, "loss": 0.5, "text": "Grüße\n🌱"}
    assert found[1].values["fraction"] == 0.25
    assert attempt.folder.events.read_bytes().count(b"\n") == 2
    assert attempt.folder.events.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("done", "total", "fraction"), [(0, 0, 1.0), (5, 4, 1.0), (0, 4, 0.0)])
def test_progress_is_a_fraction_whatever_is_counted(attempt: Attempt, done: int, total: int, fraction: float) -> None:
    attempt.progress(done, total, "slice")
    assert read_events(attempt.folder.events, 0).events[0].values["fraction"] == fraction


def test_a_loss_that_is_no_number_is_said_all_the_same(attempt: Attempt) -> None:
    attempt.emit("epoch", loss=float("nan"), dice=0.5)
    assert read_events(attempt.folder.events, 0).events[0].values == {"loss": None, "dice": 0.5}


def test_a_note_is_in_the_log_and_in_the_stream(attempt: Attempt, capsys: pytest.CaptureFixture[str]) -> None:
    attempt.note("Reading the volume")
    assert capsys.readouterr().out.endswith(" Reading the volume\n")
    assert read_events(attempt.folder.events, 0).events[0].values == {"text": "Reading the volume"}


def test_many_threads_do_not_break_each_others_lines(attempt: Attempt) -> None:
    def talk(name: int) -> None:
        for number in range(100):
            attempt.emit("note", text=f"{name}-{number} " + "x" * 500)

    threads = [threading.Thread(target=talk, args=[name]) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = [event.values["text"].split()[0] for event in read_events(attempt.folder.events, 0).events]
    assert sorted(said) == sorted(f"{name}-{number}" for name in range(4) for number in range(100))


def test_a_line_that_a_kill_left_half_written_is_closed_off(folder: JobFolder) -> None:
    Attempt(folder, folder.job(), 1).emit("note", text="before")
    with folder.events.open("ab") as file:
        file.write(b'{"kind": "note", "val')
    Attempt(folder, folder.job(), 2).emit("note", text="after")
    assert [event.values["text"] for event in read_events(folder.events, 0).events] == ["before", "after"]


def test_events_are_not_written_through_a_link(folder: JobFolder, tmp_path: Path) -> None:
    folder.events.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Attempt(folder, folder.job(), 1)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("number", HEARD[:3])
def test_asked_to_stop_it_knows_and_goes_on_saving(attempt: Attempt, as_before: None, number: signal.Signals) -> None:
    attempt.listen()
    assert not attempt.stopping
    os.kill(os.getpid(), number)
    assert attempt.stopping
    assert not attempt.out_of_time


def test_the_time_limit_stops_it_and_says_so(
    attempt: Attempt, as_before: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLEX_TIME_LIMIT_S", "0.05")
    attempt.listen()
    signal.sigtimedwait([], 1)
    assert attempt.stopping
    assert attempt.out_of_time


def test_a_limit_beyond_all_is_a_long_one(attempt: Attempt, as_before: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLEX_TIME_LIMIT_S", str(10**30 * 60))
    attempt.listen()
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 1e7
    assert not attempt.stopping


def test_without_a_time_limit_it_is_not_stopped(attempt: Attempt, as_before: None) -> None:
    attempt.listen()
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_each_line_is_json_with_its_attempt(attempt: Attempt) -> None:
    attempt.emit("note", text="x")
    line = json.loads(attempt.folder.events.read_text())
    assert (line["attempt"], line["kind"]) == (1, "note")
    assert line["time"] > 1.6e9
