"""What is written down is true: commands are understood, files exist, and nothing names one machine."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.faces import lines
from mlex_jupyter.plugins import entry_points
from mlex_jupyter.server.serve import asked
from mlex_jupyter.settings import Settings
from mlex_jupyter.verbs import table
from tests.conftest import ROOT

TEXTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
MAKEFILE = (ROOT / "Makefile").read_text()


def committed() -> list[Path]:
    """The files that are, or are about to be, in the repository."""
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = (ROOT / name for name in found.stdout.decode().split("\0") if name)
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def blocks(text: Path, *languages: str) -> Iterator[str]:
    """The fenced blocks of a text in these languages."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text.read_text(), re.MULTILINE | re.DOTALL):
        if language in languages:
            yield block


def commands(block: str) -> Iterator[list[str]]:
    """The words of each command of a shell block, without comments and continued lines joined."""
    for line in block.replace("\\\n", " ").splitlines():
        for command in re.split(r"\s;\s", line):
            if words := shlex.split(command, comments=True):
                yield words


def named(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def _understood(words: list[str]) -> None:
    """As the shell takes a line: for another server, for the server itself, or a verb."""
    if words[0] == "--server":
        words = words[2:]
    if words[0] == "serve":
        asked(words[1:])
    else:
        lines.read(words)


@pytest.mark.parametrize("text", TEXTS, ids=named(TEXTS))
def test_every_shell_command_is_understood(text: Path) -> None:
    for block in blocks(text, "sh", "bash"):
        for words in commands(block):
            while "=" in words[0]:
                words = words[1:]
            if words[0] == "mlex":
                _understood(words[1:])
            elif words[0] == "make":
                target = next(word for word in words[1:] if "=" not in word)
                assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"make has no {target}"
            else:
                assert words[0] in {"cd", "curl", "export", "git", "jlpm", "jupyter", "pip", "source"}, words


@pytest.mark.parametrize("text", TEXTS, ids=named(TEXTS))
def test_every_piece_of_python_is_python(text: Path) -> None:
    for block in blocks(text, "python"):
        plain = [line for line in block.splitlines() if not line.startswith(("%", "await "))]
        tree = ast.parse("\n".join(plain))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mlex":
                assert node.attr in table(Mlex) or node.attr in EXPORTED, f"mlex.{node.attr}"
        for line in block.splitlines():
            if line.startswith("%mlex "):
                lines.read(shlex.split(line)[1:], binds=True)


def _exported() -> set[str]:
    import mlex_jupyter

    return set(dir(mlex_jupyter))


EXPORTED = _exported()


@pytest.mark.parametrize("text", TEXTS, ids=named(TEXTS))
def test_every_link_leads_somewhere(text: Path) -> None:
    for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text.read_text()):
        if "://" not in link and not link.startswith("mailto:"):
            assert (text.parent / link).exists(), f"{text.name} links to {link}, which is not there"


@pytest.mark.parametrize("text", TEXTS, ids=named(TEXTS))
def test_every_file_that_is_named_exists(text: Path) -> None:
    """`mlex_jupyter/jobs/requests.py` in a text means that file."""
    for name in re.findall(
        r"`((?:mlex_jupyter|tests|tools|docs|notebooks|labextension|server_extension)/[\w./-]*)`", text.read_text()
    ):
        assert (ROOT / name).exists() or name.startswith("mlex_jupyter/labextension"), f"{text.name} names {name}"


def test_the_reference_is_what_the_code_says() -> None:
    program: list[str | Path] = [sys.executable, ROOT / "tools" / "reference.py"]
    written = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert written == (ROOT / "docs" / "reference.md").read_text(), "Run `make docs` and commit what it writes."


def test_every_setting_and_every_plugin_is_written_down() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    assert all(f"`{name}`" in reference for name in Settings.model_fields)
    extending = (ROOT / "docs" / "extending.md").read_text()
    for group in ("mlex.models", "mlex.readers", "mlex.targets"):
        assert entry_points(group), f"nothing is registered in {group}"
        assert group in extending


def test_the_readme_fits_on_two_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 110


# The parts of these names are joined here, so that this file is not found by its own search.
HOSTS = ["pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "yarnpkg" + ".com", "npmjs" + ".com"]
MACHINES = ["/" + "root/", "/" + "work/", "/" + "home/", "extra-index" + "-url", "/" + "opt/"]


def test_no_committed_file_names_a_registry_or_one_machine() -> None:
    found = []
    for path in committed():
        if path.suffix in {".png", ".gz", ".zarr", ".tif"}:
            continue
        content = path.read_text(errors="replace")
        found += [f"{path.relative_to(ROOT)}: {name}" for name in [*HOSTS, *MACHINES] if name in content]
    assert not found, "\n".join(found)


def test_notebooks_are_committed_without_outputs() -> None:
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs"), f"{path.name} has outputs"
            assert cell.get("execution_count") is None, f"{path.name} has been run"
