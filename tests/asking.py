"""Asking a server over HTTP, for tests: jobs as they are asked for, waited for, and refused."""

from __future__ import annotations

import time
from typing import Any

import httpx

from mlex_jupyter.types import Problem

PATIENCE_S = 120
LIGHT = {"MLEX_USER": "tester", "MLEX_LOCAL_CPUS": "4", "MLEX_LOCAL_GPUS": "0", "MLEX_IDLE_S": "5"}
ENDED = ("done", "failed", "cancelled", "lost")


def run(*argv: str, retries: int = 0, **more: Any) -> dict[str, Any]:
    return {"task": {"kind": "run", "argv": argv, "retries": retries}, "resources": {"cpus": 1}, **more}


def ask(http: httpx.Client, spec: dict[str, Any]) -> dict[str, Any]:
    answer = http.post("/jobs", json=spec)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def fetch(http: httpx.Client, path: str, **params: Any) -> Any:
    return http.get(path, params=params).raise_for_status().json()


def acknowledged(http: httpx.Client) -> list[str]:
    return [job["id"] for job in fetch(http, "/jobs", limit=1000)]


def until(http: httpx.Client, job_id: str, *states: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while (job := http.get(f"/jobs/{job_id}").json())["state"] not in states:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return dict(job)


def problem(answer: httpx.Response, status: int) -> Problem:
    """What was refused, in words."""
    assert answer.status_code == status, answer.text[:400]
    assert answer.headers["content-type"].startswith("application/json")
    said = Problem.model_validate_json(answer.content)
    assert said.message
    assert "Traceback" not in answer.text
    return said
