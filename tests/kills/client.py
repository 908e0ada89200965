"""A client that gives up on nothing: it asks again with the same key until it has an answer."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.servers import Server

PATIENCE_S = 120


@dataclass
class Client:
    """Keeps a number of jobs in flight, and remembers what was acknowledged."""

    server: Server
    in_flight: int
    specs: Any
    """Makes the spec of the n-th request."""
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Job ids by the request's key."""
    asked_again: int = 0
    twice: list[str] = field(default_factory=list)
    """Keys for which two answers named two jobs."""

    def run(self, stop: threading.Event) -> None:
        """Submit, and submit again as jobs end, until told to stop."""
        with self.server.client() as http:
            while not stop.is_set():
                for _ in range(self.in_flight - self._unfinished(http)):
                    if not stop.is_set():
                        self._submit(http, f"request-{len(self.acknowledged)}")
                time.sleep(0.1)

    def _unfinished(self, http: httpx.Client) -> int:
        try:
            found = http.get("/jobs", params={"limit": 200}).raise_for_status().json()
        except httpx.HTTPError:
            return self.in_flight
        return sum(job["state"] in ("waiting", "queued", "running") for job in found)

    def _submit(self, http: httpx.Client, key: str) -> None:
        spec = {**self.specs(len(self.acknowledged)), "key": key}
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                answer = http.post("/jobs", json=spec)
                answer.raise_for_status()
            except httpx.HTTPError:
                self.asked_again += 1
                time.sleep(0.1)
                continue
            job_id = str(answer.json()["id"])
            if self.acknowledged.setdefault(key, job_id) != job_id:
                self.twice.append(key)
            return
        raise TimeoutError(f"No answer to {key} within {PATIENCE_S} s.")
