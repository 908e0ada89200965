"""Nothing acknowledged is lost, nothing comes twice, none is stuck: whatever is killed, and whenever."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kills.harness import FAILPOINTS, OF_TUNINGS, main

SOURCES = Path(__file__).resolve().parents[2] / "mlex_jupyter"


def quiet(line: str) -> None:
    """The report says it all."""


def test_the_harness_arms_every_failpoint_there_is_and_no_other() -> None:
    calls = (re.findall(r'\bfailpoint\("([^"]+)"\)', path.read_text()) for path in SOURCES.rglob("*.py"))
    assert {name for names in calls for name in names} == FAILPOINTS.keys() | OF_TUNINGS


@pytest.mark.needs("torch")
@pytest.mark.timeout(1800)
def test_sixty_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    report = main(60, 1, tmp_path, quiet)
    print(report.text())
    assert report.clean, report.text()
    assert report.killed >= 60
    assert report.kills.keys() == {"server", "supervisor", "worker"}
    assert len(report.failpoints) >= 6
    assert report.acknowledged >= 16
    assert report.posted_twice >= 4
    assert report.followed >= 8
    assert report.predictions >= 1 and report.trainings >= 1 and report.label_sets >= 1


@pytest.mark.soak
def test_a_thousand_kills_lose_nothing_and_reach_every_failpoint(tmp_path: Path) -> None:
    report = main(1000, 2, tmp_path, quiet)
    print(report.text())
    assert report.killed >= 1000
    assert report.failpoints.keys() == FAILPOINTS.keys()
    assert report.clean, report.text()
