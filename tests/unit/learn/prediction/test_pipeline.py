"""Reading, computing and writing at once, each only a little ahead of the next."""

from __future__ import annotations

import threading

import pytest

from mlex_jupyter.learn.prediction.pipeline import flow


class Journal:
    """What was done, by whom, and how far ahead of the last write it was read."""

    def __init__(self, *, fail: str | None = None) -> None:
        self.fail = fail
        self.read_: list[int] = []
        self.written: list[int] = []
        self.most_ahead = 0
        self.threads: dict[str, set[str]] = {}

    def at(self, stage: str, item: int) -> None:
        self.threads.setdefault(stage, set()).add(threading.current_thread().name)
        if self.fail == f"{stage} {item}":
            raise OSError(28, "No space left on device")

    def read(self, item: int) -> int:
        self.at("read", item)
        self.read_.append(item)
        self.most_ahead = max(self.most_ahead, len(self.read_) - len(self.written))
        return item * 10

    def compute(self, item: int, found: int) -> int:
        self.at("compute", item)
        assert found == item * 10
        return found + 1

    def write(self, item: int, made: int) -> None:
        self.at("write", item)
        assert made == item * 10 + 1
        self.written.append(item)


def go(journal: Journal, count: int, stop_after: int = 1000) -> None:
    flow(
        range(count),
        journal.read,
        journal.compute,
        journal.write,
        ahead=2,
        go_on=lambda: len(journal.written) < stop_after,
    )


def test_all_is_done_in_order_by_three_threads_and_bounded() -> None:
    journal = Journal()
    go(journal, 200)
    assert journal.written == list(range(200))
    assert len(set.union(*journal.threads.values())) == 3 == len(journal.threads)
    assert journal.most_ahead <= 3 + 1 + 3, "read ahead, computed, waiting to be written"
    go(journal, 0)


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
def test_what_goes_wrong_in_any_of_them_is_raised_here(stage: str) -> None:
    journal = Journal(fail=f"{stage} 5")
    with pytest.raises(OSError, match="No space left"):
        go(journal, 200)
    assert journal.written[:5] == list(range(5))
    assert 5 not in journal.written
    assert len(journal.read_) < 20, "nothing goes on behind one's back"


def test_told_to_stop_it_writes_what_it_has_computed() -> None:
    journal = Journal()
    go(journal, 200, stop_after=10)
    assert 10 <= len(journal.written) <= 14
    assert journal.written == list(range(len(journal.written)))
