"""Architectures: every one described, or said to be broken, and parameters held to their form."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlex_jupyter.errors import Invalid, NotFound, Unavailable
from mlex_jupyter.forms import complete_params, preset_params
from mlex_jupyter.plugins import entry_points
from mlex_jupyter.store import Store
from mlex_jupyter.types import Architecture, ArrayContract
from mlex_jupyter.zoo.architectures import Architectures, describe
from mlex_jupyter.zoo.sources import Sources
from tests.engine import settings_of

module = sys.modules[Architectures.__module__]
GOOD = """
from mlex_jupyter.learn.models import architecture

@architecture(title="A small net")
def small(*, channels: int, classes: int, width: int = 4): ...
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install("package", "code", name="module:thing")` puts architectures where every process finds them."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    entry_points.cache_clear()

    def add(package: str, code: str, version: str = "1.0", **points: str) -> None:
        (site / f"{package}.py").write_text(code)
        info = site / f"{package}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        lines = "\n".join(f"{name} = {value}" for name, value in points.items())
        (info / "entry_points.txt").write_text(f"[mlex.models]\n{lines}\n")
        entry_points.cache_clear()

    yield add
    entry_points.cache_clear()


@pytest.fixture
def known(home: Path, described: Path) -> Architectures:
    shutil.copytree(described, home / "cache")
    settings = settings_of(home)
    return Architectures(settings, Sources(Store.open(settings), settings))


# ---------------------------------------------------------------- architectures


@pytest.mark.needs("torch", "dlsia")
async def test_the_built_ins_are_described_with_a_form(known: Architectures) -> None:
    found = {architecture.name: architecture for architecture in await known.all()}
    assert found.keys() >= {"unet", "tunet"}
    for architecture in found.values():
        properties = architecture.params_schema["properties"]
        assert isinstance(properties, dict)
        assert {field["x-group"] for field in properties.values()} == {"network", "training"}
        assert architecture.title
        assert complete_params(architecture, {}).keys() == properties.keys()
    assert await known.broken() == {}


@pytest.mark.needs("torch")
async def test_a_description_is_kept_for_as_long_as_its_package_stays_the_same(
    known: Architectures, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def again(names: list[str]) -> dict[str, dict[str, object]]:
        raise AssertionError(f"described again: {names}")

    monkeypatch.setattr(module, "describe", again)
    begun = time.monotonic()
    assert len(await known.all()) >= 2
    assert time.monotonic() - begun < 1


@pytest.mark.needs("torch")
async def test_a_cache_that_cannot_be_read_is_made_anew(
    known: Architectures, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = json.loads((home / "cache" / "architectures.json").read_text())
    asked: list[str] = []

    async def fake(names: list[str]) -> dict[str, dict[str, object]]:
        asked.extend(names)
        return {name: whole[name]["says"] for name in names}

    monkeypatch.setattr(module, "describe", fake)
    (home / "cache" / "architectures.json").write_text("{ half of it")
    assert {architecture.name for architecture in await known.all()} == set(asked) == set(whole)


@pytest.mark.needs("torch")
async def test_a_new_version_of_a_package_is_described_again(
    known: Architectures, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    whole = {name: found["says"] for name, found in json.loads(known._cache.read_text()).items()}

    async def record(names: list[str]) -> dict[str, dict[str, object]]:
        asked.append(names)
        return {name: {**whole["unet"], "name": name} for name in names}

    monkeypatch.setattr(module, "describe", record)
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0)
    install("beamline", GOOD, small="beamline:small")
    assert "small" in {architecture.name for architecture in await known.all()}
    await known.all()
    install("beamline", GOOD + "\n# changed\n", small="beamline:small")
    os.utime(Path(os.environ["PYTHONPATH"].split(os.pathsep)[0]) / "beamline.py", (1, 1))
    await known.all()
    assert asked == [["small"], ["small"]]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('[]'); raise ImportError('no such library')", "no such library"),
        ("raise SystemExit(3)", "SystemExit"),
        ("import os; os._exit(0)", "ended without an answer"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended without an answer"),
        ("def other(): ...", "AttributeError"),
        ("small = 7", ""),
        ("def small(channels, classes, width): ...", ""),
        ("this is no Python", "SyntaxError"),
    ],
)
async def test_a_broken_plugin_is_described_by_why_and_the_others_as_they_are(
    install: Install, code: str, words: str
) -> None:
    install("beamline", code, small="beamline:small")
    found = await describe(["small"])
    assert words in str(found["small"]["error"])
    assert "\n" not in str(found["small"]["error"])


async def test_one_that_breaks_the_process_does_not_take_the_others_with_it(install: Install) -> None:
    install("killer", "import os; os._exit(1)", killer="killer:small")
    install("stumbler", "raise ZeroDivisionError('division by zero')", stumbler="stumbler:small")
    found = await describe(["killer", "stumbler"])
    assert "without an answer" in str(found["killer"]["error"])
    assert "division by zero" in str(found["stumbler"]["error"])


async def test_one_that_never_ends_is_given_up(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DESCRIBE_S", 1.5)
    install("sleeper", "import time; time.sleep(600)", sleeper="sleeper:small")
    found = await describe(["sleeper"])
    assert "took more than 1.5 s" in str(found["sleeper"]["error"])


@pytest.mark.needs("torch")
async def test_a_broken_architecture_is_unavailable_and_says_why(
    known: Architectures, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("beamline", "raise ImportError('no such library')", small="beamline:small")
    assert "small" not in {architecture.name for architecture in await known.all()}
    assert "no such library" in (await known.broken())["small"]
    with pytest.raises(Unavailable, match="no such library"):
        await known.get("small")
    assert "small" in known._read_cache(), "a hanging plugin costs its time once"
    monkeypatch.setattr(module, "TRY_AGAIN_AFTER_S", -1)
    assert "small" not in known._read_cache(), "it may be mended tomorrow"


@pytest.mark.needs("torch")
@pytest.mark.parametrize("name", ["unett", "", "a\nb", "../x"])
async def test_an_architecture_that_is_not_there_is_not_found(known: Architectures, name: str) -> None:
    with pytest.raises(NotFound) as caught:
        await known.get(name)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    if name == "unett":
        assert "unet" in caught.value.hint


# ---------------------------------------------------------------- parameters

FORM = Architecture(
    name="small",
    title="A small net",
    params_schema={
        "type": "object",
        "properties": {
            "depth": {"type": "integer", "default": 3, "minimum": 1, "maximum": 6, "description": "How deep."},
            "rate": {"type": "number", "default": 0.001, "exclusiveMinimum": 0},
            "norm": {"enum": ["batch", "none"], "default": "batch"},
        },
        "additionalProperties": False,
    },
    inputs=ArrayContract(axes="cyx"),
    outputs=ArrayContract(axes="cyx"),
    builder="beamline:small",
    distribution="beamline",
    version="1.0",
)


def test_what_is_left_out_takes_its_default() -> None:
    assert complete_params(FORM, {"depth": 5}) == {"depth": 5, "rate": 0.001, "norm": "batch"}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"dept": 3}, "no parameter 'dept'"),
        ({"depth": 0}, "depth = 0 will not do"),
        ({"depth": -3}, "depth = -3 will not do"),
        ({"depth": 7}, "depth = 7 will not do"),
        ({"depth": "deep"}, "depth = 'deep' will not do"),
        ({"depth": 2.5}, "depth = 2.5 will not do"),
        ({"depth": None}, "depth = None will not do"),
        ({"rate": 0}, "rate = 0 will not do"),
        ({"norm": "layer"}, "norm = 'layer' will not do"),
        ({"depth": [[[]]]}, "depth = "),
    ],
)
def test_a_parameter_that_will_not_do_is_named(params: dict[str, object], words: str) -> None:
    with pytest.raises(Invalid, match=words.replace("[", "\\[")) as caught:
        complete_params(FORM, params)  # type: ignore[arg-type]
    if "dept" in params:
        assert "depth" in (caught.value.hint or "")


@pytest.mark.needs("torch")
async def test_a_preset_gives_parameters_and_an_unknown_one_is_answered_with_those_there_are(
    known: Architectures,
) -> None:
    unet = await known.get("unet")
    assert preset_params(unet, "fast") == unet.presets["fast"] == {"depth": 3, "base_channels": 8}
    with pytest.raises(NotFound, match="no preset 'fats'") as error:
        preset_params(unet, "fats")
    assert "fast" in (error.value.hint or "")
