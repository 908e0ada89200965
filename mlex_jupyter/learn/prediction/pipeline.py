"""Reading, computing and writing at the same time: each at most a few pieces of work ahead of the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")
Made = TypeVar("Made")


def flow(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    compute: Callable[[Item, Read], Made],
    write: Callable[[Item, Made], None],
    *,
    ahead: int,
    go_on: Callable[[], bool],
) -> None:
    """Do all three for every item, in order, until told not to go on; what was computed is written in any case.

    Reading and writing have a thread each, computing has the caller's. What goes wrong in one of them is raised here.
    """
    left = iter(items)
    coming: deque[tuple[Item, Future[Read]]] = deque()
    going: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1, "reading") as reader, ThreadPoolExecutor(1, "writing") as writer:
        writer.submit(int)  # its thread is there before memory is scarce
        try:
            while go_on():
                for item in left:
                    coming.append((item, reader.submit(read, item)))
                    if len(coming) > ahead:
                        break
                if not coming:
                    break
                item, found = coming.popleft()
                made = compute(item, found.result())
                going.append(writer.submit(write, item, made))
                while going and (going[0].done() or len(going) > ahead):
                    going.popleft().result()
                del found, made  # or they would stay in memory while the next are made
            for last in going:
                last.result()
        finally:
            for _, unread in coming:
                unread.cancel()
