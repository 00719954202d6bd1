"""What relative paths in a project's file mean: where the file is, or the address it was fetched from.

Of a project that was fetched nothing stays on this machine, and what its functions and workflows name has to
be found again later. So a path becomes an address in the same source, of git with the commit that the project
is of. A function's single file is the exception: its text is read with the project, for that text alone
travels to a step, where of an address the whole tree would.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.project.templates import is_template


@dataclass(frozen=True)
class LocalFolder:
    """Resolves relative paths against the folder that the project's file is in."""

    folder: Path

    def __call__(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a function's or workflow's fields with paths that hold from anywhere."""
        path = path_of(fields)
        return fields if path is None else _with_source(fields, {"source": str(self.folder / path)})


@dataclass(frozen=True)
class FetchedFile:
    """Resolves paths in a project whose file was fetched alone: they are addresses beside that file's.

    :param location: the file's address.
    """

    location: str

    def __call__(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a function's or workflow's fields with addresses in place of paths.

        :raises SourceError: a path leads out of the folder of the project's file, or is no ``.py`` file.
        """
        path = path_of(fields)
        if path is None:
            return fields
        path = _own(path)
        if not path.endswith(".py"):
            _refuse(path, "is no .py file, and a project that is a file alone can name only those")
        address, _, _ = self.location.partition("?")
        return _with_source(fields, {"source": f"{address.rpartition('/')[0]}/{path}"})


@dataclass(frozen=True)
class FetchedTree:
    """Resolves paths in a project that came from an address.

    :param location: the address.
    :param version: what was fetched: of git the commit.
    :param texts: by path: the files whose text is known.
    """

    location: str
    version: str
    texts: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a function's or workflow's fields with addresses and texts in place of paths.

        :raises SourceError: a path leaves the project, or is one that a handler's module cannot have.
        """
        path = path_of(fields)
        if path is None:
            return fields
        path = _own(path)
        if path in self.texts:
            return _with_source(fields, {"code": self.texts[path]})
        if path.endswith(".zip"):
            _refuse(path, "is an archive within a source; give its own address, or a folder")
        older = fields.get("source")
        handler = older.get("handler") if isinstance(older, Mapping) else None
        return _with_source(fields, self._address(path, handler or fields.get("handler")))

    def _address(self, path: str, handler: Any) -> dict[str, Any]:
        parts, module = PurePosixPath(path).parts, None
        if path.endswith(".py"):
            parts, module = parts[:-1], PurePosixPath(path).stem
        address, within = _narrowed(self.location, self.version, parts)
        if not isinstance(handler, str):
            return {"source": address}
        if module is not None:
            # In a source of one file, what a handler says before the function is that file.
            handler = f"{module}:{handler.rpartition(':')[2].rpartition('.')[2]}"
        named = (*within, *([module] if module is not None else []))
        if not all(part.isidentifier() for part in named):
            _refuse(path, "cannot be a module: its names need letters, digits and _ only")
        return {"source": address, "handler": ".".join((*within, handler))}


def path_of(fields: Mapping[str, Any]) -> str | None:
    """Return the path that is the source of a function or workflow.

    :return: ``None`` where a text or an address is, or a template, which may become either.
    """
    older = fields.get("source")
    if isinstance(older, Mapping):
        path = older.get("source") or fields.get("code_src")
        texts = [part.get(name) for part in (fields, older) for name in ("code", "base64")]
    else:
        path = fields.get("code_src") or older
        texts = [fields.get(name) for name in ("code", "base64")]
    # A text wins over a path.
    if not isinstance(path, str) or any(texts):
        return None
    return None if "://" in path or is_template(path) else path


def _with_source(fields: Mapping[str, Any], source: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return fields in which the path is replaced, in the form in which they have it."""
    older = fields.get("source")
    if isinstance(older, Mapping):
        return {**fields, "source": {**{name: older[name] for name in older if name != "source"}, **source}}
    return {**{name: fields[name] for name in fields if name not in {"source", "code_src"}}, **source}


def _narrowed(location: str, version: str, folders: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the address of a folder in a source, and the part of the way that the address does not have."""
    from airflow_kfp_runtime.sources.git_address import TRANSPORTS

    scheme, _, _ = location.partition("://")
    if scheme.lower() not in TRANSPORTS:
        return location, folders
    repository, _, fragment = location.partition("#")
    folder = posixpath.join(fragment.partition(":")[2], *folders)
    return f"{repository}#{version}" + (f":{folder}" if folder else ""), ()


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
