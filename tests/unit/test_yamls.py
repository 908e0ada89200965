"""What people write as YAML is what they mean."""

from pathlib import Path
from typing import Any

import pytest

from mlex_jupyter.errors import Invalid
from mlex_jupyter.yamls import yaml_mapping, yaml_value


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("4", 4),
        ("-1", -1),
        ("010", 10),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("true", True),
        ("on", "on"),
        ("null", None),
        ("nan", "nan"),
        ("2026-11-21", "2026-11-21"),
        ("12:30", "12:30"),
        ("[1, 2]", [1, 2]),
        ("{rate: 1e-3}", {"rate": 0.001}),
        ("'4'", "4"),
        ("{", "{"),
        ("!!python/object/apply:os.system [id]", "!!python/object/apply:os.system [id]"),
    ],
)
def test_a_value_is_what_people_mean(text: str, meant: Any) -> None:
    found = yaml_value(text)
    assert found == meant
    assert type(found) is type(meant)


def test_a_body_that_is_no_yaml_says_where() -> None:
    with pytest.raises(Invalid, match="line 2"):
        yaml_mapping("data: sand-tomo\nparams: {epochs: 4")


def test_a_body_of_a_list_is_refused() -> None:
    with pytest.raises(Invalid, match="key: value"):
        yaml_mapping("- tunet")


def test_the_ordinary_yaml_loader_is_left_as_it_was() -> None:
    import yaml

    assert yaml.safe_load("on") is True


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
        "a: !!python/object/apply:os.system [touch harm]",
        "a: !!python/name:os.system",
        "a: !anything {b: 1}",
        "[" * 5000,
        "{a: " * 5000,
    ],
)
def test_references_tags_and_endless_nesting_are_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Invalid):
        yaml_mapping(text)
    assert yaml_value(text) == text
    assert not list(tmp_path.iterdir())
