"""Pieces: what is missing of many files, divided, and read and moved a part at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlex_jupyter import pieces
from mlex_jupyter.errors import Conflict
from mlex_jupyter.pieces import InFiles, InMemory, divided


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 10)
    monkeypatch.setattr(pieces, "PART", 4)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([(0, 0)], []),
        ([(25, 0)], [[(0, 0, 10)], [(0, 10, 10)], [(0, 20, 5)]]),
        ([(25, 13)], [[(0, 13, 10)], [(0, 23, 2)]]),
        ([(3, 0), (0, 0), (4, 0), (5, 0)], [[(0, 0, 3), (2, 0, 4), (3, 0, 3)], [(3, 3, 2)]]),
        ([(3, 0), (4, 4), (2, 0)], [[(0, 0, 3)], [(2, 0, 2)]]),
        ([(3, 0), (4, 1), (2, 0)], [[(0, 0, 3)], [(1, 1, 3), (2, 0, 2)]]),
    ],
    ids=["nothing", "empty", "one large", "begun", "small", "one is there", "one has begun"],
)
def test_what_is_missing_is_divided_into_pieces(
    sizes: list[tuple[int, int]], expected: list[list[tuple[int, int, int]]]
) -> None:
    assert list(divided(sizes)) == expected


def test_stretches_of_files_are_one_piece_that_can_be_read_again(tmp_path: Path) -> None:
    for name, content in (("a", b"0123456789"), ("b", b"abc"), ("c", b"ABCDEF")):
        (tmp_path / name).write_bytes(content)
    piece = InFiles([(tmp_path / "a", 3, 7), (tmp_path / "b", 0, 3), (tmp_path / "c", 0, 2)])
    assert piece.size == 12
    assert b"".join(piece) == b"".join(piece) == b"3456789abcAB"


def test_a_file_that_became_shorter_is_no_longer_what_was_announced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123")
    with pytest.raises(Conflict, match="became shorter"):
        list(InFiles([(tmp_path / "a", 0, 7)]))


def test_a_piece_is_moved_in_order_whatever_is_asked_for_at_once(tmp_path: Path) -> None:
    piece, target = InMemory(b"0123456789"), tmp_path / "target"
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT)
    assert piece.move(descriptor, 0, 3) == 3
    assert piece.move(None, 0, 2) == 2
    assert piece.move(descriptor, 3, 99) == 5
    assert piece.move(descriptor, 8, 99) == 0
    os.close(descriptor)
    assert target.read_bytes() == b"01256789"


def test_who_gave_up_a_piece_ends_its_sending() -> None:
    piece = InMemory(b"0123456789")
    sent = iter(piece)
    next(sent)
    piece.stopped = True
    with pytest.raises(InterruptedError):
        next(sent)
