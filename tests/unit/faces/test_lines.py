"""A line says what its verb needs, or which word of it was not understood."""

import shlex
from typing import Any

import pytest

from mlex_jupyter.faces.arguments import Usage
from mlex_jupyter.faces.grammar import slots, verbs
from mlex_jupyter.faces.lines import read
from mlex_jupyter.types import ClassInfo, JobState, Resources


def arguments(line: str, **more: Any) -> dict[str, Any]:
    return read(shlex.split(line), **more).arguments


def test_words_and_options_become_typed_arguments() -> None:
    line = "train tunet --data sand-tomo --labels=scribbles -p epochs=4 -plearning_rate=1e-3 -o run --wait --gpus 1"
    assert arguments(line) == {
        "model": "tunet",
        "data": "sand-tomo",
        "labels": "scribbles",
        "params": {"epochs": 4, "learning_rate": 0.001},
        "name": "run",
        "wait": True,
        "resources": Resources(gpus=1),
    }


def test_options_may_stand_before_the_words() -> None:
    assert arguments("logs -f run") == arguments("logs run --follow") == {"run": "run", "follow": True}


def test_what_comes_after_two_dashes_belongs_to_the_command() -> None:
    assert arguments("run -o x -- python -c 'print(1)' --wait -o y") == {
        "name": "x",
        "argv": ("python", "-c", "print(1)", "--wait", "-o", "y"),
    }


def test_a_command_keeps_its_own_options() -> None:
    assert arguments("run python x.py -o y") == {"argv": ("python", "x.py", "-o", "y")}


def test_an_option_of_several_values_is_repeated() -> None:
    assert arguments("register v.zarr --tags a --tags b")["tags"] == ("a", "b")


def test_a_record_is_written_as_yaml() -> None:
    found = arguments("import-labels d p.tif --classes '{value: 1, name: pore, color: \"#e69f00\"}'")
    assert found["classes"] == (ClassInfo(value=1, name="pore", color="#e69f00"),)


def test_a_mapping_of_words_keeps_them_as_they_are() -> None:
    assert arguments("run --extra account=007 -- true")["resources"].extra == {"account": "007"}


def test_a_state_is_one_of_the_states() -> None:
    assert arguments("jobs --state running") == {"state": JobState.RUNNING}
    with pytest.raises(Usage, match="state = 'runing' will not do"):
        arguments("jobs --state runing")


def test_dashes_and_underscores_are_the_same() -> None:
    assert arguments("import_labels d p") == arguments("import-labels d p")
    assert arguments("register p --pixel_size 2") == arguments("register p --pixel-size 2")


def test_json_and_help_are_understood_anywhere() -> None:
    assert read(["jobs", "--json"]).json
    assert read(["--json", "run", "true", "--json"]).arguments["argv"] == ("true", "--json")
    assert read(["train", "--data", "x", "--help"]).help


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("trian", "There is no verb 'trian'.", "train"),
        ("train t --dta x", "train has no option --dta.", "--data"),
        ("train t -x 1", "train has no option -x.", None),
        ("train t", "train needs data and labels.", "mlex help train"),
        ("train t --data --labels x", "--data needs a value.", None),
        ("train t --data", "--data needs a value.", None),
        ("train t --data a --data b --labels c", "--data is given twice.", None),
        ("train t --data a --labels b --gpus many", "gpus = 'many' will not do", None),
        ("train t --data a --labels b -p epochs", "-p wants key=value, not 'epochs'.", None),
        ("train t --data a --labels b --wait=yes", "--wait takes no value.", None),
        ("run --verbose x", "run has no option --verbose.", None),
        ("run", "run needs argv.", None),
        ("data a b", "data has no use for 'b': it takes QUERY.", None),
        ("targets x", "targets has no use for 'x': it takes no words.", None),
    ],
)
def test_what_was_not_understood_is_named(line: str, message: str, hint: str | None) -> None:
    with pytest.raises(Usage) as caught:
        arguments(line)
    assert caught.value.message.startswith(message)
    assert hint is None or hint in (caught.value.hint or "")


def test_the_line_goes_before_the_body() -> None:
    body = {"data": "a", "labels": "b", "params": {"epochs": 1, "batch": 2}, "resources": {"gpus": 1}, "memory_gb": 2}
    assert arguments("train unet --data c -p epochs=9", body=body) == {
        "model": "unet",
        "data": "c",
        "labels": "b",
        "params": {"epochs": 9, "batch": 2},
        "resources": Resources(gpus=1, memory_gb=2),
    }


def test_a_body_takes_lists_and_flags() -> None:
    body = {"argv": ["python", "x.py"], "after": ["a", "b"], "wait": True}
    assert arguments("run", body=body) == {"argv": ("python", "x.py"), "after": ("a", "b"), "wait": True}


def test_an_unknown_key_of_a_body_names_the_nearest() -> None:
    with pytest.raises(Usage, match="train has no argument 'lables'") as caught:
        arguments("train t", body={"lables": "x"})
    assert "labels" in (caught.value.hint or "")


def test_a_body_with_params_that_are_no_mapping_is_refused() -> None:
    with pytest.raises(Usage, match="params = 'epochs' will not do"):
        arguments("train t", body={"params": "epochs", "data": "a", "labels": "b"})


def test_in_a_notebook_every_verb_binds() -> None:
    assert read(["jobs", "-o", "found"], binds=True).bind == "found"
    assert read(["run", "-o", "it", "true"], binds=True).arguments["name"] == "it"
    with pytest.raises(Usage, match="jobs has no option -o"):
        read(["jobs", "-o", "found"])


@pytest.mark.parametrize("verb", verbs())
def test_every_place_in_a_line_is_explained_and_has_a_word_of_its_own(verb: str) -> None:
    places = slots(verb)
    assert [slot.path for slot in places if not slot.about] == []
    assert len({slot.word for slot in places}) == len(places)


def test_an_option_for_several_takes_the_words_that_follow_once_no_place_is_left() -> None:
    wanted = {"model": "net", "data": ("a", "b", "c"), "name": "seg"}
    assert arguments("predict net --data a b c -o seg") == wanted
    assert arguments("predict net --data a --data b --data c -o seg") == wanted
    assert arguments("predict --data a net -o seg") == {"model": "net", "data": ("a",), "name": "seg"}
    with pytest.raises(Usage, match="predict has no use for 'b'"):
        arguments("predict net --data a -o seg b")
