"""The classes of label sets: told apart by value and name, renamed and recoloured freely, taken away when unused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, update

from mlex_jupyter.errors import Conflict, Invalid, nearest
from mlex_jupyter.events import append
from mlex_jupyter.store.tables import label_drafts
from mlex_jupyter.types import ClassInfo

PALETTE = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#f0e442")
"""Okabe and Ito's colours, which people who see few colours tell apart; the panel has the same."""
MOST_CLASSES = 255
LONGEST_NAME = 100


def named_classes(names: Sequence[str], classes: Sequence[ClassInfo]) -> tuple[ClassInfo, ...]:
    """Classes as they are given, and one more for each name, with the next free value and colour."""
    found = [*classes]
    for name in names:
        taken = {one.value for one in found}
        value = next((value for value in range(1, MOST_CLASSES + 1) if value not in taken), None)
        if value is None:
            raise Invalid(f"There are at most {MOST_CLASSES} classes.")
        found.append(ClassInfo(value=value, name=name, color=PALETTE[(value - 1) % len(PALETTE)]))
    return tuple(found)


def check_classes(classes: Sequence[ClassInfo]) -> None:
    """Invalid where two could not be told apart, or a name is none."""
    for what, found in (("value", [c.value for c in classes]), ("name", [c.name for c in classes])):
        if len(set(found)) < len(found):
            raise Invalid(f"Two classes have the same {what}.", hint=f"Give each class a {what} of its own.")
    for one in classes:
        if not one.name.strip() or len(one.name) > LONGEST_NAME or not one.name.isprintable():
            raise Invalid(
                f"A class cannot be called {one.name[:LONGEST_NAME]!r}.",
                hint=f"Use up to {LONGEST_NAME} printable characters.",
            )


def recoding(before: Sequence[ClassInfo], after: Sequence[ClassInfo], mapping: Mapping[str, str]) -> dict[int, int]:
    """Which value becomes which other, of the classes that go."""
    values, others = {found.name: found.value for found in before}, {found.name: found.value for found in after}
    kept = {found.value for found in after}
    table = {}
    for name, other in mapping.items():
        if name not in values:
            raise Invalid(f"There is no class {name[:LONGEST_NAME]!r}.", hint=nearest(name, values))
        if values[name] in kept:
            raise Invalid(f"{name} stays, so nothing can become of it.", hint="Leave it out of the mapping.")
        if other != "0" and other not in others:
            there_are = f"There will be {', '.join(others)}; 0 unlabels."
            raise Invalid(f"There will be no class {other[:LONGEST_NAME]!r}.", hint=there_are)
        table[values[name]] = others.get(other, 0)
    return table


def replace(tx: Connection, labels_id: str, classes: Sequence[ClassInfo], author: str) -> None:
    """Give a draft other classes; one that is in use does not go."""
    from mlex_jupyter.labels import drafts, ledger  # they need NumPy

    draft = drafts.find(tx, labels_id, lock=True)
    assert draft is not None
    if tuple(classes) == draft.classes:
        return
    kept = {found.value for found in classes}
    used: Counter[int] = Counter()
    for counts in drafts.counts_of(tx, labels_id).values():
        used.update(counts)
    for found in draft.classes:
        if found.value not in kept and used[found.value]:
            raise Conflict(
                f"{used[found.value]} pixels of {draft.name} are {found.name}, so that class cannot go.",
                hint=f"Say what becomes of them: --mapping '{found.name}=another class', or =0 to unlabel them.",
            )
    number = draft.number + 1
    values = {"classes": [found.model_dump() for found in classes], "number": number, "changed": number}
    tx.execute(update(label_drafts).where(label_drafts.c.labels == labels_id).values(**values))
    ledger.add_history(tx, labels_id, number, kind="classes", state="settled", author=author, tiles=[])
    append(tx, labels_id, "painted", {"number": number, "change": "classes", "author": author, "slices": []})
