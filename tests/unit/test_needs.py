"""What is missing is skipped with a reason, and fails where it was asked for."""

from __future__ import annotations

import pytest

from tests import needs


@pytest.fixture(autouse=True)
def nothing_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLEX_REQUIRE", raising=False)
    monkeypatch.setitem(needs.MISSING, "beam", lambda: "the shutter is closed")
    monkeypatch.setitem(needs.MISSING, "light", lambda: None)


def test_what_is_missing_is_skipped_and_says_why() -> None:
    with pytest.raises(pytest.skip.Exception, match="needs beam: the shutter is closed"):
        needs.require("light", "beam")


def test_what_is_there_goes_on() -> None:
    needs.require("light")


def test_a_skip_of_what_is_required_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLEX_REQUIRE", "light,beam")
    with pytest.raises(pytest.fail.Exception, match="needs beam"):
        needs.require("beam")


def test_requiring_what_nobody_knows_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLEX_REQUIRE", "bowser")
    with pytest.raises(pytest.exit.Exception, match="bowser"):
        needs.require("light")
