"""Ahead: the next slice of a walk is read once, before it is asked for, and never shown when it may be another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlex_jupyter.data import ahead
from mlex_jupyter.data.ahead import Ahead


class Work:
    """Counts what it is asked to read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __call__(self, asked: Any) -> tuple[dict[str, Any], bytes]:
        if asked["index"] > 5:
            raise ValueError("there is no such slice")
        self.read.append(asked["index"])
        return {}, b"slice %d" % asked["index"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "volume.npy").write_bytes(b"1")
    return tmp_path / "volume.npy"


def asked(file: Path, index: int | None, **more: Any) -> dict[str, Any]:
    return {"do": "picture", "dataset": {"uri": str(file)}, "axis": 0, "index": index, **more}


def walk(file: Path, *indices: int) -> tuple[Ahead, Work]:
    walking, work = Ahead(), Work()
    for index in indices:
        assert walking.answer(asked(file, index), work)[1] == b"slice %d" % index
        walking.go_on(work)
    return walking, work


def test_the_next_slice_is_read_before_it_is_asked_for_and_only_once(file: Path) -> None:
    assert walk(file, 1, 2, 3, 4)[1].read == [1, 2, 3, 4, 5]
    assert walk(file, 4, 3, 2)[1].read == [4, 3, 2, 1]


def test_who_jumps_or_stays_is_not_walked_ahead_of(file: Path) -> None:
    assert walk(file, 0, 3, 3, 5, 1)[1].read == [0, 3, 3, 5, 1]
    assert walk(file, 1, 0)[1].read == [1, 0]


def test_a_slice_that_is_not_there_is_said_only_to_who_asks_for_it(file: Path) -> None:
    walking, work = walk(file, 4, 5)
    with pytest.raises(ValueError, match="no such slice"):
        walking.answer(asked(file, 6), work)
    assert work.read == [4, 5]


def test_what_was_read_ahead_is_read_again_once_the_file_is_another(file: Path) -> None:
    walking, work = walk(file, 1, 2)
    os.utime(file, ns=(1, 1))
    walking.answer(asked(file, 3), work)
    assert work.read == [1, 2, 3, 3]


def test_what_was_read_ahead_is_read_again_after_a_while_or_in_another_size(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walking, work = walk(file, 1, 2)
    walking.answer(asked(file, 3, size=64), work)
    assert work.read == [1, 2, 3, 3]
    monkeypatch.setattr(ahead, "KEPT_S", 0.0)
    assert walk(file, 1, 2, 3)[1].read == [1, 2, 3, 3, 4]


def test_nothing_is_read_ahead_where_one_slice_takes_long(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "QUICK_S", 0.0)
    walking, work = walk(file, 1, 2)
    assert work.read == [1, 2] and not walking.goes_on
