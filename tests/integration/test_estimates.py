"""What a training would need, asked for in a shell before it starts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("torch")

QUICK = {"epochs": 2, "steps_per_epoch": 3, "batch": 2, "patch": 32, "base_channels": 4}
SHORT = [word for name, value in QUICK.items() for word in ("-p", f"{name}={value}")]


def test_the_shell_says_time_memory_and_what_fits_and_nothing_takes_it_for_a_training(
    mlex_run: Callable[..., subprocess.CompletedProcess[str]], knowing: Path
) -> None:
    mlex_run("sample", "--size", "64", "--slices", "8")
    mlex_run("rule-add", "after", "--on", "job ended", "--do", "run", "-p", "argv=true")
    words = ["unet", "--data", "sand-tomo", "--labels", "scribbles", *SHORT]
    done = mlex_run("estimate", *words)
    for title in ("a step", "an epoch", "in all", "memory", "batch", "patch", "✔ ok"):
        assert title in done.stdout
    (job,) = json.loads(mlex_run("jobs", "--json").stdout)
    assert (job["name"], job["spec"]["task"]["kind"], job["state"]) == ("unet-estimate-01", "estimate", "done")
    refused = mlex_run("predict", "unet-estimate-01", "--data", "sand-tomo", check=False)
    assert refused.returncode == 1 and "is not a training" in refused.stderr
    assert json.loads(mlex_run("rules", "--json").stdout)[0]["fired"] == 0
    wrong = mlex_run("estimate", *words[:-2], "-p", "batch=0", check=False)
    assert wrong.returncode == 1 and "batch = 0 will not do" in wrong.stderr
