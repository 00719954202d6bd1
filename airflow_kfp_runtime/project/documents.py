"""YAML whose values know their place in the file, read within bounds.

Built on the events of PyYAML's parser and not on its composer: libyaml's composer overflows the C stack on
deep nesting, which ends the process, and neither composer refuses duplicate keys or counts what aliases
multiply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import yaml

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.project.problems import Location, Mark, Problem
from airflow_kfp_runtime.project.settings.problems import kind_of

#: Bytes of a project file: one that holds more has its code beside it.
LARGEST_FILE = 4 * 1024 * 1024

#: Values in a file, those that aliases repeat counted each time.
MOST_VALUES = 100_000

#: How deep lists and mappings may be nested; Kubernetes settings, the deepest, need a dozen levels.
DEEPEST = 50

Scalar: TypeAlias = bool | int | float | str | None

_PREFIX = "tag:yaml.org,2002:"
_SCALARS = {f"{_PREFIX}{name}" for name in ("null", "bool", "int", "float", "str")}
_TEXT = f"{_PREFIX}str"
_MERGE = f"{_PREFIX}merge"

#: Two escapes of JSON that are one character, after an even number of backslashes.
_SURROGATES = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.ASCII | re.IGNORECASE
)

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Node:
    """A value and its place.

    :param value: a scalar, the items of a list, or the entries of a mapping.
    :param mark: the place of the value, and of its key where it has one.
    :param size: how many values it is made of.
    """

    value: Scalar | tuple[Node, ...] | Mapping[str, Node]
    mark: Mark
    size: int = 1

    @cached_property
    def plain(self) -> Any:
        """The value in terms of Python's own types."""
        match self.value:
            case tuple():
                return [item.plain for item in self.value]
            case Mapping():
                return {key: item.plain for key, item in self.value.items()}
            case scalar:
                return scalar

    @property
    def entries(self) -> Mapping[str, Node]:
        """The entries of a mapping; none of another value."""
        return self.value if isinstance(self.value, Mapping) else {}

    def get(self, *keys: str) -> Node | None:
        """Return what is at these keys of nested mappings, or ``None``: also where it is YAML's null."""
        found: Node | None = self
        for key in keys:
            found = found.entries.get(key) if found is not None else None
        return None if found is None or found.value is None else found

    def marks(self) -> dict[Location, Mark]:
        """Return the places of the value and all its parts, by their locations."""
        parts: Iterator[tuple[str | int, Node]] = iter(())
        if isinstance(self.value, tuple):
            parts = iter(enumerate(self.value))
        elif isinstance(self.value, Mapping):
            parts = iter(self.value.items())
        found: dict[Location, Mark] = {(): self.mark}
        for key, part in parts:
            found.update({(key, *location): mark for location, mark in part.marks().items()})
        return found


def read_documents(content: bytes, file: str) -> tuple[list[Node], list[Problem]]:
    """Return the documents of a YAML or JSON file, and what is wrong with their keys and tags.

    Dates stay texts, as DigitalHub reads them. Anchors, aliases and merge keys (``<<``) are understood.

    :param content: the file's bytes, in UTF-8.
    :param file: what it is called in errors.
    :raises SourceError: it is too large, not UTF-8 or not YAML, nests too deeply or has too many values.
    """
    check_size(content, file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark = _mark_after(content[: error.start].decode(), file)
        raise SourceError(f"byte {content[error.start]:#04x} is not UTF-8", field=str(mark)) from None
    if file.endswith(".json"):
        text = _yaml_of_json(text)
    reader = _Reader(file)
    try:
        return list(reader.documents(yaml.parse(text, Loader=_Parser))), reader.problems
    except yaml.MarkedYAMLError as error:
        raise SourceError(
            f"is not YAML: {error.problem or error.context}",
            field=str(reader.mark(error.problem_mark or error.context_mark)),
        ) from None
    except yaml.reader.ReaderError as error:
        mark = _mark_after(text[: error.position], file)
        raise SourceError("a control character cannot be in YAML", field=str(mark)) from None


def check_size(content: bytes, file: str) -> None:
    """Refuse a file that is too large.

    :param content: its bytes, or as many of them as were read.
    :param file: what it is called in errors.
    :raises SourceError: it has more than :data:`LARGEST_FILE` bytes.
    """
    if len(content) > LARGEST_FILE:
        raise SourceError(
            f"has more than {LARGEST_FILE} bytes: keep code in files of its own, and large code in an image",
            field=file,
        )


def _mark_after(text: str, file: str) -> Mark:
    return Mark(file, text.count("\n") + 1, len(text) - text.rfind("\n"))


def _yaml_of_json(text: str) -> str:
    """Return JSON without the two things that YAML does not have: tabs as indentation, and surrogates."""
    return _SURROGATES.sub(lambda match: match[1] + _escape(match[2], match[3]), text.replace("\t", " "))


def _escape(high: str, low: str) -> str:
    character = 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00
    return f"\\U{character:08x}"


class _Resolver(yaml.resolver.Resolver):
    """Tells texts from numbers and the like, as YAML 1.1 does but for dates."""


_Resolver.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{_PREFIX}timestamp"]
    for first, resolvers in yaml.resolver.Resolver.yaml_implicit_resolvers.items()
}


class _Reader:
    """Makes nodes of the events of one file."""

    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._resolver: Any = _Resolver()
        self._constructor = yaml.constructor.SafeConstructor()
        self._anchors: dict[str, Node] = {}

    def mark(self, place: Any) -> Mark:
        return Mark(self._file, place.line + 1, place.column + 1) if place else Mark(self._file, 1, 1)

    def documents(self, events: Iterator[Any]) -> Iterator[Node]:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
                yield self._node(next(events), events, 0)

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        mark = self.mark(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, mark)
        if depth > DEEPEST:
            raise SourceError(f"is nested deeper than {DEEPEST} levels", field=str(mark))
        value: Scalar | tuple[Node, ...] | dict[str, Node]
        if isinstance(event, yaml.ScalarEvent):
            value, size = self._scalar(event, mark), 1
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, f"{_PREFIX}seq", mark)
            value = tuple(self._items(events, depth + 1))
            size = 1 + sum(item.size for item in value)
        else:
            self._check_tag(event, f"{_PREFIX}map", mark)
            value = self._entries(events, depth + 1)
            size = 1 + sum(item.size for item in value.values())
        if size > MOST_VALUES:
            raise SourceError(
                f"holds more than {MOST_VALUES} values, those that aliases repeat among them", field=str(mark)
            )
        node = Node(value, mark, size)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, mark: Mark) -> Node:
        if event.anchor not in self._anchors:
            raise SourceError(
                f"*{event.anchor} repeats what is not complete before it",
                field=str(mark),
                allowed=[f"*{anchor}" for anchor in self._anchors] or ["none: no anchor (&name) before"],
            )
        node = self._anchors[event.anchor]
        return Node(node.value, mark, node.size)

    def _items(self, events: Iterator[Any], depth: int) -> Iterator[Node]:
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                return
            yield self._node(event, events, depth)

    def _entries(self, events: Iterator[Any], depth: int) -> dict[str, Node]:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            mark = self.mark(event.start_mark)
            is_merge = isinstance(event, yaml.ScalarEvent) and self._tag(event) == _MERGE
            key = "<<" if is_merge else self._node(event, events, depth).value
            node = self._node(next(events), events, depth)
            if is_merge:
                merged = {**self._merged(node), **merged}
            elif not isinstance(key, str):
                meant = "a template, {{ ... }}, has to stand in quotes"
                advice = meant if isinstance(key, Mapping) else "put it in quotes"
                self._refuse(f"has a key that is {kind_of(key)}, not a text: {advice}", mark)
            elif key in own:
                self._refuse(f"{key!r} stands here twice, first in line {own[key].mark.line}", mark)
            else:
                own[key] = Node(node.value, mark, node.size)
        return {**merged, **own}

    def _merged(self, node: Node) -> Mapping[str, Node]:
        parts = node.value if isinstance(node.value, tuple) else (node,)
        entries: dict[str, Node] = {}
        for part in parts:
            if not isinstance(part.value, Mapping):
                self._refuse("<< takes a mapping or a list of mappings", node.mark)
            # Of several the first one wins, as YAML's merge keys have it.
            entries = {**part.entries, **entries}
        return entries

    def _tag(self, event: Any) -> str:
        if event.tag is not None and event.tag != "!":
            return str(event.tag)
        return str(self._resolver.resolve(yaml.ScalarNode, event.value, event.implicit))

    def _scalar(self, event: Any, mark: Mark) -> Scalar:
        tag = self._tag(event)
        if tag == _TEXT:
            return str(event.value)
        if tag not in _SCALARS:
            # `<<` and `=` have tags of their own, and are texts where a value stands.
            if event.tag is not None:
                self._refuse(f"{event.tag!r} is not a tag that is read", mark)
            return str(event.value)
        try:
            value: Scalar = self._constructor.construct_object(yaml.ScalarNode(tag, event.value))
        except (ValueError, KeyError):
            self._refuse(f"{event.value!r:.100} is not of the tag {event.tag!r}", mark)
            return str(event.value)
        return value

    def _check_tag(self, event: Any, usual: str, mark: Mark) -> None:
        if event.tag not in {None, "!", usual}:
            self._refuse(f"{event.tag!r} is not a tag that is read", mark)

    def _refuse(self, problem: str, mark: Mark) -> None:
        self.problems.append(Problem(SourceError, problem, mark=mark))
