"""The job folder: one run claims an attempt, the result is the last word, and a folder of others is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlex_jupyter.errors import Conflict, Invalid
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.types import Ending, JobFile, JobState, Output, Result, now
from tests.engine import answer, python, spec

JOB = JobFile(id="run-1", name="first", owner="tester", spec=spec("echo", "hello", name="first"))
CLAIM = """
import json, sys
from pathlib import Path
from mlex_jupyter.errors import Conflict
from mlex_jupyter.jobfolder import JobFolder
folder = JobFolder(Path(sys.argv[1]))
print("ready", flush=True); sys.stdin.readline()
try:
    folder.claim(1)
except Conflict:
    print(json.dumps(False))
else:
    print(json.dumps(True))
"""


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    return JobFolder.make(tmp_path / "jobs" / "run-1", JOB)


def test_it_holds_what_was_asked_and_is_private(folder: JobFolder) -> None:
    assert folder.job() == JOB
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert sorted(place.name for place in folder.path.iterdir()) == ["attempts", "checkpoint", "job.json"]


def test_made_again_it_keeps_what_is_in_it(folder: JobFolder) -> None:
    (folder.checkpoint / "weights").write_text("precious")
    folder.claim(1)
    JobFolder.make(folder.path, JOB)
    assert (folder.checkpoint / "weights").read_text() == "precious"
    assert folder.claimed(1)


def test_of_many_who_claim_an_attempt_one_has_it(folder: JobFolder) -> None:
    claimants = [python(CLAIM, folder.path, stdin=-1) for _ in range(4)]
    for claimant in claimants:
        assert claimant.stdout is not None
        claimant.stdout.readline()
    for claimant in claimants:
        assert claimant.stdin is not None
        claimant.stdin.write("go\n")
        claimant.stdin.flush()
    assert sum(answer(claimant) for claimant in claimants) == 1
    assert folder.claimed(1)
    assert not folder.claimed(2)


def test_each_attempt_is_claimed_by_itself_and_a_late_one_is_refused(folder: JobFolder) -> None:
    folder.claim(1)
    folder.claim(2)
    with pytest.raises(Conflict):
        folder.claim(1)
    folder.claim(4)
    with pytest.raises(Conflict, match="another has taken its place"):
        folder.claim(3)


def test_an_attempt_that_was_replaced_may_not_finish(folder: JobFolder) -> None:
    folder.claim(1)
    folder.claim(2)
    with pytest.raises(Conflict, match="Attempt 1 of run-1 is over"):
        folder.finish(Result(attempt=1))
    assert folder.result() is None
    folder.finish(Result(attempt=2, metrics={"dice": 0.9}, outputs=(Output(kind="weights", name="w", ref="w.bin"),)))
    result = folder.result()
    assert result is not None
    assert (result.attempt, result.metrics) == (2, {"dice": 0.9})


def test_after_the_result_nobody_finishes_or_claims_again(folder: JobFolder) -> None:
    folder.claim(1)
    folder.finish(Result(attempt=1))
    with pytest.raises(Conflict):
        folder.finish(Result(attempt=1))
    with pytest.raises(Conflict):
        folder.claim(2)


def test_an_ending_is_that_of_its_attempt(folder: JobFolder) -> None:
    folder.claim(1)
    ending = Ending(state=JobState.FAILED, exit_code=3, message="It was Tuesday.", time=now())
    folder.end(1, ending)
    assert folder.ending(1) == ending
    assert folder.ending(2) is None


@pytest.mark.parametrize(
    "content", ["", "{", "null", "[]", '{"attempt": "first"}', '{"attempt": 1, "more": 2}', "\xff"]
)
def test_a_result_that_cannot_be_read_is_said_in_words(folder: JobFolder, content: str) -> None:
    (folder.path / "result.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(Invalid, match=r"result\.json cannot be read"):
        folder.result()


def test_the_supervisors_word_waits_for_a_folder(tmp_path: Path, folder: JobFolder) -> None:
    JobFolder(tmp_path / "not-yet").note_state({"state": "waiting"})
    assert not (tmp_path / "not-yet").exists()
    folder.note_state({"state": "running"})
    assert (folder.path / "state.json").read_text() == '{"state": "running"}'


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path, folder: JobFolder) -> None:
    link = tmp_path / "jobs" / "run-2"
    link.symlink_to(folder.path)
    with pytest.raises(Invalid, match="not a job folder of this user"):
        JobFolder(link).check_owner()
    with pytest.raises(Invalid, match="not a job folder of this user"):
        JobFolder.make(link, JOB.model_copy(update={"id": "run-2"}))
    assert folder.job() == JOB, "nothing was written through the link"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(folder: JobFolder) -> None:
    os.chown(folder.path, 12345, -1)
    with pytest.raises(Invalid, match="not a job folder of this user"):
        folder.check_owner()


def test_a_log_beyond_all_measure_keeps_its_beginning_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlex_jupyter.jobfolder.MOST_LOG", 10_000)
    monkeypatch.setattr("mlex_jupyter.jobfolder.END_OF_LOG", 1000)
    folder = JobFolder(tmp_path)
    with folder.log.open("ab") as log:  # as a run has it open
        log.write(b"the beginning\n")
        folder.cap_log()
        for number in range(2000):
            log.write(b"line %d\n" % number)
            log.flush()
            folder.cap_log()
            assert folder.log.stat().st_size <= 10_100
        log.write(b"the end\n")
    text = folder.log.read_text()
    assert text.startswith("the beginning\nline 0\n")
    assert text.endswith("line 1999\nthe end\n")
    assert "[MLEx: the log was" in text


def test_a_log_or_a_result_that_is_a_link_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlex_jupyter.jobfolder.MOST_LOG", 10)
    (tmp_path / "job").mkdir()
    (tmp_path / "mine").write_text('{"attempt": 1, "outputs": []}')
    for name in ("log.txt", "result.json"):
        (tmp_path / "job" / name).symlink_to(tmp_path / "mine")
    folder = JobFolder(tmp_path / "job")
    folder.cap_log()
    assert folder.result() is None
    assert (tmp_path / "mine").read_text() == '{"attempt": 1, "outputs": []}'
