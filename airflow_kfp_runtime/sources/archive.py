"""Extracts zip archives that nobody vouches for.

Sizes are counted while extracting, since an archive may say of itself what it likes.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NoReturn

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.disk import words_of_system

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.sources.limits import Limits

_CHUNK = 64 * 1024
#: What a small file may become whatever its ratio: a page of spaces packs better than any limit on ratios.
_UNSUSPICIOUS = 64 * 1024
#: Bytes of an entry in an archive's list, with its name; a longer list is there to fill the memory.
_LISTED = 1024
_DEEPEST = 50
_LONGEST_SHOWN = 200
_ENCRYPTED = 0x1
#: With these, zipfile unpacks no more at once than it is asked for.
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
#: What macOS puts beside the files of an archive.
_NOT_CONTENT = "__MACOSX"


def extract(archive: Path, target: Path, limits: Limits, *, field: str) -> None:
    """Write the files of a zip archive into a folder.

    Where all of them are in one folder that cannot be a package, as in an archive of GitHub's
    (``etl-1.2.0``), that folder's content is written: modules are named from there.

    :param archive: the file.
    :param target: an empty folder.
    :param limits: of the archive's size, and how many files of which size may come out of it.
    :param field: what the user calls the archive, for errors.
    :raises SourceError: it is no zip archive, is damaged or encrypted, exceeds a limit, or has an entry that
        is no plain file in the folder.
    """
    size = archive.stat().st_size
    if size > limits.download:
        _refuse(f"the archive has {size} bytes; the limit is {limits.download}", field)
    try:
        with _BoundedReader(archive, limits.files * _LISTED) as file, zipfile.ZipFile(file) as opened:
            entries = _checked_entries(opened, limits, field)
            _Extraction(opened, target, limits, field).run(_without_common_folder(entries))
    except SourceError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        # What zipfile raises for archives that it cannot make sense of.
        _refuse(f"the archive cannot be read as zip: {str(error) or 'it ends too early'}", field)


class _BoundedReader(io.BufferedReader):
    """A file of which not more can be read at once: zipfile reads the whole list of entries."""

    def __init__(self, file: Path, largest: int) -> None:
        super().__init__(io.FileIO(file))
        self._largest = largest

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self._largest:
            raise zipfile.BadZipFile(f"its list of files has {size} bytes; the limit is {self._largest}")
        return super().read(size)


def _checked_entries(
    archive: zipfile.ZipFile, limits: Limits, field: str
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Return the files of an archive by their paths."""
    entries = archive.infolist()
    if len(entries) > limits.files:
        _refuse(f"the archive has {len(entries)} entries; the limit is {limits.files}", field)
    files: dict[PurePosixPath, zipfile.ZipInfo] = {}
    folders: set[PurePosixPath] = set()
    for entry in entries:
        path = _checked_path(entry.filename, field)
        _check_kind(entry, field)
        if entry.is_dir() or path.parts[:1] == (_NOT_CONTENT,):
            continue
        if path in files:
            _refuse(f"the archive has {str(path)!r} twice", field)
        files[path] = entry
        folders.update(path.parents)
        if len(files) + len(folders) > limits.files:
            _refuse(f"the archive has more than {limits.files} files and folders", field)
    if not files:
        _refuse("the archive holds no file", field)
    return files


def _checked_path(name: str, field: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or not path.parts
        or len(path.parts) > _DEEPEST
        or any(character in "\\:" or ord(character) < ord(" ") for character in name)
    ):
        shown = name[:_LONGEST_SHOWN]
        _refuse(
            f"the archive has the path {shown!r}; paths are relative, with '/', and stay in their folder",
            field,
        )
    return path


def _check_kind(entry: zipfile.ZipInfo, field: str) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        _refuse(f"the archive has the link {entry.filename!r}; put the file itself into it", field)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        _refuse(f"the archive has {entry.filename!r}, which is neither a file nor a folder", field)
    if entry.flag_bits & _ENCRYPTED:
        _refuse(f"{entry.filename!r} in the archive is encrypted; pack it without a password", field)
    if entry.compress_type not in _METHODS:
        _refuse(f"{entry.filename!r} in the archive is not packed by deflate, as zip does by default", field)


def _without_common_folder(
    entries: Mapping[PurePosixPath, zipfile.ZipInfo],
) -> Mapping[PurePosixPath, zipfile.ZipInfo]:
    tops = {path.parts[0] for path in entries}
    # What can be a package stays, since handlers name it (flows.etl:handler); GitHub's name has a "-".
    if len(tops) > 1 or any(len(path.parts) == 1 or path.parts[0].isidentifier() for path in entries):
        return entries
    return {path.relative_to(path.parts[0]): entry for path, entry in entries.items()}


@dataclass
class _Extraction:
    """One archive while it is extracted.

    :param total: bytes that were written.
    """

    archive: zipfile.ZipFile
    target: Path
    limits: Limits
    field: str
    total: int = 0

    def run(self, entries: Mapping[PurePosixPath, zipfile.ZipInfo]) -> None:
        for path, entry in entries.items():
            self._extract(path, entry)

    def _extract(self, path: PurePosixPath, entry: zipfile.ZipInfo) -> None:
        try:
            self._write(self.target / path, entry)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            # Names that differ in case only are one on some systems; a name can be file and folder.
            _refuse(f"the archive has {str(path)!r} twice, or as a file and a folder", self.field)
        except OSError as error:
            shown = str(path)[:_LONGEST_SHOWN]
            _refuse(f"{shown!r} in the archive cannot be written: {words_of_system(error)}", self.field)

    def _write(self, file: Path, entry: zipfile.ZipInfo) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with self.archive.open(entry) as packed, file.open("xb") as written:
            while chunk := packed.read(_CHUNK):
                size += len(chunk)
                self.total += len(chunk)
                self._check(size, entry)
                written.write(chunk)

    def _check(self, size: int, entry: zipfile.ZipInfo) -> None:
        if self.total > self.limits.extracted:
            _refuse(f"the archive's files have more than {self.limits.extracted} bytes together", self.field)
        if size > max(_UNSUSPICIOUS, entry.compress_size * self.limits.ratio):
            _refuse(
                f"{entry.filename!r} is more than {self.limits.ratio} times as large as in the archive, as "
                "the files of zip bombs are",
                self.field,
            )


def _refuse(problem: str, field: str) -> NoReturn:
    raise SourceError(problem, field=field)
