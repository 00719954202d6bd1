"""Sources on this machine: a file, an archive or a folder."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.archive import extract
from airflow_kfp_runtime.sources.disk import private_folder, words_of_system
from airflow_kfp_runtime.sources.scheme import Fetched

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_kfp_runtime.sources.limits import Limits

#: Folders that are no part of what a tree says.
_NOT_SOURCE = frozenset({"__pycache__", ".git"})
_CHUNK = 1024 * 1024


@contextmanager
def open_local(
    path: str,
    folders: Sequence[Path],
    limits: Limits,
    *,
    suffixes: Sequence[str],
    field: str,
) -> Iterator[Fetched]:
    """Yield a source that is on this machine: a file or a folder in its place, an archive extracted.

    :param path: absolute, or relative to one of ``folders``, out of which it may lead.
    :param folders: looked through in this order.
    :param limits: for the size of a file and of a folder, and for extracting.
    :param suffixes: of the single files that are accepted (``.py``).
    :param field: what the user calls the path, for errors.
    :raises SourceError: there is no such file, it is of another kind, or too large.
    """
    found = _find(path, folders, field)
    if found.is_dir():
        yield Fetched(found, None, _folder_version(found, limits, field))
    elif found.suffix.lower() == ".zip":
        with private_folder(field=field) as private:
            version = _file_version(found, limits.download, field)
            extract(found, Path(private), limits, field=field)
            yield Fetched(Path(private), None, version)
    elif found.suffix in suffixes:
        yield Fetched(found.parent, found.name, _file_version(found, limits.download, field))
    else:
        raise SourceError(
            f"{path!r} is a file that is no source",
            field=field,
            allowed=[*(f"a file that ends in {suffix}" for suffix in suffixes), ".zip", "a folder"],
        )


def _find(path: str, folders: Sequence[Path], field: str) -> Path:
    tried = [folder.absolute() / path for folder in folders]
    for candidate in dict.fromkeys(tried):
        if _is_there(candidate):
            # A link in the way is followed: what is beside the file itself can be imported.
            return candidate.resolve()
    looked = ", ".join(repr(str(one)) for one in dict.fromkeys(tried))
    raise SourceError(f"there is no file or folder {path!r}; looked for {looked}", field=field)


def _is_there(path: Path) -> bool:
    try:
        return path.is_dir() or path.is_file()
    except OSError:
        # It is longer than paths can be, or in a folder that may not be looked into.
        return False


def _file_version(file: Path, largest: int, field: str) -> str:
    digest = hashlib.sha256()
    try:
        if file.stat().st_size > largest:
            raise SourceError(f"{str(file)!r} has more than the {largest} bytes of the limit", field=field)
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise SourceError(f"{str(file)!r} cannot be read: {words_of_system(error)}", field=field) from error
    return digest.hexdigest()


def _folder_version(folder: Path, limits: Limits, field: str) -> str:
    """Return a hash of the names and contents of all files, without those that are made from others."""
    digest, size, count = hashlib.sha256(), 0, 0
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - _NOT_SOURCE)
        for name in sorted(files):
            file = Path(parent, name)
            # Neither a link that leads nowhere nor a socket can be read.
            if not file.is_file():
                continue
            count, size = count + 1, size + file.stat().st_size
            if count > limits.files or size > limits.extracted:
                raise SourceError(
                    f"the folder {str(folder)!r} has more than {limits.files} files or {limits.extracted} "
                    "bytes; name a folder with nothing but the workflow in it",
                    field=field,
                )
            content = _file_version(file, limits.extracted, field)
            digest.update(f"{file.relative_to(folder).as_posix()}\0{content}\n".encode(errors="replace"))
    return digest.hexdigest()
