"""Extracts zip archives that nobody vouches for.

Sizes are counted while extracting, since an archive may say of itself what it likes.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NoReturn

from airflow_kfp_runtime.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.sources.limits import Limits

_CHUNK = 64 * 1024
#: What a small file may become whatever its ratio: a page of spaces packs better than any limit on ratios.
_UNSUSPICIOUS = 64 * 1024
_ENCRYPTED = 0x1
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
        with zipfile.ZipFile(archive) as opened:
            entries = _checked_entries(opened, limits, field)
            _Extraction(opened, target, limits, field).run(_without_common_folder(entries))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        # SourceError is a ValueError; the rest is what zipfile raises for archives it cannot make sense of.
        if isinstance(error, SourceError):
            raise
        _refuse(f"the archive cannot be read as zip: {error}", field)


def _checked_entries(
    archive: zipfile.ZipFile, limits: Limits, field: str
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Return the files of an archive by their paths."""
    entries = archive.infolist()
    if len(entries) > limits.files:
        _refuse(f"the archive has {len(entries)} entries; the limit is {limits.files}", field)
    files: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for entry in entries:
        path = _checked_path(entry.filename, field)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind == stat.S_IFLNK:
            _refuse(f"the archive has the link {entry.filename!r}; put the file itself into it", field)
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            _refuse(f"the archive has {entry.filename!r}, which is neither a file nor a folder", field)
        if entry.flag_bits & _ENCRYPTED:
            _refuse(f"{entry.filename!r} in the archive is encrypted; pack it without a password", field)
        if entry.is_dir() or path.parts[:1] == (_NOT_CONTENT,):
            continue
        if path in files:
            _refuse(f"the archive has {str(path)!r} twice", field)
        files[path] = entry
    if not files:
        _refuse("the archive holds no file", field)
    return files


def _checked_path(name: str, field: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or not path.parts
        or "\\" in name
        or any(":" in part or any(ord(character) < 32 for character in part) for part in path.parts)
    ):
        _refuse(
            f"the archive has the path {name!r}; paths are relative, with '/', and stay in their folder",
            field,
        )
    return path


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
            file = self.target / path
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("xb") as written, self.archive.open(entry) as packed:
                    size = 0
                    while chunk := packed.read(_CHUNK):
                        size += len(chunk)
                        self._count(len(chunk), size, entry)
                        written.write(chunk)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                # Names that differ in case only are one on some systems; a name can be file and folder.
                _refuse(f"the archive has {str(path)!r} twice, or as a file and a folder", self.field)

    def _count(self, more: int, size: int, entry: zipfile.ZipInfo) -> None:
        self.total += more
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
