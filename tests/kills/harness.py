"""Kill at random moments and at failpoints, then count from outside: lost, twice, stuck.

Every job appends a line to a ledger as its command begins, so that a run which happens twice is seen whatever the
engine believes; and every prediction registers one dataset, whose voxels must be those of an undisturbed run.
"""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from tests.kills import processes
from tests.kills.client import Client
from tests.servers import Server, end_processes_of

FAILPOINTS = {
    "server.acknowledging": 0.03,
    "supervisor.before_submit": 0.06,
    "supervisor.after_submit": 0.06,
    "supervisor.took_in": 0.03,
    "supervisor.before_finish": 0.06,
    "supervisor.after_finish": 0.06,
    "worker.claimed": 0.08,
    "worker.before_result": 0.08,
    "worker.after_result": 0.08,
    "predict.written": 0.2,
    "predict.recorded": 0.2,
}
"""How likely a process that comes by kills itself there."""

VICTIMS = ("server", *["supervisor"] * 4, *["worker"] * 4)
FINAL_WITHIN_S = 240


@dataclass
class Report:
    """What was done, and what came of it."""

    seed: int
    kills: dict[str, int] = field(default_factory=dict)
    failpoints: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    predictions: int = 0
    asked_again: int = 0
    attempts: int = 0
    seconds: float = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        """All kills, from outside and at failpoints."""
        return sum(self.kills.values()) + sum(self.failpoints.values())

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing twice, none stuck, every result right."""
        return not (self.lost or self.twice or self.stuck or self.wrong)

    def text(self) -> str:
        """The report for people."""
        return json.dumps({"killed": self.killed, "clean": self.clean, **asdict(self)}, indent=2)


class Harness:
    """One home, one real server, one client, and somebody with a list of whom to kill."""

    def __init__(self, home: Path, *, seed: int, in_flight: int = 8) -> None:
        self.home = home
        self.chance = random.Random(seed)
        self.ledger = home / "ledger.txt"
        self.points = home / "failpoints.txt"
        self.armed = {
            "MLEX_FAILPOINTS": ",".join(f"{name}={chance}" for name, chance in FAILPOINTS.items()),
            "MLEX_FAILPOINT_LOG": str(self.points),
        }
        self.server = Server(home, home / "work", app="server", MLEX_LOCAL_CPUS=str(in_flight), MLEX_RETRIES="10")
        self.client = Client(self.server, in_flight, self._spec)
        self.model: str | None = None
        self.expected: np.ndarray[Any, Any] | None = None
        self.report = Report(seed)

    # ------------------------------------------------------------ what is asked for

    def prepare(self) -> None:
        """A small sample, a small trained network, and what it predicts when nobody disturbs it."""
        self.server.start()
        with self.server.client() as http:
            http.post("/sample", json={"size": 64, "slices": 8}).raise_for_status()
            params = {"epochs": 1, "steps_per_epoch": 4, "patch": 32, "batch": 2, "depth": 2, "base_channels": 4}
            task = {"kind": "train", "model": "unet", "data": "sand-tomo", "labels": "scribbles", "params": params}
            self._finish(http, {"name": "net", "task": task})
            done = self._finish(http, {"name": "undisturbed", "task": self._prediction(), "resources": {"cpus": 1}})
            self.expected = self._voxels(http, done["outputs"][-1]["name"])
        self.model = "net"

    def _prediction(self) -> dict[str, Any]:
        return {"kind": "predict", "model": "net", "data": "sand-tomo"}

    def _spec(self, number: int) -> dict[str, Any]:
        if self.model and number % 12 == 5:
            return {"name": f"seg-{number}", "task": self._prediction(), "resources": {"cpus": 1}}
        line = f'echo "$MLEX_JOB $MLEX_ATTEMPT" >> "{self.ledger}"; sleep {self.chance.uniform(0.1, 0.8):.2f}'
        return {"name": f"job-{number}", "task": {"kind": "run", "argv": ["/bin/sh", "-c", line], "retries": 10}}

    def _finish(self, http: Any, spec: dict[str, Any]) -> dict[str, Any]:
        job = http.post("/jobs", json=spec).raise_for_status().json()
        deadline = time.monotonic() + 120
        while job["state"] not in ("done", "failed", "lost", "cancelled") and time.monotonic() < deadline:
            time.sleep(0.2)
            job = http.get(f"/jobs/{job['id']}").raise_for_status().json()
        if job["state"] != "done":
            raise RuntimeError(f"{spec['name']}: {job['state']}, {job['message']}")
        return dict(job)

    def _voxels(self, http: Any, name: str) -> np.ndarray[Any, Any]:
        uri = http.get(f"/datasets/{name}").raise_for_status().json()["uri"]
        return np.asarray(zarr.open_array(uri, mode="r")[:])

    # ------------------------------------------------------------ killing

    def run(self, kills: int, tell: Callable[[str], None]) -> Report:
        """Kill so many processes while jobs are in flight, let the rest end in peace, and count."""
        begun = time.monotonic()
        self._start_armed()
        stop = threading.Event()
        submitting = threading.Thread(target=self.client.run, args=[stop], daemon=True)
        submitting.start()
        while self._count() < kills:
            time.sleep(self.chance.uniform(0.1, 0.9))
            victim = self.chance.choice(VICTIMS)
            if processes.kill_one(self.home, victim, self.chance):
                self.report.kills[victim] = self.report.kills.get(victim, 0) + 1
                tell(f"{self._count()} killed, {len(self.client.acknowledged)} acknowledged")
            self._revive()
        self._disarm()
        stop.set()
        submitting.join(150)
        self._await_ends()
        self._judge()
        self.report.seconds = round(time.monotonic() - begun, 1)
        return self.report

    def _count(self) -> int:
        if self.points.exists():
            self.report.failpoints = dict(Counter(self.points.read_text().split()))
        return self.report.killed

    def _start_armed(self) -> None:
        end_processes_of(self.home)
        self.server.environment |= self.armed
        self.server.kill()
        self.server.start()

    def _revive(self) -> None:
        """A dead server is started again, as whoever keeps it would; everything else must come back by itself."""
        if self.server.process is None or self.server.process.poll() is not None:
            self.server.kill()
            self.server.start()

    def _disarm(self) -> None:
        for name in self.armed:
            self.server.environment.pop(name)
        for process in processes.find(self.home, "supervisor"):
            process.kill()
        self.server.kill()
        self.server.start()

    def _await_ends(self) -> None:
        deadline = time.monotonic() + FINAL_WITHIN_S
        while self._unfinished() and time.monotonic() < deadline:
            time.sleep(0.3)

    # ------------------------------------------------------------ counting, without asking the engine

    def _query(self, query: str) -> list[tuple[Any, ...]]:
        database = sqlite3.connect(self.home / "mlex.db")
        try:
            return database.execute(query).fetchall()
        finally:
            database.close()

    def _unfinished(self) -> list[str]:
        return [id for (id,) in self._query("SELECT id FROM jobs WHERE state IN ('waiting', 'queued', 'running')")]

    def _judge(self) -> None:
        report, client = self.report, self.client
        jobs = {id: (name, state) for id, name, state in self._query("SELECT id, name, state FROM jobs")}
        report.acknowledged, report.asked_again = len(client.acknowledged), client.asked_again
        report.attempts = sum(attempt for (attempt,) in self._query("SELECT attempt FROM jobs"))
        report.lost = [id for id in client.acknowledged.values() if id not in jobs]
        report.stuck = self._unfinished()
        report.wrong = [
            f"{jobs[id][0]} is {jobs[id][1]}"
            for id in client.acknowledged.values()
            if jobs.get(id, ("", ""))[1] != "done"
        ]
        report.twice = [*client.twice, *self._more_than_once()]
        self._judge_predictions(jobs)

    def _more_than_once(self) -> list[str]:
        begun = Counter(self.ledger.read_text().splitlines())
        ended = Counter(
            id
            for (id,) in self._query("""SELECT subject FROM events
            WHERE kind = 'state' AND json_extract("values", '$.state') = 'done'""")
        )
        keys = Counter(key for (key,) in self._query("SELECT key FROM jobs WHERE key IS NOT NULL"))
        said = [
            f"{job_id}: the stream is not what its folder says"
            for job_id in self.client.acknowledged.values()
            if not self._stream_is_whole(job_id)
        ]
        return [f"{what}: {n}×" for counted in (begun, ended, keys) for what, n in counted.items() if n > 1] + said

    def _stream_is_whole(self, job_id: str) -> bool:
        """What a run said is in the stream once, in order, with nothing left out."""
        query = f"""SELECT "values" FROM events
            WHERE subject = '{job_id}' AND kind NOT IN ('state', 'submitted') ORDER BY id"""
        streamed = [json.loads(values) for (values,) in self._query(query)]
        file = self.home / "jobs" / job_id / "events.jsonl"
        written = []
        for line in file.read_text().splitlines() if file.exists() else []:
            try:
                written.append(json.loads(line)["values"])
            except ValueError:
                continue  # a line that a kill left half written
        return streamed == written

    def _judge_predictions(self, jobs: dict[str, tuple[str, str]]) -> None:
        mine = [id for id in self.client.acknowledged.values() if jobs.get(id, ("",))[0].startswith("seg-")]
        self.report.predictions = len(mine)
        for job_id in mine:
            registered = self._query(f"SELECT record FROM datasets WHERE id = 'ds-{job_id}'")
            if len(registered) != 1:
                self.report.twice.append(f"{job_id}: {len(registered)} datasets")
                continue
            voxels = zarr.open_array(json.loads(registered[0][0])["uri"], mode="r")[:]
            if not np.array_equal(np.asarray(voxels), np.asarray(self.expected)):
                self.report.wrong.append(f"{job_id}: other voxels than an undisturbed run")

    def close(self) -> None:
        """End everything that works on this home."""
        self.server.kill()
        end_processes_of(self.home)


def main(kills: int, seed: int, home: Path, tell: Callable[[str], None]) -> Report:
    """Prepare, run, and clear up."""
    harness = Harness(home, seed=seed)
    try:
        harness.prepare()
        return harness.run(kills, tell)
    finally:
        harness.close()
