"""Kill at random moments and at failpoints while jobs are in flight, let the rest end in peace, and judge."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.kills import processes
from tests.kills.client import PATIENCE_S, Client
from tests.kills.judge import Judge, unfinished, unfollowed
from tests.kills.report import Report
from tests.kills.work import DATA, Work
from tests.servers import Server, end_processes_of

FAILPOINTS = {
    "server.acknowledging": 0.03,
    "labels.moved": 0.1,
    "supervisor.before_submit": 0.06,
    "supervisor.after_submit": 0.06,
    "supervisor.took_in": 0.03,
    "supervisor.before_finish": 0.06,
    "supervisor.after_finish": 0.06,
    "worker.claimed": 0.08,
    "worker.before_result": 0.08,
    "worker.after_result": 0.08,
    "train.step": 0.03,
    "checkpoint.weights": 0.1,
    "checkpoint.written": 0.1,
    "predict.written": 0.2,
    "predict.recorded": 0.2,
    "rules.before_fire": 0.08,
    "rules.after_fire": 0.08,
}
"""How likely a process that comes by kills itself there."""

OF_TUNINGS = {"tuner.before_ask", "tuner.after_ask"}
"""Where no process comes by here: its work has no tuning. Those are killed in tests of their own."""

VICTIMS = ("server", *["supervisor"] * 4, *["worker"] * 4)
FINAL_WITHIN_S = 240


class Harness:
    """One home, one real server, one client, and somebody with a list of whom to kill."""

    def __init__(self, home: Path, *, seed: int, in_flight: int = 8) -> None:
        self.home = home
        self.chance = random.Random(seed)
        self.points = home / "failpoints.txt"
        self.armed = {
            "MLEX_FAILPOINTS": ",".join(f"{name}={chance}" for name, chance in FAILPOINTS.items()),
            "MLEX_FAILPOINT_LOG": str(self.points),
        }
        self.server = Server(home, home / "work", app="server", MLEX_LOCAL_CPUS=str(in_flight), MLEX_RETRIES="10")
        self.work = Work(home, seed)
        self.client = Client(self.server, self.work, in_flight)
        self.report = Report(seed)

    def prepare(self) -> None:
        """Whatever is compared with later, made while nothing is killed."""
        self.server.start()
        self.work.prepare(self.server)
        with self.server.client() as http:
            self.client.labels = http.get(f"/datasets/{DATA}/labels").raise_for_status().json()[0]["uri"]

    def run(self, kills: int, tell: Callable[[str], None]) -> Report:
        """Kill so many processes, and count what came of it."""
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
        submitting.join(PATIENCE_S + 30)
        if submitting.is_alive():
            self.report.stuck.append("the client")
        self._await_ends()
        self._count()
        Judge(self.home, self.work, self.client, self.report).judge()
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
        while (unfinished(self.home) or unfollowed(self.home)) and time.monotonic() < deadline:
            time.sleep(0.3)

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
