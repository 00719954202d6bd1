"""Reads a project from a file: of this package's own form, or as DigitalHub exports it."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import FunctionError, SourceError
from airflow_kfp_runtime.project.definitions import Definition, Part
from airflow_kfp_runtime.project.documents import Node
from airflow_kfp_runtime.project.exports import Entity, definition_of, is_exported
from airflow_kfp_runtime.project.files import ProjectFile, fetched_file, local_file
from airflow_kfp_runtime.project.places import Archive, LocalFolder, path_of, resolver
from airflow_kfp_runtime.project.problems import Problem, combined
from airflow_kfp_runtime.project.project import Project
from airflow_kfp_runtime.project.settings.problems import kind_of
from airflow_kfp_runtime.project.templates import is_template
from airflow_kfp_runtime.sources.location import Location

if TYPE_CHECKING:
    from airflow_kfp_runtime.sources import Sources

#: The sections of a project's file that hold functions and workflows, and what one of each is called.
_SECTIONS = {"functions": "function", "workflows": "workflow"}

_KEYS = ("name", "description", "functions", "workflows", "settings", "connections")

#: The keys of DigitalHub's ``spec`` of a project; data and configuration have no meaning for pipelines here.
_EXPORT_KEYS = (*_SECTIONS, "source", "artifacts", "dataitems", "models", "config")


def load_project(location: str | Path, sources: Sources | None) -> Project:
    """Return the project of a file; see :meth:`Project.load`."""
    if isinstance(location, str) and Location.parse(location, field="project").scheme is not None:
        return _load_fetched(location, sources)
    file = local_file(Path(location), sources)
    if file.path.suffix == ".zip":
        return _load_fetched(str(file.path.absolute()), sources)
    return _project(file, _written(file), LocalFolder(file.path.parent.absolute()))


def _load_fetched(location: str, sources: Sources | None) -> Project:
    with fetched_file(location, sources) as (file, fetched):
        written = _written(file)
        resolve = resolver(location, fetched)
        if isinstance(resolve, Archive):
            resolve = replace(resolve, texts=dict(_texts(file, written.functions)))
        return _project(file, written, resolve, fetched="://" in location)


@dataclass
class _Written:
    """What a file says.

    :param name: the project's name; empty where it has none.
    :param description: what it is for.
    :param settings: for all steps.
    :param connections: the ids of connections.
    :param functions: what was written of each.
    :param workflows: what was written of each.
    :param problems: what is wrong so far.
    """

    name: str = ""
    description: str | None = None
    settings: Node | None = None
    connections: Node | None = None
    functions: list[Definition] = field(default_factory=list)
    workflows: list[Definition] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def refuse(
        self, problem: str, node: Node, place: str | None = None, allowed: tuple[str, ...] = ()
    ) -> None:
        """Add a problem with a value."""
        self.problems.append(Problem(SourceError, problem, place, allowed, mark=node.mark))

    def text(self, node: Node | None, place: str) -> str:
        """Return a text, or the empty text where there is none."""
        if node is None:
            return ""
        if isinstance(node.value, str):
            return node.value
        self.refuse(f"is {kind_of(node.plain)}, not a text: put it in quotes", node, place)
        return ""


def _project(
    file: ProjectFile,
    written: _Written,
    resolve: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    *,
    fetched: bool = False,
) -> Project:
    """Return the project that was written, after checking all of it.

    :param fetched: whether it is from an address, and not of this machine.
    :raises DefinitionError: with all problems that it has.
    """
    title = f"project {written.name!r}"
    project = Project(written.name, description=written.description)
    problems = list(written.problems)
    parts: list[tuple[Part, Definition]] = []
    for_all: dict[Part, Node | None] = {"connections": written.connections, "settings": written.settings}
    for part, node in for_all.items():
        if node is not None:
            parts.append((part, Definition(title, "", node.plain, node.marks())))
    parts += [("function", replace(each, resolve=resolve)) for each in written.functions]
    parts += [("workflow", replace(each, resolve=resolve, fetched=fetched)) for each in written.workflows]
    for part, definition in parts:
        problems += project.define(part, definition, templates=True)
    problems += _unknown_workflows(project, written)
    if problems:
        raise combined(problems, file.label)
    return project


def _unknown_workflows(project: Project, written: _Written) -> Iterator[Problem]:
    """Yield a problem for each function that runs a workflow which the project does not have."""
    known = [definition.name for definition in written.workflows]
    for definition in written.functions:
        function = project.functions.get(definition.name)
        if function is None or function.kind.name != "workflow":
            continue
        named = getattr(function.specification, "workflow", None)
        if isinstance(named, str) and named not in known and not is_template(named):
            close = tuple(difflib.get_close_matches(named, known)) or tuple(known)
            problem = f"project {project.name!r} has no workflow {named!r}"
            field = f"{definition.title}, workflow"
            yield definition.placed(Problem(FunctionError, problem, field, close, ("workflow",)))


def _texts(file: ProjectFile, functions: list[Definition]) -> Iterator[tuple[str, str]]:
    """Yield path and text of each file that is the source of a function."""
    for definition in functions:
        path = path_of(definition.fields)
        if path is not None and path.endswith(".py") and (text := file.text(path)) is not None:
            yield posixpath.normpath(path), text


def _written(file: ProjectFile) -> _Written:
    """Return what a file says, without yet asking the kinds of functions.

    :raises SourceError: it cannot be read, or is no mapping.
    """
    documents, problems = file.documents()
    if not documents or documents[0].value is None:
        raise SourceError("is empty", field=file.label, allowed=_KEYS)
    root = documents[0]
    if not isinstance(root.value, Mapping):
        raise SourceError(
            f"is {kind_of(root.plain)}, not a mapping",
            field=str(root.mark),
            allowed=[f"{key}:" for key in _KEYS],
        )
    written = _Written(problems=list(problems))
    if not is_exported(root):
        for further in documents[1:]:
            written.refuse("is a further document: a project's file has one", further)
        _own_form(root, written)
    elif root.entries["kind"].value == "project":
        _export(root, file, written)
    else:
        # A function or a workflow by itself.
        what = "workflow" if root.entries["kind"].value == "kfp" else "function"
        entity = Entity(what, root, documents[1:])
        written.name = written.text(root.get("project"), "project") or entity.name
        _take(entity, written)
    return written


def _own_form(root: Node, written: _Written) -> None:
    _refuse_unknown(root, _KEYS, None, written)
    given = root.get("name")
    written.name = written.text(given, "name")
    if given is None or given.value == "":
        written.refuse("is missing", given or root, "name")
    written.description = written.text(root.get("description"), "description") or None
    for key in ("settings", "connections"):
        node = root.get(key)
        if node is not None and not isinstance(node.value, Mapping):
            written.refuse(f"is {kind_of(node.plain)}, not a mapping", node, key)
        else:
            setattr(written, key, node)
    for section, what in _SECTIONS.items():
        for name, node in _members(root.get(section), section, written):
            place = f"{what} {name!r}"
            if not isinstance(node.value, Mapping):
                written.refuse(f"is {kind_of(node.plain)}, not a mapping of its fields", node, place)
            elif is_exported(node):
                _take(Entity(what, node), written)
            elif "name" in node.entries and node.entries["name"].value != name:
                written.refuse("is another name than its key", node.entries["name"], f"{place}, name")
            else:
                fields = Node({key: part for key, part in node.entries.items() if key != "name"}, node.mark)
                getattr(written, section).append(Definition(place, name, fields.plain, fields.marks()))


def _members(section: Node | None, title: str, written: _Written) -> Iterator[tuple[str, Node]]:
    """Yield the functions or workflows of a section: a mapping by name, or a list of those with names."""
    match section:
        case None:
            return
        case Node(value=Mapping()):
            yield from section.entries.items()
        case Node(value=tuple() as members):
            seen: dict[str, Node] = {}
            for index, member in enumerate(members):
                place = f"{title}[{index}].name"
                name = written.text(member.get("name") or member.get("metadata", "name"), place)
                if not name:
                    if member.get("name") is None:
                        written.refuse("is missing", member, place)
                elif name in seen:
                    first = seen[name].mark.line
                    written.refuse(f"{name!r} stands here twice, first in line {first}", member, place)
                else:
                    seen[name] = member
                    yield name, member
        case _:
            written.refuse(f"is {kind_of(section.plain)}, not a mapping or a list", section, title)


def _export(root: Node, file: ProjectFile, written: _Written) -> None:
    """Read a project as DigitalHub exports it, with functions and workflows or references to their files."""
    written.name = written.text(root.get("name") or root.get("metadata", "name"), "metadata.name")
    if not written.name:
        written.refuse("is missing", root, "metadata.name")
    written.description = written.text(root.get("metadata", "description"), "metadata.description") or None
    spec = root.get("spec")
    if spec is None:
        return
    _refuse_unknown(spec, _EXPORT_KEYS, "spec", written)
    for section, what in _SECTIONS.items():
        for name, node in _members(spec.get(section), f"spec.{section}", written):
            entity = Entity(what, node)
            found = entity if entity.is_whole else file.entity(entity)
            if found is None:
                written.refuse(
                    f"is not embedded, and no file in {file.path.parent.name!r} holds it",
                    node,
                    f"{what} {name!r}",
                    ("`spec` here", "`metadata.ref`: a file beside the project's"),
                )
            else:
                _take(found, written)


def _take(entity: Entity, written: _Written) -> None:
    if not entity.name:
        written.refuse("is missing", entity.node, "name")
        return
    definition = definition_of(entity, written.name, written.problems)
    (written.workflows if entity.what == "workflow" else written.functions).append(definition)


def _refuse_unknown(node: Node, known: tuple[str, ...], place: str | None, written: _Written) -> None:
    for key, entry in node.entries.items():
        if key not in known:
            close = difflib.get_close_matches(key, known)
            title = f"{place}.{key}" if place else key
            written.refuse("is unknown", entry, title, tuple(close) or known)
