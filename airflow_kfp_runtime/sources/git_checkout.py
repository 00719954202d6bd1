"""Writes the files of one commit, after what it would write was counted."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import SourceError, nearest
from airflow_kfp_runtime.sources.git_program import GitFailedError

if TYPE_CHECKING:
    from airflow_kfp_runtime.sources.git_program import GitProgram
    from airflow_kfp_runtime.sources.limits import Limits


def check_out(git: GitProgram, commit: str, folder: str, target: Path, limits: Limits) -> None:
    """Write the files of a commit, or of one folder of it, without the repository itself.

    Submodules stay empty folders, and what Git LFS keeps elsewhere stays a pointer: neither is fetched.

    :param git: works in the repository, which has the commit.
    :param folder: in the commit; empty for all of it.
    :param target: an empty folder.
    :raises SourceError: there is no such folder, it is too large, or a link in it leads out of it.
    """
    tree = f"{commit}:{folder}"
    try:
        listing = git.run("ls-tree", "-r", "-l", "-z", "--full-tree", tree)
    except GitFailedError:
        if not folder:
            raise
        there = git.run("ls-tree", "-d", "--name-only", "-z", "--full-tree", commit).split("\0")
        raise SourceError(
            f"the repository has no folder {folder!r} at commit {commit}",
            field=git.field,
            allowed=nearest(folder, filter(None, there)),
        ) from None
    _check_extent(listing, limits, git.field)
    git.run("read-tree", tree)
    git.run("--work-tree", str(target), "checkout-index", "--all", "--force", "--quiet")
    _check_links(target, git.field)


def _check_extent(listing: str, limits: Limits, field: str) -> None:
    size, paths = 0, set()
    for entry in filter(None, listing.split("\0")):
        facts, _, path = entry.partition("\t")
        blob_size = facts.split()[3]
        # A submodule has no size: its commit is in another repository.
        size += int(blob_size) if blob_size.isdigit() else 0
        paths.add(path)
        paths.update(str(parent) for parent in PurePosixPath(path).parents)
    if size > limits.extracted:
        raise SourceError(
            f"its files have {size} bytes, of {limits.extracted} allowed; name a folder of it, as #ref:path",
            field=field,
        )
    if len(paths) > limits.files:
        raise SourceError(
            f"it has {len(paths)} files and folders, of {limits.files} allowed; name a folder of it, "
            "as #ref:path",
            field=field,
        )


def _check_links(target: Path, field: str) -> None:
    top = target.resolve()
    for parent, folders, files in os.walk(target):
        for name in (*folders, *files):
            path = Path(parent, name)
            if not path.is_symlink():
                continue
            # Absolute links are refused wherever they lead: this folder is copied to other places.
            link = path.readlink()
            if link.is_absolute() or not _resolved(path).is_relative_to(top):
                raise SourceError(
                    f"the link {str(path.relative_to(target))!r} to {str(link)!r} leads out of the source",
                    field=field,
                )


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        # Links in a circle lead nowhere, and so not out of the folder.
        return path.parent.resolve()
