"""Messages read from the source: each call such as `Error(...)` or `not_ok(...)`, with the texts that it may have.

An ellipsis replaces values that are known only at run time.
"""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[2] / "src" / "s3kit"
UNKNOWN = "…"
_MOST = 12  # texts of one expression


class Source:
    """A module of the library: its syntax tree, and the values of its names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.parents = {
            child: parent for parent in ast.walk(self.tree) for child in ast.iter_child_nodes(parent)
        }
        self.given: dict[tuple[str, str], list[str]] = {}
        """The texts of parameters in the current call, by the names of function and parameter."""

    @cached_property
    def module(self) -> Any:
        """Return the imported module."""
        name = ".".join(self.path.relative_to(PACKAGE.parent).with_suffix("").parts)
        return importlib.import_module(name.removesuffix(".__init__"))

    def calls(self, *names: str) -> Iterator[ast.Call]:
        """Yield the calls of functions or classes of these names, in the order of the source."""
        found = [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
        ]
        yield from sorted(found, key=lambda node: node.lineno)

    def texts(self, node: ast.expr | None, depth: int = 0) -> list[str]:
        """Return the texts that an expression may have."""
        match node:
            case None:
                return [""]
            case ast.Constant(value=str(text)):
                return [text]
            case ast.Constant(value=int(number)):
                return [str(number)]
            case ast.JoinedStr(values=parts):
                return self._joined(parts, depth)
            case ast.FormattedValue(value=value, conversion=conversion):
                found = self.texts(value, depth)
                return [f"'{each}'" if conversion == ord("r") else each for each in found]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._joined([left, right], depth)
            case ast.IfExp(body=body, orelse=other):
                return [*self.texts(body, depth), *self.texts(other, depth)]
            case ast.Name(id=name) if depth < 6:
                value = getattr(self.module, name, None)
                if isinstance(value, str | int) and not isinstance(value, bool):
                    return [str(value)]
                return self._local(name, node, depth + 1) or [UNKNOWN]
            case ast.Call(func=ast.Name(id=name)) if depth < 6:
                return self._returned(name, depth + 1) or [UNKNOWN]
        return [UNKNOWN]

    def _joined(self, parts: list[ast.expr], depth: int) -> list[str]:
        found = [self.texts(part, depth) for part in parts]
        texts = ["".join(each) for each in list(product(*found))[:_MOST]]
        return list(dict.fromkeys(text.replace("… and … more", "…") for text in texts))

    def _returned(self, name: str, depth: int) -> list[str]:
        """Return the texts that a function of the module returns, if it is annotated as a text."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                if not (isinstance(node.returns, ast.Name) and node.returns.id == "str"):
                    return []
                returns = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
                return [text for value in returns for text in self.texts(value, depth)]
        return []

    def _local(self, name: str, node: ast.AST, depth: int) -> list[str]:
        """Return the texts that a local name may have where it is used."""
        found: list[str] = []
        while not isinstance(node, ast.Module):
            parent = self.parents[node]
            for block in (getattr(parent, each, None) for each in ("body", "orelse", "finalbody")):
                if isinstance(block, list) and node in block:
                    for statement in reversed(block[: block.index(node)]):
                        texts, is_certain = self._assigned(name, statement, depth)
                        found += texts
                        if is_certain:
                            return found
            if isinstance(parent, ast.FunctionDef) and (given := self._given(name, parent, depth)):
                return [*found, *given]
            node = parent
        return found

    def _assigned(self, name: str, statement: ast.stmt, depth: int) -> tuple[list[str], bool]:
        """Return the texts that a statement assigns to a name, and whether it always assigns one."""
        match statement:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if isinstance(target, ast.Name) and target.id == name:
                        return self.texts(value, depth), True
                    if isinstance(target, ast.Tuple):
                        names = [each.id if isinstance(each, ast.Name) else "" for each in target.elts]
                        if name in names:
                            inner = value.elts if isinstance(value, ast.Tuple) else None
                            return self.texts(inner[names.index(name)] if inner else value, depth), True
            case ast.AugAssign(target=ast.Name(id=same), value=value) if same == name:
                before = self._local(name, statement, depth) or [UNKNOWN]
                return [one + more for one in before for more in ("", *self.texts(value, depth))], True
            case ast.If(body=body, orelse=other):
                one, always = self._last(name, body, depth)
                two, too = self._last(name, other, depth)
                return [*one, *two], always and too
        return [], False

    def _last(self, name: str, block: list[ast.stmt], depth: int) -> tuple[list[str], bool]:
        for statement in reversed(block):
            texts, is_certain = self._assigned(name, statement, depth)
            if texts or is_certain:
                return texts, is_certain
        # After a block that leaves the function, the name has the value of another branch.
        return [], bool(block) and isinstance(block[-1], ast.Return | ast.Raise | ast.Continue)

    def _given(self, name: str, function: ast.FunctionDef, depth: int) -> list[str]:
        """Return the texts that calls in the same module pass for a function's parameter."""
        names = [each.arg for each in function.args.args]
        if name not in names:
            return []
        if found := self.given.get((function.name, name)):
            return found
        index = names.index(name)
        return [
            text
            for call in self.calls(function.name)
            if index < len(call.args)
            for text in self.texts(call.args[index], depth)
        ] or [UNKNOWN]

    def cases(self, call: ast.Call) -> Iterator[None]:
        """Yield once for each call of the function that contains a call, with its arguments as parameters."""
        node: ast.AST = call
        while not isinstance(node, ast.FunctionDef | ast.Module):
            node = self.parents[node]
        callers = list(self.calls(node.name)) if isinstance(node, ast.FunctionDef) else []
        for caller in callers:
            names = [each.arg for each in node.args.args] if isinstance(node, ast.FunctionDef) else []
            given = zip(names, caller.args, strict=False)
            self.given = {(getattr(node, "name", ""), name): self.texts(each, 1) for name, each in given}
            yield
        self.given = {}
        if not callers:
            yield


@dataclass(frozen=True)
class Message:
    """A message from a call of `kind`, its fix, and its subject, such as a check's ID."""

    kind: str
    text: str
    fix: str
    about: str


def _covers(text: str, less: str) -> bool:
    """Return whether a text says what another one does, and perhaps more."""
    return re.match(re.escape(less).replace(UNKNOWN, ".+"), text) is not None


def messages(
    source: Source, kinds: tuple[str, ...], text: int, fix: int | str, about: int | str | None = None
) -> Iterator[Message]:
    """Yield the messages of calls; `text`, `fix` and `about` are positions or names of arguments."""
    found = dict[Message, None]()
    for call in source.calls(*kinds):

        def argument(which: int | str | None, call: ast.Call = call) -> ast.expr | None:
            if isinstance(which, int):
                return call.args[which] if which < len(call.args) else None
            return next((each.value for each in call.keywords if each.arg == which), None)

        kind = call.func.id if isinstance(call.func, ast.Name) else ""
        for _ in source.cases(call):
            said = source.texts(argument(text))
            fixes = source.texts(argument(fix))
            if len(fixes) != len(said):
                # If alternatives differ only in added or filled-in words, keep the longest.
                whole = [
                    each
                    for each in dict.fromkeys(fixes)
                    if each and not any(other != each and _covers(other, each) for other in fixes)
                ]
                between = " Or: " if whole and whole[0].endswith(".") else "; or "
                fixes = [between.join(whole)] * len(said)
            for name in source.texts(argument(about)):
                found |= dict.fromkeys(
                    Message(kind, one, other, name) for one, other in zip(said, fixes, strict=True)
                )
    # Readers can't search for a message that consists almost only of a value.
    yield from (each for each in found if len(re.sub(r"[^a-z]", "", each.text)) > 8)


@cache
def _source(path: Path) -> Source:
    return Source(path)


def sources(folder: str = "") -> list[Source]:
    """Return the modules of a folder of the library."""
    return [_source(path) for path in sorted((PACKAGE / folder).rglob("*.py"))]


def prose(text: str) -> str:
    """Return a text as Markdown that shows it literally; code in backticks stays code."""
    parts = re.split(r"(`[^`]+`)", text)
    parts[::2] = [re.sub(r"([*<|])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)
