"""What relative paths in a project's file mean: where the file is, or the address it was fetched from.

Of a project that was fetched nothing stays on this machine, and what its functions and workflows name has to
be found again when a step is compiled. So a path becomes an address in the same source, of git with the
commit that the project is of.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.project.templates import is_template

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_kfp_runtime.sources.scheme import Fetched


@dataclass(frozen=True)
class LocalFolder:
    """Resolves relative paths against the folder that the project's file is in."""

    folder: Path

    def __call__(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a function's or workflow's fields with paths that hold from anywhere."""
        path = path_of(fields)
        return fields if path is None else _with_source(fields, {"source": str(self.folder / path)})


@dataclass(frozen=True)
class Repository:
    """Resolves paths in a project from git: they are addresses in the repository, at the project's commit.

    :param location: the address of the project.
    :param commit: what was fetched.
    :param is_file: whether the address names the project's file, and not its folder.
    """

    location: str
    commit: str
    is_file: bool = False

    def __call__(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a function's or workflow's fields with addresses in place of paths.

        :raises SourceError: a path leads out of the project.
        """
        path = path_of(fields)
        if path is None:
            return fields
        repository, _, fragment = self.location.partition("#")
        inside = fragment.partition(":")[2]
        folder = posixpath.dirname(inside) if self.is_file else inside
        within = posixpath.normpath(posixpath.join(folder, _own(path)))
        return _with_source(
            fields, {"source": f"{repository}#{self.commit}{'' if within == '.' else f':{within}'}"}
        )


@dataclass(frozen=True)
class Neighbours:
    """Resolves paths in a project whose file was fetched alone: they are addresses beside that file's.

    :param location: the file's address.
    """

    location: str

    def __call__(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a function's or workflow's fields with addresses in place of paths.

        :raises SourceError: a path leads out of the folder of the project's file, or is none of a file.
        """
        path = path_of(fields)
        if path is None:
            return fields
        path = _own(path)
        if not path.endswith((".py", ".yaml", ".yml", ".json")):
            _refuse(path, "is a folder, and beside a project's file that was fetched alone are only files")
        address, _, _ = self.location.partition("?")
        return _with_source(fields, {"source": f"{address.rpartition('/')[0]}/{path}"})


@dataclass(frozen=True)
class Archive:
    """Resolves paths in a project from an archive, which has no address for a part of it.

    A function's file is taken as the text that it has. For anything else the source is the archive, and the
    handler says the module in it.

    :param location: the address of the archive.
    :param texts: of the files that are functions' sources, by path.
    """

    location: str
    texts: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a function's or workflow's fields with a text or the archive in place of a path.

        :raises SourceError: a path leads out of the project, or is one that a module cannot have.
        """
        path = path_of(fields)
        if path is None:
            return fields
        path = _own(path)
        if path in self.texts and fields.get("fetch") != "pod":
            return _with_source(fields, {"code": self.texts[path]})
        older = fields.get("source")
        handler = older.get("handler") if isinstance(older, Mapping) else None
        handler = handler or fields.get("handler")
        if not isinstance(handler, str):
            # A component, whose file in an archive has a field of its own.
            inside = posixpath.normpath(posixpath.join(path, str(fields.get("path", ""))))
            return _with_source(fields, {"source": self.location, "path": inside})
        if path.endswith(".py"):
            # In a source of one file, what a handler says before the function is that file.
            handler = f":{handler.rpartition(':')[2].rpartition('.')[2]}"
        elif path != ".":
            handler = f".{handler}"
        folders = [] if path == "." else path.removesuffix(".py").split("/")
        if not all(part.isidentifier() for part in folders):
            _refuse(path, "cannot be a module: its names need letters, digits and _ only")
        return _with_source(fields, {"source": self.location, "handler": ".".join(folders) + handler})


def resolver(location: str, fetched: Fetched) -> Repository | Neighbours | Archive:
    """Return what resolves the paths of a project that was fetched.

    :param location: its address.
    :param fetched: what came from there.
    """
    from airflow_kfp_runtime.sources.git_address import TRANSPORTS

    if location.partition("://")[0].lower() in TRANSPORTS:
        return Repository(location, fetched.version, is_file=fetched.file is not None)
    return Archive(location) if fetched.file is None else Neighbours(location)


def path_of(fields: Mapping[str, Any]) -> str | None:
    """Return the path that is the source of a function or workflow.

    :return: ``None`` where a text or an address is, or a template, which may become either.
    """
    older = fields.get("source")
    source = older if isinstance(older, Mapping) else {"source": older}
    paths = {
        path for path in (source.get("source"), fields.get("code_src")) if isinstance(path, str) and path
    }
    texts = [part.get(name) for part in (fields, source) for name in ("code", "base64")]
    # A text wins over a path; and that two paths differ is for the kind to say.
    if len(paths) != 1 or any(texts):
        return None
    (path,) = paths
    return None if "://" in path or is_template(path) else path


def _with_source(fields: Mapping[str, Any], source: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return fields in which the path is replaced, in the form in which they have it."""
    older = fields.get("source")
    if isinstance(older, Mapping):
        return {**fields, "source": {**{name: older[name] for name in older if name != "source"}, **source}}
    return {**{name: fields[name] for name in fields if name not in {"source", "code_src"}}, **source}


def _own(path: str) -> str:
    """Return a path in the shortest way to write it.

    :raises SourceError: it leads out of the project.
    """
    shortest = posixpath.normpath(path)
    if shortest.startswith("/") or shortest.split("/")[0] == "..":
        _refuse(path, "is not one of the project's own files")
    return shortest


def _refuse(path: str, problem: str) -> NoReturn:
    raise SourceError(f"{path!r} {problem}", field="source")
