"""The leaderboard of a tuning: a row a trial, the best first; and the lines that are shown while it grows."""

from __future__ import annotations

from mlex_jupyter.faces.cells import COLOURS
from mlex_jupyter.faces.grids import Grid, text_grid
from mlex_jupyter.faces.words import clock, state_word, words
from mlex_jupyter.types import Contender, JobState, Leaderboard

SHOWN = 10
"""So many trials are shown while one waits."""


def board(found: Leaderboard, most: int | None = None) -> Grid:
    """The trials, the best first."""
    names = [one.name for one in found.tuning.space]
    rows = found.contenders[:most]
    metric = found.tuning.spec.metric.replace("_", " ")
    return Grid(
        titles=("State", "Trial", metric[:1].upper() + metric[1:], *names, "How far"),
        right=(False, False, True, *[True] * len(names), False),
        rows=tuple(
            (_state(one), one.run, words(one.value), *(words(one.params.get(name)) for name in names), _far(one))
            for one in rows
        ),
        colours=tuple(COLOURS.get(one.state) for one in rows),
        notes=(None,) * len(rows),
    )


def live(found: Leaderboard) -> str:
    """How it goes in one line, and the best trials under it."""
    return "\n".join([_line(found), *(text_grid(board(found, SHOWN)).split("\n") if found.contenders else [])])


def _line(found: Leaderboard) -> str:
    tuning = found.tuning
    said = [f"{tuning.name} · {tuning.asked - tuning.running} of {tuning.trials} trials", f"{tuning.running} at work"]
    said += [f"{count} {state}" for state, count in (("pruned", tuning.pruned), ("failed", tuning.failed)) if count]
    if tuning.best:
        said.append(f"best {tuning.spec.metric} {words(tuning.value)} ({tuning.best})")
    if tuning.message:
        said.append(tuning.message)
    return " · ".join([*said, *([f"about {clock(found.eta_s)} left"] if found.eta_s else [])])


def _state(one: Contender) -> str:
    return "⊘ Pruned" if one.pruned else state_word(one.state)


def _far(one: Contender) -> str:
    if one.state == JobState.RUNNING and one.total:
        return f"epoch {one.done} of {one.total}" + (f" · {clock(one.eta_s)} left" if one.eta_s else "")
    return (one.reason or "").removeprefix("pruned: ")
