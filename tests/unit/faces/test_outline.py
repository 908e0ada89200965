"""The outline that `mlex --help` reads is the table of verbs."""

from mlex_jupyter.app import Mlex
from mlex_jupyter.faces.outline import functions, outline
from mlex_jupyter.verbs import table


def test_the_outline_is_what_the_table_says() -> None:
    verbs = table(Mlex)
    assert outline() == {name: verb.help for name, verb in verbs.items() if verb.shell}
    assert list(outline()) == [name for name, verb in verbs.items() if verb.shell]
    assert functions() == set(verbs)


def test_every_verb_has_a_line_of_help() -> None:
    assert all(text.endswith(".") for text in outline().values())
