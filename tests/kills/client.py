"""A client that gives up on nothing: it asks again with the same key until it has an answer, and sometimes after."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.kills.work import DATA, Work
from tests.servers import Server

PATIENCE_S = 120


@dataclass
class Client:
    """Keeps a number of jobs in flight, saves labels beside them, and remembers what was acknowledged."""

    server: Server
    work: Work
    in_flight: int
    labels: str = ""
    """The file that is taken in as labels."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    """The requests, each with a key of its own."""
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Job ids by the request's key."""
    saved: list[int] = field(default_factory=list)
    """The acknowledged versions of the labels "painted"."""
    asked_again: int = 0
    posted_twice: int = 0
    unanswered: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    """Keys for which two answers named two jobs."""

    def run(self, stop: threading.Event) -> None:
        """Submit, and submit again as jobs end, until told to stop."""
        with self.server.client() as http:
            while not stop.is_set():
                for _ in range(self.in_flight - self._unfinished(http)):
                    if not stop.is_set():
                        self._ask_for_one(http)
                time.sleep(0.1)

    def _unfinished(self, http: httpx.Client) -> int:
        try:
            found = http.get("/jobs", params={"limit": 200}).raise_for_status().json()
        except httpx.HTTPError:
            return self.in_flight
        return sum(job["state"] in ("waiting", "queued", "running") for job in found)

    def _ask_for_one(self, http: httpx.Client) -> None:
        number = len(self.asked)
        self.asked.append({**self.work.spec(number), "key": f"request-{number}"})
        self._submit(http, self.asked[-1])
        if number % 8 == 0:  # once more at once
            self._submit(http, self.asked[-1])
        if number % 8 == 4:  # once more when it has probably ended
            self._submit(http, self.asked[number // 2])
        if number % 8 == 6:
            self._save_labels(http)

    def _submit(self, http: httpx.Client, spec: dict[str, Any]) -> None:
        key = spec["key"]
        self.posted_twice += key in self.acknowledged
        job = self._post(http, "/jobs", spec)
        if job and self.acknowledged.setdefault(key, job["id"]) != job["id"]:
            self.twice.append(key)

    def _save_labels(self, http: httpx.Client) -> None:
        if labelled := self._post(http, f"/datasets/{DATA}/labels", {"path": self.labels, "name": "painted"}):
            self.saved.append(labelled["version"])

    def _post(self, http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        deadline = time.monotonic() + PATIENCE_S
        said = "no answer"
        while time.monotonic() < deadline:
            try:
                answer = http.post(path, json=body)
                said = answer.text
                if answer.is_client_error:
                    break
                return dict(answer.raise_for_status().json())
            except httpx.HTTPError:
                self.asked_again += 1
                time.sleep(0.1)
        self.unanswered.append(f"{path} {body.get('key', '')}: {said}")
        return None
