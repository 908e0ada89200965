"""Metric points from a run into the database, beside MLflow's log_batch on SQLite: the same points, both durable."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from mlex_jupyter.settings import Settings
from tests.bench import peers
from tests.bench.figures import Figure, median
from tests.servers import Server, end_processes_of

STEPS = 20_000
AT_A_STEP = 10
ROUNDS = 3
LEAST = 50_000

EMIT = f"""
import os
from pathlib import Path
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.attempt import Attempt
folder = JobFolder(Path(os.environ["MLEX_JOB_FOLDER"]))
attempt = Attempt(folder, folder.job(), int(os.environ["MLEX_ATTEMPT"]))
names = [f"m{{number}}" for number in range({AT_A_STEP})]
for step in range({STEPS}):
    attempt.emit("metrics", step=step, **{{name: step * 0.5 for name in names}})
"""
MLFLOW = f"""
import json, sys, time, mlflow
from mlflow.entities import Metric
client = mlflow.MlflowClient("sqlite:///" + sys.argv[1])
run = client.create_run(client.create_experiment("bench")).info.run_id
points = [Metric(f"m{{number}}", step * 0.5, 1000 * step, step) for step in range({STEPS // 10})
          for number in range({AT_A_STEP})]
client.log_batch(run, points[:1000])
begun = time.perf_counter()
for at in range(1000, len(points), 1000):
    client.log_batch(run, points[at:at + 1000])
print(json.dumps((len(points) - 1000) / (time.perf_counter() - begun)))
"""


def figures() -> list[Figure]:
    """Points a second, from the first that a run says to the last that is in the stream of events."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        ours.append(_ours())
        with tempfile.TemporaryDirectory() as folder:
            theirs.append(float(peers.said(MLFLOW, str(Path(folder) / "mlflow.db"))))
    name = f"metric points stored, {AT_A_STEP} a step"
    return [Figure(name, median(ours), "/s", median(theirs), "MLflow's log_batch of 1,000 on SQLite", least=LEAST)]


def _ours() -> float:
    """With a real server, supervisor and worker."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        server = Server(home, home / "work", app="server")
        try:
            server.start()
            with server.client() as client:
                job = client.post("/jobs", json={"task": {"kind": "run", "argv": [sys.executable, "-c", EMIT]}}).json()
            return STEPS * AT_A_STEP / _seconds(Settings.load(home=home), job["id"])
        finally:
            server.stop()
            end_processes_of(home)


def _seconds(settings: Settings, job: str) -> float:
    """From the worker's first line to the last event that is committed."""
    from sqlalchemy import select

    from mlex_jupyter.store import Store
    from mlex_jupyter.store.tables import events

    store = Store.open(settings)
    newest = select(events.c.time, events.c["values"]).where(events.c.subject == job, events.c.kind == "metrics")
    first = newest.order_by(events.c.id).limit(1)
    last = newest.order_by(events.c.id.desc()).limit(1)
    while True:
        row = store.read_now(lambda tx: tx.execute(last).one_or_none())
        if row is not None and row._mapping["values"]["step"] == STEPS - 1:
            done = time.time()
            begun = float(store.read_now(lambda tx: tx.execute(first).one()).time)
            store.close()
            return done - begun
        time.sleep(0.02)
