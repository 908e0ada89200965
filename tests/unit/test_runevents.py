"""What a run writes into events.jsonl: its events, in order, once; and whatever else is there changes nothing."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlex_jupyter.events import Events, append_many
from mlex_jupyter.runevents import AT_ONCE, LONGEST_LINE, read_events, summary
from mlex_jupyter.server.service import EVENTS
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store

GOOD = b'{"time": 1700000000.5, "attempt": 1, "kind": "note", "values": {"text": "good"}}'
HOSTILE = {
    "not JSON": b"no JSON at all",
    "half of it": b'{"kind": "note", "val',
    "null": b"null",
    "a list": b"[1, 2]",
    "a number": b"17",
    "no values": b'{"kind": "note"}',
    "no kind": b'{"values": {}}',
    "an unknown kind": b'{"kind": "state", "values": {"state": "done"}}',
    "a kind that is a list": b'{"kind": [], "values": {}}',
    "a kind that is a number": b'{"kind": 1, "values": {}}',
    "values that are a list": b'{"kind": "note", "values": [1]}',
    "no text": b"\xff\xfe\x00",
    "half a character": rb'{"kind": "note", "values": {"text": "\ud800"}}',
    "endless nesting": b"[" * (LONGEST_LINE - 10),
    "deep values": b'{"kind": "note", "values": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}",
    "a line of a megabyte": b'{"kind": "note", "values": {"text": "' + b"x" * AT_ONCE + b'"}}',
    "a line just too long": b'{"kind": "note", "values": {"text": "' + b"x" * LONGEST_LINE + b'"}}',
    "an endless number": b'{"kind": "note", "values": {"n": ' + b"9" * 5000 + b"}}",
}
STRANGE = {
    "not a number": (b'{"kind": "epoch", "values": {"loss": NaN, "dice": 0.5}}', {"loss": None, "dice": 0.5}),
    "infinity": (b'{"kind": "epoch", "values": {"loss": -Infinity, "dice": 0.5}}', {"loss": None, "dice": 0.5}),
    "a float beyond all": (b'{"kind": "epoch", "values": {"loss": 1e999, "dice": 0.5}}', {"loss": None, "dice": 0.5}),
    "an int beyond all": (
        b'{"kind": "epoch", "values": {"loss": ' + b"9" * 400 + b', "dice": 0.5}}',
        {"loss": None, "dice": 0.5},
    ),
    "true": (b'{"kind": "epoch", "values": {"loss": true, "dice": 0.5}}', {"loss": True, "dice": 0.5}),
}


def read_all(path: Path) -> list[object]:
    """Everything in the file, read the way the supervisor does."""
    said, offset = [], 0
    while (found := read_events(path, offset)).end > offset:
        said += found.events
        offset = found.end
    return said


def texts(path: Path) -> list[object]:
    return [event.values.get("text") for event in read_all(path)]


def test_there_is_nothing_where_there_is_no_file(tmp_path: Path) -> None:
    assert read_events(tmp_path / "events.jsonl", 0) == ([], 0)


def test_events_come_with_their_own_time(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(GOOD + b"\n")
    ((event,), end) = read_events(path, 0)
    assert event == (1700000000.5, "note", {"text": "good"})
    assert end == path.stat().st_size
    assert read_events(path, end) == ([], end)


def test_a_torn_last_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(GOOD + b"\n" + GOOD[:30])
    found = read_events(path, 0)
    assert (len(found.events), found.end) == (1, len(GOOD) + 1)
    with path.open("ab") as file:
        file.write(GOOD[30:] + b"\n")
    assert len(read_events(path, found.end).events) == 1


def test_a_torn_line_that_the_next_attempt_closed_off_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(GOOD + b"\n" + GOOD[:30] + b"\n" + GOOD + b"\n")
    assert texts(path) == ["good", "good"]


def test_a_long_file_is_read_piece_by_piece_and_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [json.dumps({"time": n, "kind": "note", "values": {"text": f"{n} {'x' * (n % 700)}"}}) for n in range(6000)]
    path.write_text("\n".join(lines) + "\n")
    assert path.stat().st_size > 2 * AT_ONCE
    assert [event.at for event in read_all(path)] == list(range(6000))


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_event_is_passed_over(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(GOOD + b"\n" + line + b"\n" + GOOD + b"\n")
    assert texts(path) == ["good", "good"]


@pytest.mark.parametrize(("line", "values"), STRANGE.values(), ids=STRANGE)
def test_what_is_no_number_is_nothing(tmp_path: Path, line: bytes, values: dict[str, object]) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(line + b"\n")
    (event,) = read_all(path)
    assert event.values == values
    assert summary([event], {"loss": 7.0})["metrics"] == {"loss": 7.0, "dice": 0.5}


@pytest.mark.parametrize("time", [b"1e999", b"-1", b"1e18", b"9" * 400, b'"noon"', b"null", b"NaN"])
def test_an_impossible_time_is_now(tmp_path: Path, time: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"kind": "note", "time": ' + time + b', "values": {}}\n')
    (event,) = read_all(path)
    assert 1.6e9 < event.at < 1e11


@pytest.mark.parametrize("what", ["folder", "pipe", "link"])
def test_what_is_no_plain_file_says_nothing_and_stops_nobody(tmp_path: Path, what: str) -> None:
    path = tmp_path / "events.jsonl"
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        (tmp_path / "elsewhere").write_bytes(GOOD + b"\n")
        path.symlink_to(tmp_path / "elsewhere")
    assert read_events(path, 0) == ([], 0)


def test_a_file_that_became_shorter_says_nothing_new(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(GOOD + b"\n")
    assert read_events(path, 10_000) == ([], 10_000)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
kinds = st.sampled_from(["note", "epoch", "progress", "metrics", "picture"]) | anything
records = st.fixed_dictionaries({"kind": kinds, "values": st.dictionaries(st.text(max_size=9), anything) | anything})
lines = records.map(lambda record: json.dumps(record).encode()) | anything.map(repr).map(
    lambda text: text.encode(errors="replace").replace(b"\n", b" ")
)


@settings(max_examples=40, deadline=None)
@given(said=st.lists(lines | st.binary(max_size=40).map(lambda junk: junk.replace(b"\n", b"")), max_size=5))
def test_whatever_a_run_writes_can_be_kept_and_sent_on(
    tmp_path_factory: pytest.TempPathFactory, said: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("run") / "events.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in [*said, GOOD]))
    found = read_all(path)
    assert found[-1].values == {"text": "good"}
    changes = summary(found, {})
    assert all(math.isfinite(value) for value in changes["metrics"].values())
    json.dumps(changes, allow_nan=False)
    for event in found:
        json.dumps(event.values, allow_nan=False).encode()


async def test_what_is_in_the_stream_can_always_be_read_again(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    deepest = b'{"kind": "note", "values": {"a": ' + b"[" * 190 + b"]" * 190 + b"}}"
    written = [*HOSTILE.values(), *(line for line, _ in STRANGE.values()), deepest, GOOD]
    path.write_bytes(b"".join(line + b"\n" for line in written))
    store = Store.open(settings)
    found = read_all(path)
    await store.write(lambda tx: append_many(tx, [(event.at, "run-1", event.kind, event.values) for event in found]))
    kept = await Events(store).after(0)
    assert len(kept) == len(found) == len(STRANGE) + 2
    assert len(json.loads(EVENTS.dump_json(kept))) == len(kept)
    store.close()


# ---------------------------------------------------------------- what it amounts to


def test_progress_and_metrics_are_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    said = [
        {"kind": "progress", "values": {"done": 1, "total": 4, "unit": "epoch", "fraction": 0.25, "eta_s": 30}},
        {"kind": "epoch", "values": {"epoch": 1, "loss": 0.9, "dice": 0.3}},
        {"kind": "progress", "values": {"done": 2, "total": 4, "unit": "epoch", "fraction": 0.5}},
        {"kind": "epoch", "values": {"epoch": 2, "loss": 0.7}},
        {"kind": "progress", "values": {"done": "many", "total": 4}},
        {"kind": "progress", "values": {"done": 3, "total": 4, "unit": "epoch", "fraction": 7}},
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in said))
    changes = summary(read_all(path), {"loss": 2.0, "old": 1.0})
    assert (changes["progress"]["done"], changes["progress"]["fraction"]) == (2, 0.5)
    assert changes["metrics"] == {"loss": 0.7, "dice": 0.3, "old": 1.0}


def test_without_progress_the_old_one_stays() -> None:
    assert "progress" not in summary([], {"loss": 1.0})
    assert summary([], {"loss": 1.0})["metrics"] == {"loss": 1.0}


def test_a_run_that_says_more_than_anybody_can_read_is_cut_short_once_and_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlex_jupyter.runevents.MOST_BYTES", 3 * AT_ONCE)
    file = tmp_path / "events.jsonl"
    file.write_bytes((GOOD + b"\n") * (10 * AT_ONCE // len(GOOD)))
    said: list[object] = []
    offset = 0
    while (found := read_events(file, offset)).end > offset:
        said += [event.values["text"] for event in found.events]
        offset = found.end
    assert offset == file.stat().st_size
    assert len(said) < 4 * AT_ONCE // len(GOOD)
    assert [text for text in said if text != "good"] == ["It has said 3 MB; more is not shown."]
