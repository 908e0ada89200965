"""Whatever is typed, after `mlex` or `%mlex`, is done or refused in words: no traceback, and no other exit codes."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlex_jupyter import cli, lease, magics, sync
from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Unavailable
from mlex_jupyter.faces import grammar
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import Job

FEW, MANY = 250, 20_000
STRANGE = [
    *(
        "",
        " ",
        "-",
        "--",
        "---",
        "=",
        "--=",
        "-p",
        "-p=",
        "-o",
        "--json",
        "--help",
        "-h",
        "'",
        '"',
        "\\",
        "`id`",
        "$(id)",
    ),
    *(
        "\ud800",
        "a\ud800b",
        "\0",
        "\n",
        "\x1b[2J",
        "\u202e",
        "ü",
        "\N{SEEDLING}",
        "²",
        "%",
        "%s",
        "{}",
        "{0}",
        "*",
        "?",
    ),
    *(
        "0",
        "-1",
        "1e9",
        "1e999",
        "nan",
        "inf",
        "9" * 30,
        "9" * 5000,
        "0x10",
        "1_000",
        "true",
        "null",
        "~",
        "[",
        "{",
        "[]",
    ),
    *(
        "..",
        "/",
        "/dev/null",
        "~nobody",
        "file:///x",
        "http://127.0.0.1:1/",
        "[" * 2000,
        "{a: " * 500,
        "&a [*a]",
        "!!x 1",
    ),
    *("!!python/object/apply:os.system [id]", "epochs=4", "a=b=c", "=4", "{value: 1}", "help", "connect", "completion"),
    *(
        "words",
        "bash",
        "--server",
        "--server=x",
        "-V",
        "--version",
        "x" * 200,
        "sand",
        "run",
        "run-01",
        "unet",
        "local",
    ),
]


def _words() -> st.SearchStrategy[list[str]]:
    verbs = sorted(grammar.verbs())
    options = sorted({slot.word for verb in verbs for slot in grammar.slots(verb) if not slot.positional})
    known = st.sampled_from([*STRANGE, *options, *(f"{option}=" for option in options)])
    anything = st.text(st.characters(), max_size=12)  # surrogates among them, as a shell gives bytes that are no text
    joined = st.tuples(st.sampled_from(options), known | anything).map("=".join)
    first = st.sampled_from(verbs) | known | anything
    return st.tuples(first, st.lists(known | joined | anything, max_size=6)).map(lambda line: [line[0], *line[1]])


def _bodies() -> st.SearchStrategy[str]:
    names = sorted({slot.name for verb in grammar.verbs() for slot in grammar.slots(verb)})
    values = st.sampled_from(STRANGE) | st.text(max_size=12)
    lines = st.tuples(st.sampled_from(names) | values, values).map(": ".join)
    return st.lists(lines, max_size=4).map("\n".join) | st.text(max_size=60) | st.sampled_from(STRANGE)


def quick(count: int) -> settings:
    """The same examples in every run."""
    return settings(
        max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=HealthCheck
    )


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, described: Path) -> Iterator[Path]:
    """A home whose jobs wait for ever, for which nobody waits, and a server that nobody starts."""
    home = tmp_path_factory.mktemp("typed")
    (home / "cache").symlink_to(described)
    lock = lease.take(Settings.load(home=home))
    assert lock is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync, "_current", None)
        patch.setenv("MLEX_HOME", str(home))
        patch.delenv("MLEX_SERVER", raising=False)
        patch.chdir(home)
        patch.setattr(Mlex, "wait", _give_up)
        patch.setattr(Mlex, "logs", _said)
        patch.setattr(Mlex, "follow", _said)
        patch.setattr("mlex_jupyter.client.WAITS_S", ())
        patch.setattr(os, "execv", lambda *words: None)
        yield home
        sync.engine().close()
    os.close(lock)


async def _give_up(self: Mlex, run: str, *, timeout_s: float | None = None) -> Job:
    await self.job(run)
    raise Unavailable("Nobody waits here.")


async def _said(self: Mlex, run: str = "run", **more: Any) -> AsyncIterator[str]:
    yield (await self.job(run)).name


def typed(words: list[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(words)
    assert code in (cli.WELL, cli.PROBLEM, cli.USAGE), words
    assert "Traceback" not in out.getvalue() + err.getvalue(), words
    if code:
        assert err.getvalue().strip(), words
    sync.use(server="")


def asked(line: str, cell: str | None) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    magic = magics.Magic(InteractiveShell.instance())
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            magic(line, cell)
        except magics.Stop as stop:
            assert str(stop).strip()
            assert stop._render_traceback_()
    sync.use(server="")


@given(_words())
@quick(FEW)
@example(["help", "\ud800"])
@example(["--server"])
def test_any_words_in_a_shell(here: Path, words: list[str]) -> None:
    typed(words)


@given(_words().map(" ".join) | st.text(max_size=40), st.none() | _bodies())
@quick(FEW)
@example("train", "a: &a [*a]")
@example("train unet", "params: {1: 2}\n[]: 3")
@example("run", "argv: 3")
def test_any_line_and_any_body_in_a_notebook(here: Path, line: str, cell: str | None) -> None:
    asked(line, cell)


@pytest.mark.soak
@given(_words())
@quick(MANY)
def test_very_many_words_in_a_shell(here: Path, words: list[str]) -> None:
    typed(words)


@pytest.mark.soak
@given(_words().map(" ".join) | st.text(max_size=40), st.none() | _bodies())
@quick(MANY)
def test_very_many_lines_and_bodies_in_a_notebook(here: Path, line: str, cell: str | None) -> None:
    asked(line, cell)
