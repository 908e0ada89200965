"""The page of the REST API: all that the document says, nothing from elsewhere, and nothing that could run."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from html.parser import HTMLParser
from typing import Any

import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.server.docs import page, policy
from mlex_jupyter.server.http import Router
from mlex_jupyter.server.openapi import document
from mlex_jupyter.settings import Settings


class Read(HTMLParser):
    """What stands on a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.open: list[str] = []
        self.inside: dict[str, list[str]] = {"pre": [], "style": [], "script": []}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if tag == "a" and "href" in given else []
        self.loads += [given[name] for name in ("src", "srcset", "data") if name in given]
        self.loads += [given["href"]] if tag != "a" and "href" in given else []
        self.handlers += [name for name in given if name.startswith("on") or name == "style"]
        self.open.append(tag)
        if tag in self.inside:
            self.inside[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.inside:
            self.inside[self.open[-1]][-1] += data


@pytest.fixture(scope="module")
def says() -> dict[str, Any]:
    return document()


@pytest.fixture(scope="module")
def read(says: dict[str, Any]) -> Read:
    reader = Read()
    reader.feed(page(says, "https://hub.org/user/me/mlex/api/v1"))
    return reader


def test_every_route_and_every_type_is_there_once(says: dict[str, Any], read: Read) -> None:
    operations = [one["operationId"] for methods in says["paths"].values() for one in methods.values()]
    types = [f"type-{name}" for name in says["components"]["schemas"]]
    assert sorted(read.ids) == sorted([*operations, *types, "top", "types"])


def test_every_link_leads_somewhere_on_the_page_or_to_the_contract(read: Read) -> None:
    assert {link for link in read.links if not link.startswith("#")} == {"openapi.json"}
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)


def test_nothing_is_loaded_and_only_what_stands_there_runs(read: Read) -> None:
    assert read.loads == read.handlers == []
    for kind in ("style", "script"):
        (text,) = read.inside[kind]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy()
    assert "unsafe" not in policy()
    assert policy().startswith("default-src 'none'")


def test_what_is_said_there_cannot_become_markup(says: dict[str, Any]) -> None:
    wicked = "<script>alert(1)</script>\"'`<b>`"
    text = json.dumps(says).replace("A dataset;", json.dumps(wicked)[1:-1])
    assert "<script>alert" not in page(json.loads(text), f"http://{wicked}/")


def _pictures(says: dict[str, Any]) -> list[str]:
    """The paths that stand beside the table of verbs, as patterns."""
    tags = {path: methods.get("get", {}).get("tags", []) for path, methods in says["paths"].items()}
    found = [path for path, said in tags.items() if said == ["Pictures"]]
    return [re.sub(r"\{\w+\}", "[^/]+", path) for path in found]


def test_every_example_is_understood_by_the_routes(says: dict[str, Any], read: Read, settings: Settings) -> None:
    """A line to copy must not be refused for how it is written; what it names may not be there."""
    router = Router(Mlex(settings))
    for line in read.inside["pre"][1:]:
        words = shlex.split(line.replace("\\\n", " "))
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        path, _, query = words[-1].removeprefix("$URL").partition("?")
        body = words[words.index("--json") + 1] if "--json" in words else "{}"
        if "--data-binary" in words or any(re.fullmatch(picture, path) for picture in _pictures(says)):
            continue
        (call,) = [call for call in router.calls if call.route.method == method and call.pattern.fullmatch(path)][:1]
        match = call.pattern.fullmatch(path)
        assert match
        asked = {name: [value] for name, value in (part.split("=") for part in query.split("&") if part)}
        given = {**call._others(asked, body.encode()), **match.groupdict()}
        for name, value in given.items():
            call._checked(name, value)
        needed = {parameter.name for parameter in call.parameters.values() if parameter.required}
        assert needed <= set(given), line
    assert not re.search(r"\{\w+\}", " ".join(read.inside["pre"]))
