"""Code as text: a class or function of a notebook's cell, or of a file, with all that it needs to stand alone.

What an object uses from other cells comes with it: imports as they were written, helpers as their own source, plain
values as what they are. Nothing is pickled, and nothing is run. What cannot travel is named in a sentence.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import symtable
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlex_jupyter.errors import Invalid, MlexError, NotFound
from mlex_jupyter.types import Code, checked

LONGEST_VALUE = 10_000
MARKS = ("model", "architecture")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def code_of(thing: Any) -> Code:
    """The source of a class or function, with what it uses."""
    if not inspect.isclass(thing) and not inspect.isfunction(thing):
        raise Invalid(
            f"A {type(thing).__name__} has no source that could travel.", hint="Give the class or function itself."
        )
    taken = _Taken(thing)
    taken.take(thing.__name__, thing)
    return checked(Code, name=thing.__name__, text=taken.text())


def code_of_script(path: Path) -> Code:
    """The text of a whole file."""
    try:
        return checked(Code, text=path.read_text())
    except OSError as error:
        raise NotFound(f"The script {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{path.name} is no Python: {error}.") from error


def code_of_file(path: Path, name: str | None = None) -> Code:
    """The text of a file, and the one class or function in it that is meant."""
    try:
        text = path.read_text()
        tree = ast.parse(text)
    except OSError as error:
        raise NotFound(f"The file {path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise Invalid(f"{path.name} is no Python: {error}.") from error
    return checked(Code, name=_meant(tree, path.name, name), text=text)


def _meant(tree: ast.Module, file: str, name: str | None) -> str:
    found = {node.name: node for node in tree.body if isinstance(node, Definition) and not node.name.startswith("_")}
    if name is not None:
        if name not in found:
            raise NotFound(f"There is no class or function {name!r} in {file}.", hint=f"It has {', '.join(found)}.")
        return name
    marked = [one for one, node in found.items() if any(_is_mark(mark) for mark in node.decorator_list)]
    classes = [one for one, node in found.items() if isinstance(node, ast.ClassDef)]
    candidates = marked or classes or list(found)
    if len(candidates) != 1:
        which = f"any of {', '.join(candidates)} may be meant" if candidates else "it defines no class and no function"
        raise Invalid(f"{file} does not say what is the network: {which}.", hint=f"Say which: {file}:NAME")
    return candidates[0]


def _is_mark(node: ast.expr) -> bool:
    called = node.func if isinstance(node, ast.Call) else node
    return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) in MARKS


class _Taken:
    """The pieces that one object needs, each before what needs it."""

    def __init__(self, thing: type | Callable[..., Any]) -> None:
        self.name = thing.__name__
        self.home = thing.__module__
        self.names = _namespace(thing)
        self.imports: dict[str, None] = {}
        self.pieces: dict[str, str] = {}
        self.missing: list[str] = []

    def text(self) -> str:
        """All of it as a module."""
        if self.missing:
            raise Invalid(
                f"{self.name} uses {' and '.join(self.missing)}, which is not defined.",
                hint="Run the cell that defines it, then this one again.",
            )
        future = [line for line in self.imports if line.startswith("from __future__")]
        imports = future + [line for line in self.imports if line not in future]
        return "\n\n".join(["\n".join(imports), *self.pieces.values()]).strip() + "\n"

    def take(self, name: str, thing: Any) -> None:
        """The source of a class or function, after what it uses."""
        tree, lines, node = _definition(thing)
        first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
        source = "".join(lines[first - 1 : node.end_lineno]).rstrip()
        for part in tree.body:
            if isinstance(part, ast.ImportFrom) and part.module == "__future__":
                self.imports[ast.unparse(part)] = None
        self.pieces[name] = ""  # its place is after what it needs; who asks meanwhile finds it taken
        self._take_used(source)
        del self.pieces[name]
        self.pieces[name] = source

    def _take_used(self, source: str) -> None:
        for used in sorted(_free_names(source)):
            if used in self.pieces:
                continue
            if used in self.names:
                self._take_name(used, self.names[used])
            elif not hasattr(builtins, used):
                self.missing.append(used)

    def _take_name(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType):
            self._import_module(name, value)
        elif (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == self.home:
            self.take(name, value)
            if value.__name__ != name:
                self.pieces[name] = f"{name} = {value.__name__}"
        elif (line := _import_line(name, value, self.home)) is not None:
            self.imports[line] = None
        elif (constant := _literal(value)) is not None:
            self.pieces[name] = f"{name} = {constant}"
        elif type(value).__module__ in ("typing", "types") and (said := self._assignment(name)) is not None:
            self.pieces[name] = ""
            self._take_used(said)
            del self.pieces[name]
            self.pieces[name] = said
        else:
            raise Invalid(
                f"{self.name} uses {name}, {in_words(value)}, which cannot travel with the code.",
                hint="Give it as an argument or make it in the function; data is registered, and opened there by name.",
            )

    def _import_module(self, name: str, value: types.ModuleType) -> None:
        module = value.__name__
        if module == "__main__" or (module == name.partition(".")[0] and module not in sys.modules):
            raise Invalid(f"{self.name} uses the module {name}, which cannot be imported elsewhere.")
        self.imports[f"import {module}" if module == name else f"import {module} as {name}"] = None
        if module == name:  # `import a.b` binds a as well, and b is meant
            for tree in _trees(self.names):
                for alias in (a for part in ast.walk(tree) if isinstance(part, ast.Import) for a in part.names):
                    if alias.asname is None and alias.name.startswith(f"{name}.") and alias.name in sys.modules:
                        self.imports[f"import {alias.name}"] = None

    def _assignment(self, name: str) -> str | None:
        for tree in _trees(self.names):
            for part in reversed(tree.body):
                targets = part.targets if isinstance(part, ast.Assign) else []
                if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                    return ast.unparse(part)
        return None


def _namespace(thing: Any) -> Mapping[str, Any]:
    for function in _functions(thing):
        return function.__globals__
    return vars(sys.modules[thing.__module__])


def _functions(thing: Any) -> Iterator[types.FunctionType]:
    """The functions that are written where this thing is."""
    if inspect.isfunction(thing):
        yield inspect.unwrap(thing)
        return
    for member in vars(thing).values():
        inner = getattr(member, "__func__", getattr(member, "fget", member))
        if inspect.isfunction(inner) and inner.__qualname__.startswith(f"{thing.__qualname__}."):
            yield inner


def _definition(thing: Any) -> tuple[ast.Module, list[str], Definition]:
    """Where a thing is written: the cell or file, its lines, and the place in it."""
    if "<locals>" in thing.__qualname__ or "." in thing.__qualname__:
        raise Invalid(
            f"{thing.__qualname__} is defined inside another function or class, and cannot travel without it.",
            hint="Define it by itself, at the left edge of a cell or file.",
        )
    for function in _functions(thing):
        lines = linecache.getlines(function.__code__.co_filename)
        if found := _named(lines, thing.__name__, function.__code__.co_firstlineno):
            return found[0], lines, found[1]
    for tree in _trees(vars(sys.modules[thing.__module__])):  # a class without a method of its own has no line
        text = ast.unparse(tree)
        for part in ast.parse(text).body:
            if isinstance(part, ast.ClassDef) and part.name == thing.__name__:
                return tree, text.splitlines(keepends=True), part
    raise Invalid(
        f"The source of {thing.__qualname__} cannot be found.",
        hint="Define it in a notebook's cell or in a file.",
    )


def _named(lines: list[str], name: str, line: int) -> tuple[ast.Module, Definition] | None:
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:
        return None
    for node in tree.body:
        if isinstance(node, Definition) and node.name == name:
            first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
            if first <= line <= (node.end_lineno or first):
                return tree, node
    return None


def _trees(names: Mapping[str, Any]) -> Iterator[ast.Module]:
    """The cells that were run, the newest first; else the file."""
    cells = names.get("In")
    texts = list(reversed(cells)) if isinstance(cells, list) else []
    file = names.get("__file__")
    if isinstance(file, str) and file.endswith(".py"):
        texts.append("".join(linecache.getlines(file)))
    for text in texts:
        try:
            yield ast.parse(text)
        except SyntaxError:  # a cell with a magic, or one that was wrong
            continue


def _free_names(source: str) -> set[str]:
    """The names that a piece of source takes from around it."""
    free: set[str] = set()

    def look(table: symtable.SymbolTable, top: bool) -> None:
        for symbol in table.get_symbols():
            if symbol.is_referenced() and symbol.is_global() and not (top and symbol.is_assigned()):
                free.add(symbol.get_name())
        for inner in table.get_children():
            look(inner, False)

    table = symtable.symtable(source, "source", "exec")
    look(table, True)
    return free - {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()}


def _import_line(name: str, value: Any, home: str) -> str | None:
    for module in (getattr(value, "__module__", None), "typing", "collections.abc"):
        if not isinstance(module, str) or module in ("__main__", home) or module not in sys.modules:
            continue
        for said in (name, getattr(value, "__qualname__", None), getattr(value, "_name", None)):
            if isinstance(said, str) and said.isidentifier() and getattr(sys.modules[module], said, None) is value:
                return f"from {module} import {said}" + ("" if said == name else f" as {name}")
    return None


def _literal(value: Any) -> str | None:
    """A plain value as it is written, or None."""
    try:
        said = repr(value)
        return said if len(said) <= LONGEST_VALUE and ast.literal_eval(said) == value else None
    except (MlexError, KeyboardInterrupt):
        raise
    except Exception:  # a stranger's object may fail in any way when it is shown or compared: then it is no plain value
        return None


def in_words(value: Any) -> str:
    """What a value is, for a sentence: `an array of 4 × 8`."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"an array of {' × '.join(map(str, shape))}"
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
