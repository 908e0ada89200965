"""`mlex` as a process: what it prints where, with which exit code, and how soon."""

import contextlib
import itertools
import json
import os
import pty
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlex_jupyter import sync
from mlex_jupyter.cli import main
from mlex_jupyter.faces.outline import outline

Run = Callable[..., subprocess.CompletedProcess[str]]
MLEX = str(Path(sys.executable).with_name("mlex"))


def test_help_lists_every_verb(mlex_run: Run) -> None:
    said = mlex_run("--help").stdout
    assert all(f"  {name.rstrip('_').replace('_', '-')} " in said and text in said for name, text in outline().items())
    assert mlex_run().stdout == mlex_run("help").stdout == said


def test_help_of_a_verb_says_what_it_takes(mlex_run: Run) -> None:
    said = mlex_run("train", "--help").stdout
    assert "usage: mlex train MODEL --data DATA --labels LABELS [options]" in said
    assert "-p, --params KEY=VALUE" in said
    assert "--gpus N" in said
    assert mlex_run("help", "train").stdout == said
    assert "usage: mlex run [options] -- ARGV …" in mlex_run("run", "-h").stdout


def seconds(*command: str) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def test_help_comes_sooner_than_the_types_could_be_made() -> None:
    # Timings on a shared machine are noise; the same noise is on what they are compared with.
    rounds = [(seconds(MLEX, "--help"), seconds(sys.executable, "-c", "import mlex_jupyter.types")) for _ in range(7)]
    help_s, types_s = (statistics.median(column) for column in zip(*rounds, strict=True))
    assert help_s < types_s
    assert help_s < 0.3 or help_s < types_s / 2


def test_help_loads_nothing_heavy() -> None:
    code = """
import sys
from mlex_jupyter.cli import main
main(["--help"])
print([name for name in ("torch", "numpy", "sqlalchemy", "pandas", "pydantic", "asyncio") if name in sys.modules])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"


def test_listing_loads_neither_torch_nor_pandas(home: Path) -> None:
    code = """
import sys
from mlex_jupyter.cli import main
main(["jobs"])
print([name for name in ("torch", "dlsia", "pandas", "mlflow", "jupyterlab", "jsonschema") if name in sys.modules])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"


def test_a_line_that_was_not_understood_is_usage(mlex_run: Run) -> None:
    done = mlex_run("trian", check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("mlex: There is no verb 'trian'.\nDid you mean train")


def test_a_problem_is_one_and_says_what_to_do(mlex_run: Run) -> None:
    done = mlex_run("job", "nothing", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("mlex: There is no run")
    assert "Traceback" not in done.stderr


def test_with_json_a_problem_is_a_document(mlex_run: Run) -> None:
    done = mlex_run("job", "nothing", "--json", check=False)
    assert done.returncode == 1
    assert json.loads(done.stderr)["code"] == "not_found"
    assert done.stdout == ""


NAMES = ("a\nb", "a\"b'c", "$(touch owned)", "`id`", "../x", "", "-", "--", "x" * 300, "\x1b[2J", "ü", "a;b", "*")
NAMED = ("job", "dataset", "model", "architecture", "cancel", "resume", "labels", "logs", "why", "wait")


def test_no_name_makes_a_traceback(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "_current", None)
    sync.use(home=home)
    for verb, name in itertools.product(NAMED, NAMES):
        assert main([verb, name]) in (1, 2), (verb, name)
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("mlex: "), (verb, name)
        assert "\x1b" not in said.err


def test_an_empty_list_says_so_and_is_empty_json(mlex_run: Run) -> None:
    assert mlex_run("jobs").stdout == "None yet.\n"
    assert json.loads(mlex_run("jobs", "--json").stdout) == []


def test_a_run_is_waited_for_and_its_log_printed(mlex_run: Run) -> None:
    done = mlex_run("run", "-o", "hello", "--wait", "--json", "--", "echo", "hello there")
    assert json.loads(done.stdout)["state"] == "done"
    assert done.stderr.splitlines()[0].endswith("hello")
    assert done.stderr.splitlines()[-1] == "✔ Done hello"
    assert "hello there" in mlex_run("logs", "hello", "-f").stdout
    pieces = [json.loads(line)["text"] for line in mlex_run("logs", "hello", "--json").stdout.splitlines()]
    assert "hello there" in "".join(pieces)
    assert "✔ Done" in mlex_run("jobs").stdout


def test_on_a_terminal_one_line_is_written_over(home: Path) -> None:
    ours, its = pty.openpty()
    waiting = subprocess.Popen(
        [MLEX, "run", "-o", "hello", "--wait", "--json", "--", "true"],
        env=os.environ | {"MLEX_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=its,
    )
    os.close(its)
    said = b""
    with contextlib.suppress(OSError):  # Linux says so when the other side has closed
        while piece := os.read(ours, 4096):
            said += piece
    os.close(ours)
    assert waiting.wait(60) == 0
    lines = said.decode().split("\r\x1b[2K")
    assert lines[1] == "◷ Waiting hello"
    assert lines[-1].split() == ["✔", "Done", "hello"]
    assert said.count(b"\n") == 1


def test_a_failed_run_is_a_problem_to_who_waits(mlex_run: Run) -> None:
    done = mlex_run("run", "-o", "bad", "--wait", "--", "sh", "-c", "exit 4", check=False)
    assert done.returncode == 1
    assert "bad failed" in done.stderr
    assert "exit code 4" in done.stderr


def test_an_interrupt_ends_the_waiting_and_not_the_job(home: Path, mlex_run: Run, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"until test -e {go}; do sleep 0.1; done"
    waiting = subprocess.Popen(
        [MLEX, "run", "-o", "long", "--wait", "--", "sh", "-c", script],
        env=os.environ | {"MLEX_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr is not None
    said = [waiting.stderr.readline()]
    while "Running" not in said[-1]:
        assert said[-1], said
        said.append(waiting.stderr.readline())
    waiting.send_signal(signal.SIGINT)
    _, rest = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert "long goes on" in rest
    assert "mlex wait long" in rest
    assert "Traceback" not in rest
    assert json.loads(mlex_run("job", "long", "--json").stdout)["state"] == "running"
    go.touch()
    assert json.loads(mlex_run("wait", "long", "--json").stdout)["state"] == "done"


def test_a_reader_that_has_seen_enough_is_no_problem(home: Path, mlex_run: Run) -> None:
    mlex_run("run", "-o", "many", "--wait", "--", "seq", "200000")
    done = subprocess.run(
        ["sh", "-c", f"{MLEX} logs many | head -1"],
        env=os.environ | {"MLEX_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""


def test_a_locale_without_the_icons_is_no_reason_to_fail(home: Path, mlex_run: Run) -> None:
    mlex_run("run", "-o", "hello", "--wait", "--", "true")
    done = subprocess.run(
        [MLEX, "jobs"],
        env=os.environ | {"MLEX_HOME": str(home), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert "? Done" in done.stdout


def test_bash_completes_verbs_options_and_names(mlex_run: Run, home: Path) -> None:
    mlex_run("sample", "--size", "32", "--slices", "4")

    def tab(*words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in words)
        code = (
            f'eval "$(mlex completion bash)"; COMP_WORDS=(mlex {line}); COMP_CWORD={len(words)}; '
            '_mlex; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        environment = os.environ | {"MLEX_HOME": str(home), "PATH": f"{Path(MLEX).parent}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", code], env=environment, capture_output=True, text=True, timeout=60)
        assert done.stderr == ""
        return done.stdout.split()

    assert tab("tra") == ["train"]
    assert "--params" in tab("train", "tunet", "--p")
    assert tab("train", "tunet", "--data", "sand-tomo-") == ["sand-tomo-truth"]
    assert tab("train", "tunet", "--data", "sand-tomo", "--labels", "") == ["scribbles"]
    assert tab("jobs", "--state", "r") == ["running"]
    assert tab("help", "doc") == ["doctor"]
