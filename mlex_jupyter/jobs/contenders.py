"""The trials of a tuning: ordinary jobs, known by their keys, each `ID trial NUMBER`.

Who has the same key is the same job, so no trial is asked for twice, whoever is killed; and which there are is only
to be found in the database, so none is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from mlex_jupyter.jobs.experiments import better_of
from mlex_jupyter.jobs.rows import FINAL_STATES
from mlex_jupyter.store.tables import Row, jobs
from mlex_jupyter.types import Contender, JobState, Leaderboard, Tuning, TuningSpec, Varied

PRUNED = "pruned: "
"""How the reason begins for which a trial was ended early."""
ABOUT = ("id", "name", "key", "request", "progress", "metrics", "started", "ended")
STANDS = ("state", "reason", "message", "cancel", "cancel_reason", "attempt", "asked")


class Found(NamedTuple):
    """A trial, and the row of its job."""

    contender: Contender
    row: Row

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self.row.state in FINAL_STATES

    @property
    def stands(self) -> str:
        """As a search knows trials: done with a value, pruned, failed, or running."""
        if not self.ended:
            return "running"
        if self.row.state == JobState.DONE:
            return "failed" if self.contender.value is None else "done"
        return "pruned" if self.contender.pruned else "failed"


def key_of(tuning: str, number: int) -> str:
    """The key of a trial's job."""
    return f"{tuning} trial {number}"


def contenders(tx: Connection, tuning: Row) -> list[Found]:
    """Those that were asked for, in the order of their numbers."""
    spec = TuningSpec.model_validate(tuning.record["spec"])
    names = [Varied.model_validate(one).name for one in tuning.record["space"]]
    numbers = {key_of(tuning.id, number): number for number in range(1, tuning.trials + 1)}
    mine = jobs.c.owner == tuning.owner, jobs.c.key.in_(list(numbers))
    rows = tx.execute(select(*(jobs.c[name] for name in (*ABOUT, *STANDS))).where(*mine)).all()
    found = [Found(_contender(row, numbers[row.key], spec.metric, names), row) for row in rows]
    return sorted(found, key=lambda one: one.contender.number)


def _contender(row: Row, number: int, metric: str, names: Iterable[str]) -> Contender:
    params, far = row.request["task"]["params"], row.progress or {}
    ended = row.state in FINAL_STATES
    return Contender(
        number=number,
        run=row.name,
        id=row.id,
        state=JobState(row.state),
        pruned=row.state == JobState.CANCELLED and (row.cancel_reason or "").startswith(PRUNED),
        value=_value(row, metric),
        params={name: params.get(name) for name in names},
        done=far.get("done"),
        total=far.get("total"),
        eta_s=None if ended else far.get("eta_s"),
        reason=row.message or row.reason,
    )


def _value(row: Row, metric: str) -> float | None:
    """What it came to; of one that has not ended well, the best that is known so far."""
    value: Any = (row.metrics or {}).get(metric)
    if row.state != JobState.DONE and metric == "dice":
        value = (row.progress or {}).get("score")
    return float(value) if isinstance(value, int | float) else None


def counted(tuning: Tuning, found: Sequence[Found]) -> Tuning:
    """The tuning, with how its trials stand."""
    stand = [one.stands for one in found]
    best = best_of(tuning.spec.metric, found)
    return tuning.model_copy(
        update={
            "asked": len(found),
            **{state: stand.count(state) for state in ("running", "done", "pruned", "failed")},
            "best": best and best.contender.run,
            "value": best and best.contender.value,
        }
    )


def best_of(metric: str, found: Iterable[Found]) -> Found | None:
    """Of those that are done, the best."""
    done = [one for one in found if one.stands == "done"]
    return min(done, key=lambda one: _rank(metric, one.contender), default=None)


def _rank(metric: str, contender: Contender) -> tuple[bool, float, int]:
    """The best first; those of which nothing is known last."""
    value = contender.value
    sign = 1 if better_of(metric) is min else -1
    return (value is None, sign * (value or 0.0), contender.number)


def leaderboard(tuning: Tuning, found: Sequence[Found]) -> Leaderboard:
    """The trials, the best first."""
    best = best_of(tuning.spec.metric, found)
    return Leaderboard(
        tuning=counted(tuning, found),
        contenders=tuple(sorted((one.contender for one in found), key=lambda one: _rank(tuning.spec.metric, one))),
        eta_s=_eta_s(tuning, found),
        publish=best and f"mlex publish {best.contender.run} {tuning.name}",
    )


def _eta_s(tuning: Tuning, found: Sequence[Found]) -> float | None:
    """By the mean time of those that have ended; None where none has, or nothing is left to do."""
    over = [one.row for one in found if one.ended and one.row.ended and one.row.started]
    took: list[float] = [row.ended - row.started for row in over]
    left = tuning.trials - sum(one.ended for one in found)
    if not took or not left or tuning.state != "running":
        return None
    return round(sum(took) / len(took) * left / min(tuning.spec.at_once, left), 1)
