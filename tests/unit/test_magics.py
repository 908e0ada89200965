"""`%mlex` in a real kernel: what is bound, what is shown, what stops Run All, and what Tab offers."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import mlex_command
from tests.kernels import Kernel, running_kernel
from tests.servers import end_processes_of

pytestmark = pytest.mark.needs("lab")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("magics")
    mlex_command("sample", "--size", "32", "--slices", "4", home=path)
    yield path
    end_processes_of(path)


@pytest.fixture(scope="module")
def kernel(home: Path) -> Iterator[Kernel]:
    with running_kernel(home) as running:
        running.do("%load_ext mlex_jupyter")
        yield running


def test_a_list_is_shown_and_bound(kernel: Kernel) -> None:
    seen = kernel.do("%mlex data -o found")
    assert "<table" in seen.shown[0]["text/html"]
    assert "sand-tomo-truth" in seen.shown[0]["text/plain"]
    assert kernel.do("print(sorted(found.to_pandas().name))").text == "['sand-tomo', 'sand-tomo-truth']\n"
    assert kernel.do("print(found[0].name)").text == "sand-tomo-truth\n"


def test_a_result_can_be_assigned(kernel: Kernel) -> None:
    assert kernel.do("one = %mlex dataset sand-tomo\nprint(one.shape)").text == "(4, 32, 32)\n"


def test_json_is_printed(kernel: Kernel) -> None:
    seen = kernel.do("%mlex targets --json")
    assert '"name": "local"' in seen.text
    assert seen.shown == []


def test_a_run_is_waited_for_with_one_line_that_changes(kernel: Kernel) -> None:
    seen = kernel.do("%mlex run -o hello --wait -- echo hi")
    assert seen.updated[-1] == "✔ Done hello"
    assert "Done" in seen.shown[-1]["text/html"]
    assert kernel.do("print(hello.state.value)").text == "done\n"
    assert kernel.do("%mlex logs hello").text.splitlines()[-1].endswith("hi")


def test_a_failed_run_is_bound_all_the_same(kernel: Kernel) -> None:
    kernel.do("%mlex run -o twice --wait -- true")
    seen = kernel.do("%mlex run -o twice --wait -- false", check=False)
    assert seen.error is not None
    assert "exit code 1" in seen.error["evalue"]
    assert "Failed" in kernel.do("%mlex why twice").shown[0]["text/plain"]


def test_an_error_has_message_and_hint_and_no_traceback(kernel: Kernel) -> None:
    seen = kernel.do("%mlex train unett --data sand-tomo --labels scribbles", check=False)
    assert seen.error is not None
    lines = seen.error["traceback"]
    assert lines[0].startswith("There is no architecture 'unett'")
    assert "unet" in lines[1]
    assert len(lines) == 2


def test_an_error_stops_what_comes_after(kernel: Kernel) -> None:
    kernel.do("reached = False")
    kernel.do("%mlex trian\nreached = True", check=False)
    assert kernel.do("print(reached)").text == "False\n"


def test_a_variable_means_the_object_that_it_holds(kernel: Kernel) -> None:
    kernel.do("%mlex run -o mine --wait -- true")
    kernel.do("%mlex run --name other --wait -- true")
    kernel.do("other = mine")
    assert "mine" in kernel.do("%mlex job other").shown[0]["text/plain"]
    kernel.do("other = 'a string'")
    assert "other" in kernel.do("%mlex job other").shown[0]["text/plain"]


def test_a_variable_of_another_kind_is_only_a_word(kernel: Kernel) -> None:
    kernel.do("%mlex run --name plain --wait -- true")
    kernel.do("plain = %mlex dataset sand-tomo")
    assert "Done" in kernel.do("%mlex job plain").shown[0]["text/plain"]


def test_a_body_of_yaml_goes_on_with_the_line(kernel: Kernel) -> None:
    seen = kernel.do('%%mlex run -o cell --wait\nargv: [sh, -c, "echo a; echo b"]\nresources:\n  memory_gb: 1')
    assert seen.error is None
    assert kernel.do("print(cell.spec.resources.memory_gb, cell.spec.task.argv)").text == (
        "1.0 ('sh', '-c', 'echo a; echo b')\n"
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("%%mlex train unet\nlables: x", "train has no argument 'lables'."),
        ("%%mlex train unet\ndata: {", "The body is no YAML: line 2"),
        ("%mlex job 'unfinished", "The line cannot be read"),
        ("%mlex data -o two-words", "'two-words' cannot be a variable."),
        ("%mlex train unet --data sand-tomo", "train needs labels."),
    ],
)
def test_what_was_not_understood_is_named(kernel: Kernel, code: str, message: str) -> None:
    seen = kernel.do(code, check=False)
    assert seen.error is not None
    assert seen.error["evalue"].startswith(message)
    assert "Traceback" not in "".join(seen.error["traceback"])


def test_an_interrupt_ends_the_waiting_and_not_the_job(kernel: Kernel, home: Path) -> None:
    go = home / "go"
    threading.Thread(target=_interrupt_when_running, args=(kernel, home), daemon=True).start()
    seen = kernel.do(f"%mlex run -o patient --wait -- sh -c 'until test -e {go}; do sleep 0.1; done'", check=False)
    assert seen.error is not None
    assert seen.error["evalue"].startswith("Stopped waiting; patient goes on.")
    assert len(seen.error["traceback"]) == 2
    assert kernel.do("import mlex_jupyter as mlex\nprint(mlex.job(patient).state.value)").text == "running\n"
    go.touch()
    assert kernel.do("%mlex wait patient").updated[-1] == "✔ Done patient"


def _interrupt_when_running(kernel: Kernel, home: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done = mlex_command("job", "patient", home=home, check=False)
        if "Running" in done.stdout:
            kernel.manager.interrupt_kernel()
            return
        time.sleep(0.2)


def test_help_is_where_people_look(kernel: Kernel) -> None:
    assert "usage: %mlex VERB" in kernel.do("%mlex").text
    assert "usage: %mlex train MODEL" in kernel.do("%mlex train --help").text
    (page,) = kernel.do("%mlex?").payload
    assert "Train an architecture" in page["data"]["text/plain"]


def test_tab_offers_verbs_options_names_and_variables(kernel: Kernel) -> None:
    assert kernel.complete("%mlex tra") == ["train"]
    assert kernel.complete("%%mlex pred") == ["predict"]
    assert kernel.complete("%mlex train unet --da") == ["--data"]
    assert kernel.complete("%mlex train unet --data sand") == ["sand-tomo", "sand-tomo-truth"]
    assert kernel.complete("%mlex train unet --data sand-tomo --labels ") == ["scribbles"]
    assert kernel.complete("x = 1\n%mlex jobs --state ru") == ["running"]
    kernel.do("%mlex run -o tabbed --wait -- true")
    assert kernel.complete("%mlex job tab") == ["tabbed"]
    kernel.do("tabbed_too = tabbed")
    assert kernel.complete("%mlex job tab") == ["tabbed", "tabbed_too"]


def test_it_can_be_unloaded_and_loaded_again(kernel: Kernel) -> None:
    kernel.do("%unload_ext mlex_jupyter")
    assert "not found" in kernel.do("%mlex data", check=False).text
    kernel.do("%load_ext mlex_jupyter")
    kernel.do("%reload_ext mlex_jupyter")
    assert kernel.do("%mlex data").shown
    assert kernel.complete("%mlex tra") == ["train"]
