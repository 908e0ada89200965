"""The leaderboard of a tuning, as a terminal and a notebook show it, also while it grows."""

from __future__ import annotations

import io

import pytest

from mlex_jupyter.faces.boards import live
from mlex_jupyter.faces.present import record_html, text
from mlex_jupyter.faces.watch import PlainLines, TerminalLine
from mlex_jupyter.types import Contender, JobState, Leaderboard, TrainTask, Tuning, TuningSpec, Varied, now

SPACE = (
    Varied(name="depth", kind="int", low=2, high=5),
    Varied(name="learning_rate", kind="float", low=1e-4, high=1e-2, log=True),
    Varied(name="loss", kind="choice", choices=("dice", "ce")),
)


def board(trials: int = 3, **more: object) -> Leaderboard:
    params = {"depth": 3, "learning_rate": 0.003, "loss": "ce"}
    spec = TuningSpec(task=TrainTask(model="unet", data="sand", labels="scribbles"), trials=20)
    stands = {"state": "running", "asked": trials, "running": 1, "done": trials - 2, "pruned": 1, "created": now()}
    best = {"best": "it-001", "value": 0.8312}
    tuning = Tuning(id="tuning-1", name="it", owner="me", spec=spec, space=SPACE, trials=20, **stands | best | more)  # type: ignore[arg-type]
    done = [
        Contender(number=n, run=f"it-{n:03d}", id=f"run-{n}", state=JobState.DONE, value=0.83 - n / 100, params=params)
        for n in range(1, trials - 1)
    ]
    far = {"state": JobState.RUNNING, "value": 0.4, "done": 2, "total": 8, "eta_s": 70.0}
    why = "pruned: at epoch 2 its dice 0.2 is below the median 0.5"
    ended = {"state": JobState.CANCELLED, "pruned": True, "value": 0.2, "reason": why}
    others = [
        Contender(number=trials - 1, run="it-running", id="run-r", params=params, **far),  # type: ignore[arg-type]
        Contender(number=trials, run="it-pruned", id="run-p", params=params, **ended),  # type: ignore[arg-type]
    ]
    return Leaderboard(tuning=tuning, contenders=(*done, *others), eta_s=130, publish="mlex publish it-001 it")


def test_it_says_what_is_varied_how_each_trial_did_and_how_to_keep_the_best() -> None:
    said = text(board(), 160)
    for part in (
        "it, ● Running",
        "depth: 2 to 5",
        "learning_rate: 0.0001 to 0.01, by orders of magnitude",
        "loss: dice, ce",
        "2 of 20: 1 done, 1 pruned, 1 at work",
        "about 2:10",
        "mlex publish it-001 it",
        "epoch 2 of 8 · 1:10 left",
        "⊘ Pruned",
    ):
        assert part in said
    assert "  at epoch 2 its dice 0.2 is below the median 0.5" in said, "and not the same word twice"
    assert "<td" in record_html(board()) and "learning_rate" in record_html(board())


def test_while_one_waits_there_is_a_line_and_the_best_ten_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    first, *below = live(board(trials=15)).split("\n")
    assert first == "it · 14 of 20 trials · 1 at work · 1 pruned · best dice 0.8312 (it-001) · about 2:10 left"
    assert len(below) == 1 + 10 and below[1].split()[:3] == ["✔", "Done", "it-001"]
    assert live(board().model_copy(update={"contenders": ()})).count("\n") == 0


def test_a_terminal_writes_over_all_of_it_and_a_log_has_a_line_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("LINES", "4")
    stream = io.StringIO()
    line = TerminalLine(stream)
    line.say("one\ntwo\nthree\nfour\nfive", step=True)
    line.say("one", step=False)
    line.say("x" * 40, step=False)
    shown = "\r\x1b[2Kone\ntwo\nthree" + "\r\x1b[2A\x1b[Jone" + "\r\x1b[2K" + "x" * 28 + "…"
    assert stream.getvalue() == shown
    log = io.StringIO()
    lines = PlainLines(log)
    lines.say("one\ntwo", step=True)
    lines.say("three", step=False)
    assert log.getvalue() == "one\n"
