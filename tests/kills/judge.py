"""Count from outside, without asking the engine: lost, twice, stuck, wrong.

The ledger says how often each command began, the client what it was told, the database what is committed, and the
folders hold the bytes that a training, a prediction and a save of labels came to.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from tests.kills.client import Client
from tests.kills.report import Report
from tests.kills.work import Work


def query(home: Path, text: str, *values: str) -> list[tuple[Any, ...]]:
    """Rows of the home's database."""
    database = sqlite3.connect(home / "mlex.db")
    try:
        return database.execute(text, values).fetchall()
    finally:
        database.close()


def unfinished(home: Path) -> list[str]:
    """The ids of the jobs that have not ended."""
    return [id for (id,) in query(home, "SELECT id FROM jobs WHERE state IN ('waiting', 'queued', 'running')")]


def followed(home: Path) -> Counter[str]:
    """How often the rule made a job of the end of each job."""
    keys = query(home, "SELECT key FROM jobs WHERE key LIKE 'rule %'")
    events = dict(query(home, "SELECT id, subject FROM events WHERE kind = 'state'"))
    return Counter(events[int(key.rsplit(" ", 1)[-1])] for (key,) in keys)


def unfollowed(home: Path) -> list[str]:
    """The commands that are done, and of which the rule has made nothing."""
    done = query(home, "SELECT id FROM jobs WHERE name LIKE 'command-%' AND state = 'done'")
    made = followed(home)
    return [id for (id,) in done if not made[id]]


class Judge:
    """Fills the report of one home."""

    def __init__(self, home: Path, work: Work, client: Client, report: Report) -> None:
        self.home = home
        self.work = work
        self.client = client
        self.report = report
        self.jobs = {id: (name, state) for id, name, state in query(home, "SELECT id, name, state FROM jobs")}
        self.there = [id for id in client.acknowledged.values() if id in self.jobs]

    def judge(self) -> None:
        """All that is to be counted."""
        report, client = self.report, self.client
        report.acknowledged = len(client.acknowledged)
        report.asked_again, report.posted_twice = client.asked_again, client.posted_twice
        report.attempts = sum(attempt for (attempt,) in query(self.home, "SELECT attempt FROM jobs"))
        lost = [id for id in client.acknowledged.values() if id not in self.jobs]
        report.lost += [*client.unanswered, *lost]
        report.stuck += unfinished(self.home)
        states = [self.jobs[id] for id in self.there]
        report.wrong += [f"{name} is {state}" for name, state in states if state != "done"]
        report.twice += [*client.twice, *self._more_than_once()]
        report.wrong += [f"{id}: the stream is not what its folder says" for id in self.there if not self._streamed(id)]
        self._judge_rule()
        self._judge_trainings()
        self._judge_predictions()
        self._judge_labels()

    def _more_than_once(self) -> list[str]:
        lines = self.work.ledger.read_text().splitlines()
        ended = query(
            self.home,
            """SELECT subject FROM events WHERE kind = 'state' AND json_extract("values", '$.state') = 'done'""",
        )
        keys = query(self.home, "SELECT key FROM jobs WHERE key IS NOT NULL")
        counted = (Counter(lines), Counter(id for (id,) in ended), Counter(key for (key,) in keys))
        met = [line for line in lines if line.endswith("meets itself")]
        return met + [f"{what}: {n}×" for counts in counted for what, n in counts.items() if n > 1]

    def _streamed(self, job_id: str) -> bool:
        """Whether what a run said is in the stream once, in order, with nothing left out."""
        text = 'SELECT "values" FROM events WHERE subject = ? AND kind NOT IN (?, ?) ORDER BY id'
        streamed = [json.loads(values) for (values,) in query(self.home, text, job_id, "state", "submitted")]
        file = self.home / "jobs" / job_id / "events.jsonl"
        written = []
        for line in file.read_text().splitlines() if file.exists() else []:
            try:
                written.append(json.loads(line)["values"])
            except ValueError:
                continue  # a line that a kill left half written
        return streamed == written

    def _judge_rule(self) -> None:
        """One job for each command that is done, and for nothing else."""
        made = followed(self.home)
        self.report.followed = sum(made.values())
        self.report.lost += [f"no job follows {id}" for id in unfollowed(self.home)]
        self.report.twice += [f"{id} is followed {n}×" for id, n in made.items() if n > 1]
        self.report.wrong += [f"{id} is followed" for id in made if not self.jobs[id][0].startswith("command-")]

    # ------------------------------------------------------------ results

    def _called(self, kind: str) -> list[str]:
        return [id for id in self.there if self.jobs[id][0].startswith(f"{kind}-") and self.jobs[id][1] == "done"]

    def _judge_trainings(self) -> None:
        """The same parameters and the same seed: the same bytes, however often it was killed."""
        mine = self._called("train")
        self.report.trainings = len(mine)
        undisturbed = self._trained(self.work.trained)
        self.report.wrong += [f"{id}: other weights" for id in mine if self._trained(id) != undisturbed]

    def _trained(self, job_id: str) -> list[bytes]:
        """The weights that are kept, which may be an early epoch's, and all that there was after the last step."""
        folder = self.home / "jobs" / job_id
        last = max(folder.glob("checkpoint/step-*.safetensors"))
        return [path.read_bytes() for path in (folder / "weights.safetensors", last)]

    def _judge_predictions(self) -> None:
        """Each registered one dataset, with the voxels of the one that nobody disturbed."""
        mine = self._called("predict")
        self.report.predictions = len(mine)
        undisturbed = voxels(self._datasets(self.work.predicted)[0]["uri"])
        for job_id in mine:
            registered = self._datasets(job_id)
            if len(registered) != 1:
                self.report.twice.append(f"{job_id}: {len(registered)} datasets")
            elif not np.array_equal(voxels(registered[0]["uri"]), undisturbed):
                self.report.wrong.append(f"{job_id}: other voxels")

    def _datasets(self, job_id: str) -> list[dict[str, Any]]:
        rows = query(self.home, "SELECT record FROM datasets WHERE id = ?", f"ds-{job_id}")
        return [json.loads(record) for (record,) in rows]

    def _judge_labels(self) -> None:
        """Versions are 1, 2, 3…; each is whole, and none that was acknowledged is missing or was given twice."""
        rows = query(self.home, "SELECT record FROM labels WHERE name = ? ORDER BY version", "painted")
        records = [json.loads(record) for (record,) in rows]
        versions, saved = [record["version"] for record in records], self.client.saved
        self.report.label_sets = len(saved)
        self.report.lost += [f"labels v{version}" for version in saved if version not in versions]
        self.report.twice += [f"labels v{version}: {n}×" for version, n in Counter(saved).items() if n > 1]
        if versions != list(range(1, len(versions) + 1)):
            self.report.wrong.append(f"labels have the versions {versions}")
        painted = voxels(self.client.labels)
        whole = {record["version"]: np.array_equal(voxels(record["uri"]), painted) for record in records}
        self.report.wrong += [f"labels v{version}: other voxels" for version, same in whole.items() if not same]


def voxels(uri: str) -> np.ndarray[Any, Any]:
    """All of a zarr array, or of the finest level of an OME-Zarr."""
    found = zarr.open(uri, mode="r")
    return np.asarray((found if isinstance(found, zarr.Array) else zarr.open_array(f"{uri}/0", mode="r"))[:])
