"""Hash the names of static files in the order of their references.

Each style sheet and script is parsed once. A file is hashed after the files that it refers to, because their names are
part of its content. Files that refer to each other in a cycle, as modules may, are hashed together: when one of them
changes, all get new names, so no browser mixes the modules of two deploys. Names and bytes are those of Django's
manifest storage, with the differences that docs/static-files.md lists.
"""

import codecs
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s3kit.publishing import css, modules
from s3kit.publishing.collect import Source, Stage
from s3kit.publishing.references import Reference, renamed, target

if TYPE_CHECKING:
    from s3kit.storages.static import StaticStorage

# Separates contents that are hashed together; no text contains it.
_DIVIDER = b"\0"
_PACKAGES = {"site-packages", "dist-packages", "node_modules"}
_BOMS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Unresolved(NamedTuple):
    """A reference that isn't rewritten.

    `missing` is the name of the file that does not exist, None if the URL is only known in the browser.
    """

    name: str
    line: int
    text: str
    missing: str | None

    def __str__(self) -> str:
        why = (
            "its URL is only known in the browser" if self.missing is None else f"there is no {self.missing}"
        )
        return f"{self.name}, line {self.line}: {self.text} is not rewritten: {why}."


@dataclass
class _File:
    """A style sheet or script, and its references to other files: the reference, its URL, and the file's plain name."""

    body: bytes
    encoding: str
    """The original encoding if it was UTF-16, from which `body` is converted to UTF-8; else ""."""
    references: list[tuple[Reference, str, str]]

    def rewritten(self, names: Mapping[str, str]) -> bytes:
        """Return the content with the references rewritten to these final names."""
        pieces: list[bytes] = []
        at = 0
        for reference, url, name in self.references:
            if name in names:
                pieces += [self.body[at : reference.start], reference.form % renamed(url, names[name])]
                at = reference.end
        body = b"".join((*pieces, self.body[at:]))
        return body.decode().encode(self.encoding) if self.encoding else body


class Graph:
    """The static files of a stage and the references between them."""

    def __init__(self, storage: "StaticStorage", stage: Stage, names: Iterable[str]) -> None:
        self.storage, self.stage = storage, stage
        self.names = list(names)
        self._known = set(self.names)
        self._folders = {"", "."}
        for folder in map(posixpath.dirname, self.names):
            while folder not in self._folders:
                self._folders.add(folder)
                folder = posixpath.dirname(folder)
        self._files: dict[str, _File] = {}
        self.unresolved: list[Unresolved] = []
        for name in self.names:
            if name not in stage.prehashed and (file := self._parsed(name)).references:
                self._files[name] = file

    def errors(self) -> list[str]:
        """Return a message for each reference of the project's own files to a missing file, except for source maps.

        Installed packages often refer to files that they don't ship, and only developer tools load source maps.
        """
        return [
            f"{each.name}, line {each.line}: {each.text} refers to {each.missing}, which does not exist."
            for each in self.unresolved
            if each.missing and "sourceMappingURL" not in each.text and self._is_own(each.name)
        ]

    def _is_own(self, name: str) -> bool:
        body = self.stage.plain[name].body
        return isinstance(body, Path) and not _PACKAGES & set(body.parts)

    def _parsed(self, name: str) -> _File:
        if name.endswith(".css"):
            parse = css.references
        elif name.endswith((".js", ".mjs")):
            parse = (
                modules.references
                if self.storage.support_js_module_import_aggregation
                else modules.source_maps
            )
        else:
            return _File(b"", "", [])
        with self.stage.source(name).open() as content:
            body = content.read()
        encoding = _BOMS.get(body[:2], "")
        if encoding:
            body = body.decode(encoding, "replace").encode()
        found = []
        for reference in parse(body):
            missing = None
            if reference.url is not None:
                meant = target(name, reference.url)
                if meant in self._known:
                    found.append((reference, reference.url, meant))
                    continue
                if meant is None or meant in self._folders:
                    continue
                missing = meant
            line = body.count(b"\n", 0, reference.start) + 1
            text = " ".join(body[reference.start : reference.end].decode(errors="replace").split())
            self.unresolved.append(Unresolved(name, line, text, missing))
        return _File(body, encoding, found)

    def hashed(self) -> Iterator[tuple[str, str]]:
        """Yield the plain and the final name of each file, after adding its final content to the stage."""
        final: dict[str, str] = {}
        for name in self.names:
            if name not in self._files:
                source = self.stage.source(name)
                final[name] = name if name in self.stage.prehashed else self._named(name, source)
                self.stage.derived[final[name]] = source
                yield name, final[name]
        for group in self._groups():
            final |= self._together(group, final)
            for name in group:
                content = self._files[name].rewritten(final)
                self.stage.derived[final[name]] = Source.of(content)
                yield name, final[name]

    def _together(self, group: list[str], final: Mapping[str, str]) -> dict[str, str]:
        """Return the final names of a group, hashed from the contents of all its files without those names."""
        contents = [self._files[name].rewritten(final) for name in group]
        together = contents[0] if len(group) == 1 else _DIVIDER.join(contents)
        return {name: self._named(name, Source.of(together)) for name in group}

    def _named(self, name: str, source: Source) -> str:
        with source.open() as content:
            return str(self.storage.clean_name(self.storage.hashed_name(name, content)))

    def _groups(self) -> Iterator[list[str]]:
        """Yield the files that have references, in groups: files in a cycle are in one group.

        Each group comes after those that it refers to: Tarjan's strongly connected components, without recursion.
        """
        number: dict[str, int] = {}
        lowest: dict[str, int] = {}
        open_files: list[str] = []
        for root in self._files:
            path = [] if root in number else [(root, self._targets(root))]
            while path:
                name, targets = path[-1]
                if name not in number:
                    number[name] = lowest[name] = len(number)
                    open_files.append(name)
                for each in targets:
                    if each not in number:
                        path.append((each, self._targets(each)))
                        break
                    if each in lowest:  # not yet in a group
                        lowest[name] = min(lowest[name], number[each])
                else:
                    path.pop()
                    if path:
                        lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[name])
                    if lowest[name] == number[name]:
                        group: list[str] = []
                        while not group or group[-1] != name:
                            group.append(open_files.pop())
                            del lowest[group[-1]]
                        yield sorted(group)

    def _targets(self, name: str) -> Iterator[str]:
        return (each for _, _, each in self._files[name].references if each in self._files)
