"""The verbs as plain functions: in scripts, in threads, beside a loop that runs, and not after a fork."""

import asyncio
import inspect
import multiprocessing
import pydoc
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mlex_jupyter as mlex
from mlex_jupyter import sync
from mlex_jupyter.app import Mlex
from mlex_jupyter.faces.present import Table
from mlex_jupyter.sync import OWN
from mlex_jupyter.verbs import table


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The plain functions, in this test's home."""
    monkeypatch.setattr(sync, "_current", None)
    engine = mlex.use(home=home)
    yield home
    engine.close()


def test_every_verb_is_a_function_with_its_signature_and_help() -> None:
    for name, verb in table(Mlex).items():
        if name in OWN:  # these take more than the verb
            continue
        function = getattr(mlex, name)
        parameters = list(inspect.signature(verb.function).parameters.values())[1:]
        assert list(inspect.signature(function).parameters.values()) == parameters
        assert inspect.getdoc(function) == inspect.getdoc(verb.function)
        assert name in dir(mlex)
    assert "Train an architecture" in pydoc.plain(pydoc.render_doc(mlex.train))


def test_model_shows_one_by_its_name_and_marks_a_network_of_one_s_own(here: Path) -> None:
    @mlex.model(title="Mine", divisible_by="2**depth")
    def mine(channels, classes, depth=2): ...  # type: ignore[no-untyped-def]

    assert mine.__mlex__.title == "Mine" and mine.__mlex__.divisible_by == "2**depth"
    assert mlex.model(mine).__mlex__.title == "mine"
    with pytest.raises(mlex.NotFound, match="no model 'pores'"):
        mlex.model("pores")
    with pytest.raises(mlex.NotFound, match="no model 'pores'"):
        mlex.model(name="pores")


def test_a_verb_stays_one_when_a_module_has_its_name() -> None:
    import mlex_jupyter.jobs.requests  # noqa: F401

    assert callable(mlex.jobs)
    assert callable(mlex.labels)


def test_types_and_errors_are_there_and_nothing_else() -> None:
    assert mlex.Resources(gpus=1).gpus == 1
    assert issubclass(mlex.NotFound, mlex.MlexError)
    assert all(getattr(mlex, name) is not None for name in sync.OTHERS)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        mlex.nonsense  # noqa: B018


def test_importing_is_quick_to_do() -> None:
    code = "import sys, mlex_jupyter; print([m for m in ('pydantic', 'asyncio', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_list_is_a_table(here: Path) -> None:
    assert mlex.jobs() == []
    assert isinstance(mlex.jobs(), Table)


async def test_it_works_beside_a_loop_that_runs(here: Path) -> None:
    assert asyncio.get_running_loop().is_running()
    assert mlex.data() == []


def test_it_works_in_threads(here: Path) -> None:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(mlex.targets()[0].name)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["local"] * 4


def _in_a_fork(said: Any) -> None:
    try:
        mlex.jobs()
    except mlex.MlexError as error:
        said.put((error.message, error.hint))


@pytest.mark.filterwarnings("ignore:This process")
def test_after_a_fork_it_is_refused_clearly(here: Path) -> None:
    mlex.jobs()
    context = multiprocessing.get_context("fork")
    said = context.Queue()
    child = context.Process(target=_in_a_fork, args=(said,))
    child.start()
    message, hint = said.get(timeout=30)
    child.join(30)
    assert "forked" in message
    assert "spawn" in hint


async def test_on_its_own_loop_it_is_refused_rather_than_stuck(here: Path) -> None:
    engine = sync.engine()

    async def inside() -> None:
        mlex.jobs()

    with pytest.raises(mlex.Conflict, match="own loop"):
        engine.run(inside())


def test_another_home_is_another_engine_and_the_same_home_the_same(here: Path, tmp_path: Path) -> None:
    first = sync.engine()
    assert mlex.use(home=here) is first
    other = mlex.use(home=tmp_path / "other")
    assert other is not first
    assert mlex.hello().home == str(tmp_path / "other")
    other.close()


def test_a_wrong_argument_is_named_with_the_nearest(here: Path) -> None:
    with pytest.raises(mlex.Invalid, match="train has no argument 'dta'") as caught:
        mlex.train("unet", dta="x")
    assert "data" in caught.value.hint
    assert caught.value.__notes__ == [caught.value.hint]


def test_too_many_words_are_a_type_error(here: Path) -> None:
    with pytest.raises(TypeError, match="too many positional"):
        mlex.job("a", "b")
    with pytest.raises(TypeError, match="twice"):
        mlex.job("a", run="a")


def test_a_run_is_waited_for_and_its_log_read_as_it_comes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = mlex.run(["sh", "-c", "echo one; sleep 0.5; echo two"], name="hello", wait=True)
    assert job.state == "done"
    assert capsys.readouterr().err.splitlines()[-1] == "✔ Done hello"
    log = mlex.logs(job, follow=True)
    assert "one" in next(log)
    log.close()
    assert "two" in "".join(mlex.logs("hello"))


def test_a_failed_run_raises_with_its_reason(here: Path) -> None:
    with pytest.raises(mlex.MlexError, match="exit code 3"):
        mlex.run(["sh", "-c", "exit 3"], wait=True)


def test_a_closed_engine_is_replaced(here: Path) -> None:
    sync.engine().close()
    assert mlex.use(home=here).mlex.settings.home == here
    assert mlex.jobs() == []


def test_an_interrupt_ends_the_waiting_and_not_the_job(here: Path) -> None:
    code = "import mlex_jupyter as mlex; mlex.run(['sleep', '60'], name='long', wait=True)"
    waiting = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert waiting.stderr is not None
    while "Running" not in (line := waiting.stderr.readline()):
        assert line
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=30)
    assert "Stopped waiting; long goes on." in said
    assert mlex.job("long").state == "running"


def test_waiting_gives_up_when_told_to(here: Path) -> None:
    job = mlex.run(["sleep", "60"], name="sleeper")
    with pytest.raises(mlex.MlexError, match="it goes on"):
        mlex.wait(job, timeout_s=0.2)
    assert mlex.cancel(job).name == "sleeper"
