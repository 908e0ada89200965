"""What is asked for: commands that keep a ledger, and now and then a training or a prediction.

<home>/ledger.txt      a line as each attempt of a command begins, another where it meets one that still lives
<home>/locks/<job id>  held by an attempt of a command and by what it started, as long as any of them lives
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import httpx

from tests.servers import Server

DATA = "sand-tomo"
PARAMS = {"epochs": 3, "steps_per_epoch": 4, "patch": 32, "batch": 2, "depth": 2, "base_channels": 4}
ONE_CORE = {"cpus": 1}  # sums of floats come to the same bits only in the same order, so with as many threads
SECONDS = (0.1, 0.3, 0.6, 2.0)
"""How long a command takes; the longest still lives when an attempt that came too early begins."""
COMMAND = """
exec 9> "{locks}/$MLEX_JOB"
flock -n 9 || echo "$MLEX_JOB meets itself" >> "{ledger}"
echo "$MLEX_JOB $MLEX_ATTEMPT" >> "{ledger}"
sleep {seconds} &
wait
"""
"""In the background, so that it is left behind where only the shell is killed; it inherits the lock."""


RULE = {"name": "follow", "on": "run done", "match": "command-*", "do": "run", "fields": {"argv": "true"}}
"""One more job for each command that is done."""


class Work:
    """The requests for one home."""

    def __init__(self, home: Path, seed: int) -> None:
        self.ledger = home / "ledger.txt"
        self.locks = home / "locks"
        self.locks.mkdir(exist_ok=True)
        self.chance = random.Random(seed)
        self.trained = self.predicted = ""
        """The ids of the jobs that nobody disturbed."""

    def prepare(self, server: Server) -> None:
        """A small sample, and what comes of training and predicting when nobody disturbs it."""
        with server.client() as http:
            http.post("/sample", json={"size": 64, "slices": 8}).raise_for_status()
            self.trained = finished(http, {"name": "net", **self._training()})
            self.predicted = finished(http, {"name": "undisturbed", **self._prediction()})
            http.post("/rules", json=RULE).raise_for_status()

    def spec(self, number: int) -> dict[str, Any]:
        """The n-th request; the names say what it is."""
        if number % 15 == 7:
            return {"name": f"train-{number}", **self._training()}
        if number % 15 == 2:
            return {"name": f"predict-{number}", **self._prediction()}
        line = COMMAND.format(locks=self.locks, ledger=self.ledger, seconds=self.chance.choice(SECONDS))
        return {"name": f"command-{number}", "task": {"kind": "run", "argv": ["/bin/sh", "-c", line], "retries": 10}}

    def _training(self) -> dict[str, Any]:
        task = {"kind": "train", "model": "unet", "data": DATA, "labels": "scribbles", "params": PARAMS}
        return {"task": task, "resources": ONE_CORE}

    def _prediction(self) -> dict[str, Any]:
        return {"task": {"kind": "predict", "model": self.trained, "data": DATA}, "resources": ONE_CORE}


def finished(http: httpx.Client, spec: dict[str, Any]) -> str:
    """The id of a job that has come to its end."""
    job = http.post("/jobs", json=spec).raise_for_status().json()
    deadline = time.monotonic() + 120
    while job["state"] not in ("done", "failed", "lost", "cancelled") and time.monotonic() < deadline:
        time.sleep(0.2)
        job = http.get(f"/jobs/{job['id']}").raise_for_status().json()
    if job["state"] != "done":
        raise RuntimeError(f"{spec['name']}: {job['state']}, {job['message']}")
    return str(job["id"])
