"""Names of files that are long, command a terminal, turn the direction of writing or are no text: on every face."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Invalid, MlexError
from mlex_jupyter.faces.present import Table, as_json, record_html, text
from tests.engine import settings_of

NAMES = (
    "\x1b]0;owned\x07\x1b[2J", "new\nline\rover\ttab\x00".replace("\x00", ""), "\x7f\x9b31mred", "\u202egpj.exe\u2066",
    "<img src=x onerror=alert(1)>", "'\"&amp;`$(id)", "x" * 240, "Körner 砂 🏜", "\u2028\ufeff", "- -rf",
)  # fmt: skip
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""All of it but the end of a line, which the text of a table has."""


@pytest.fixture
async def engine(home: Path) -> AsyncIterator[Mlex]:
    made = Mlex(settings_of(home))
    yield made
    made.close()


def volume(folder: Path, name: str) -> Path:
    path = folder / f"{name}.npy"
    np.save(path, np.zeros((2, 8, 8), np.uint8))
    return path


async def test_they_are_listed_on_every_face_and_command_none(engine: Mlex, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        place = str(volume(tmp_path, name))
        found = await engine.register(place, name=f"scan-{number}", description=name)
        assert found.uri == place
        assert (await engine.register(place)).name, "a name is made of what is left of it"
    listed = await engine.data()
    assert len(listed) == 2 * len(NAMES)
    shown = [text(listed, 100), as_json(listed), Table(listed)._repr_html_(), repr(Table(listed))]
    for one in listed:
        lineage = await engine.lineage(one.name)
        shown += [text(one, 100), as_json(one), record_html(one), text(lineage), as_json(lineage), record_html(lineage)]
    for said in shown:
        assert OBEYED.search(said) is None, ascii(said)
    assert {one["uri"] for one in json.loads(shown[1])} == {one.uri for one in listed}, "and JSON says what it was"
    for html in (record_html(one) for one in listed):
        assert "<img" not in html and "alert(1)>" not in html


async def test_the_shell_shows_them_and_finds_them_again(engine: Mlex, home: Path, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        await engine.register(str(volume(tmp_path, name)), name=f"scan-{number}", description=name)

    def mlex(*words: str) -> str:
        command = [Path(sys.executable).with_name("mlex"), *words]
        return subprocess.run(command, env=os.environ, capture_output=True, check=True, timeout=170).stdout.decode()

    listing, document = mlex("data"), mlex("data", "--json")
    for said in (listing, document, mlex("dataset", "scan-0"), mlex("facets")):
        assert OBEYED.search(said) is None, ascii(said)
    assert len(listing.splitlines()) == 1 + len(NAMES), "one line each"
    assert {one["uri"] for one in json.loads(document)} == {one.uri for one in await engine.data()}


@pytest.mark.parametrize("as_document", [False, True])
def test_a_refusal_that_names_one_commands_no_terminal(home: Path, tmp_path: Path, as_document: bool) -> None:
    name = f"{tmp_path}/a\x1b]0;owned\x07\x9b31m\u202e.npy"
    for words in (["register", name], ["register", name, "--meta", f"k={name}"], ["dataset", "\x1b[2J"]):
        command = [Path(sys.executable).with_name("mlex"), *words, *(["--json"] if as_document else [])]
        done = subprocess.run(command, env=os.environ, capture_output=True, timeout=170)
        assert done.returncode
        assert OBEYED.search(done.stderr.decode()) is None, ascii(done.stderr)
        assert not as_document or json.loads(done.stderr)["message"]


async def test_a_name_that_is_no_text_is_refused_in_words(engine: Mlex, tmp_path: Path) -> None:
    bad = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.npy")
    np.save(bad, np.zeros((2, 8, 8), np.uint8))
    await engine.register(str(volume(tmp_path, "good")))
    for work in (engine.register(bad), engine.import_labels("good", bad)):
        with pytest.raises(Invalid, match="has a name that is not in UTF-8") as refused:
            await work
        refused.value.message.encode()
    done = subprocess.run(
        [Path(sys.executable).with_name("mlex"), "register", os.fsencode(bad)], capture_output=True, timeout=170
    )
    assert done.returncode == 1
    assert b"is not in UTF-8" in done.stderr
    assert b"Traceback" not in done.stderr
    (tmp_path / "link.npy").symlink_to(bad)
    assert (await engine.register(str(tmp_path / "link.npy"))).shape == (2, 8, 8), "as the hint says"


async def test_files_of_a_folder_with_such_names_are_verified_and_named(engine: Mlex, tmp_path: Path) -> None:
    folder = tmp_path / "scan.zarr"
    zarr.create_array(folder, data=np.zeros((2, 8, 8), np.uint8), chunks=(1, 8, 8))
    await engine.register(str(folder))
    await engine.verify("scan")
    for name in (b"\xff\xfe", b"\x1b[2J", b"new\nline"):
        (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_bytes(b"")
    found = await engine.verify("scan")
    assert (found.state, len(found.added)) == ("changed", 3)
    for said in (text(found), as_json(found), record_html(found)):
        said.encode()
        assert OBEYED.search(said) is None
    assert (await engine.verification("scan")).added == found.added
    assert (await engine.verify("scan", accept=True)).state == "noted"
    assert (await engine.verify("scan")).state == "same"


async def test_a_stack_of_such_files_is_read_or_refused_in_words(engine: Mlex, tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    folder.mkdir()
    for number in range(3):
        tifffile.imwrite(folder / "new.tif", np.zeros((8, 8), np.uint8), photometric="minisblack")
        os.rename(folder / "new.tif", os.fsencode(folder) + b"/s\xff_%d.tif" % number)
    try:
        assert (await engine.register(str(folder))).shape == (3, 8, 8)
    except MlexError as error:
        error.message.encode()
        assert "crashed" not in error.message
