"""The file of a project, wherever it is, and the files beside it."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.project.documents import LARGEST_FILE, Node, check_size, read_documents
from airflow_kfp_runtime.project.exports import Entity, is_exported

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_kfp_runtime.project.problems import Problem
    from airflow_kfp_runtime.sources import Sources
    from airflow_kfp_runtime.sources.scheme import Fetched

#: What a project's file is called in a folder.
NAMES = ("project.yaml", "project.yml", "project.json")

#: What DigitalHub calls the file of a project that it exports.
_EXPORTED = "projects-*.yaml"

SUFFIXES = (".yaml", ".yml", ".json")

#: How many files beside a project's are looked through for what it refers to.
_MOST_FILES = 1000


@dataclass
class ProjectFile:
    """A project's file.

    :param path: where it is now.
    :param label: what errors call it.
    """

    path: Path
    label: str
    _entities: list[Entity] | None = field(default=None, repr=False)

    def documents(self) -> tuple[list[Node], list[Problem]]:
        """Return what it holds, and what is wrong with its keys.

        :raises SourceError: it cannot be read.
        """
        return read_documents(_content(self.path, self.label), self.label)

    def text(self, path: str) -> str | None:
        """Return the text of a file of the project, or ``None`` where there is no such file.

        :raises SourceError: it cannot be read.
        """
        file = self._inside(path)
        if file is None:
            return None
        content = _content(file, path)
        check_size(content, path)
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SourceError(f"is not UTF-8: {error}", field=path) from None

    def entity(self, reference: Entity) -> Entity | None:
        """Return the exported function or workflow that a project only refers to.

        It is in the file that ``metadata.ref`` names: by its path in the project's folder, else by its name
        there, since DigitalHub writes the path of the machine that exported it. Without such a file it is in
        whichever file beside the project's has its id, or its kind and name.

        :raises SourceError: the file cannot be read.
        """
        ref = reference.node.get("metadata", "ref")
        if ref is not None and isinstance(ref.value, str):
            for path in (ref.value, PurePosixPath(ref.value).name):
                file = self._inside(path)
                if file is not None:
                    return next(_entities(file, reference.what), None)
        if self._entities is None:
            self._entities = list(self._beside())
        for entity in self._entities:
            if entity.name != reference.name or (reference.kind and entity.kind != reference.kind):
                continue
            if reference.id is None or entity.id is None or entity.id.value == reference.id.value:
                return Entity(reference.what, entity.node, entity.tasks)
        return None

    def _inside(self, path: str) -> Path | None:
        """Return a file in the project's folder, or ``None`` where it is elsewhere or not there."""
        folder = self.path.parent.resolve()
        file = (folder / path).resolve()
        return file if file.is_file() and file.is_relative_to(folder) else None

    def _beside(self) -> Iterator[Entity]:
        """Yield what is exported beside the project's file and in the folders there."""
        folder = self.path.parent
        found = sorted(file for pattern in ("*", "*/*") for file in folder.glob(pattern))
        candidates = [file for file in found if file.suffix in SUFFIXES and file.is_file()]
        for file in candidates[:_MOST_FILES]:
            # Other YAML may be there, for other programs; and wrong, without harm to this project.
            with suppress(SourceError):
                yield from _entities(file, "")


def local_file(path: Path, sources: Sources | None) -> ProjectFile:
    """Return the project's file at a path of this machine.

    :param path: the file, or the folder that it is in.
    :param sources: has the folders in which a relative path is looked for.
    :raises SourceError: there is none.
    """
    folders = sources.folders if sources is not None and sources.folders else (Path(),)
    candidates = [path] if path.is_absolute() else [folder / path for folder in folders]
    for candidate in candidates:
        if candidate.is_dir():
            file = file_in(candidate, str(candidate))
            return ProjectFile(file, str(file))
        if candidate.is_file():
            return ProjectFile(candidate, str(candidate))
        if candidate.exists():
            raise SourceError("is not a file", field=str(candidate))
    looked = ", ".join(repr(str(candidate.absolute())) for candidate in candidates)
    raise SourceError(f"there is no such file or folder; looked for {looked}", field=f"project {str(path)!r}")


@contextmanager
def fetched_file(location: str, sources: Sources | None) -> Iterator[tuple[ProjectFile, Fetched]]:
    """Fetch a project and yield its file and what it came with; both go away afterwards.

    :raises SourceError: it cannot be had, or has no project's file at its root.
    """
    from airflow_kfp_runtime.sources import Sources
    from airflow_kfp_runtime.sources.location import Location

    shown = Location.parse(location, field="project").shown
    with (sources or Sources()).open(location, field="project", suffixes=SUFFIXES) as fetched:
        if fetched.file is None:
            path = file_in(fetched.folder, shown)
            file = ProjectFile(path, f"{shown} {path.name}")
        else:
            file = ProjectFile(fetched.folder / fetched.file, shown)
        yield file, fetched


def file_in(folder: Path, shown: str) -> Path:
    """Return the project's file in a folder.

    :param shown: what errors call the folder.
    :raises SourceError: there is none, or which one is not clear.
    """
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    exported = sorted(folder.glob(_EXPORTED))
    if len(exported) != 1:
        many = ": " + ", ".join(file.name for file in exported) if exported else ""
        raise SourceError(
            f"has {'several' if exported else 'no'} project files{many}",
            field=f"project {shown!r}",
            allowed=[*NAMES, f"one {_EXPORTED}"],
        )
    return exported[0]


def _content(path: Path, label: str) -> bytes:
    try:
        with path.open("rb") as file:
            # One byte more than is allowed: what is larger is refused without reading all of it.
            return file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", field=label) from None


def _entities(file: Path, what: str) -> Iterator[Entity]:
    """Yield what a file exports: a function or workflow, whose tasks are further documents."""
    documents: Sequence[Node]
    documents, problems = read_documents(_content(file, str(file)), str(file))
    if problems:
        raise problems[0].exception()
    if documents and is_exported(documents[0]):
        yield Entity(what, documents[0], documents[1:])
