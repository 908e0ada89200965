"""Nothing acknowledged is lost, nothing comes twice, none is stuck: whatever is killed, and whenever."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kills.harness import FAILPOINTS, main


def quiet(line: str) -> None:
    """The report says it all."""


@pytest.mark.needs("torch")
@pytest.mark.timeout(900)
def test_sixty_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    report = main(60, 1, tmp_path, quiet)
    print(report.text())
    assert report.killed >= 60
    assert report.acknowledged >= 16
    assert report.predictions >= 1
    assert report.clean, report.text()


@pytest.mark.soak
def test_a_thousand_kills_lose_nothing_and_reach_every_failpoint(tmp_path: Path) -> None:
    report = main(1000, 2, tmp_path, quiet)
    print(report.text())
    assert report.killed >= 1000
    assert report.failpoints.keys() == FAILPOINTS.keys()
    assert report.clean, report.text()
