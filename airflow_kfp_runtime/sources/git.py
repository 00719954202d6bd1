"""Sources in git repositories: ``git+https://host/path#ref:path``, fetched with GitPython.

First the server says which commit a branch or a tag is; a commit that the cache has is not fetched again.
Only that commit is fetched, without its history, its submodules and what Git LFS keeps elsewhere.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import SourceError, nearest
from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.sources.git_address import TRANSPORTS, GitAddress
from airflow_kfp_runtime.sources.git_checkout import check_out
from airflow_kfp_runtime.sources.git_environment import (
    configuration,
    environment,
    git_credentials,
    redaction_of,
)
from airflow_kfp_runtime.sources.git_errors import explained
from airflow_kfp_runtime.sources.git_program import GitFailedError, GitProgram
from airflow_kfp_runtime.sources.scheme import Fetched, SourceScheme

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_kfp_runtime.sources.scheme import FetchRequest

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_ABBREVIATED_COMMIT = re.compile(r"[0-9a-f]{4,63}")
_INIT = ("init", "--quiet", "--bare", "--template=")
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
_ALL_REFERENCES = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


@hookimpl
def source_schemes() -> Sequence[SourceScheme]:
    """Return the schemes of git repositories."""
    return [SourceScheme(names=tuple(TRANSPORTS), fetch=fetch)]


@dataclass(frozen=True)
class _Revision:
    """A commit, and the object to ask the server for: an annotated tag is an object of its own."""

    commit: str
    wanted: str


def fetch(request: FetchRequest) -> Fetched:
    """Bring one commit of a repository, or a folder of it, into the cache.

    :raises SourceError: the address is wrong, the server refuses or cannot be reached, there is no such ref,
        folder or file, or a limit is exceeded.
    """
    address = GitAddress.parse(request.location, field=request.field)
    inside, file = _split(address.inside, request.suffixes)
    with _program(request, address) as git:
        revision = _revision(git, address, request)

        def make(target: Path) -> None:
            target.mkdir(exist_ok=True)
            _fetch_commit(git, address, revision)
            check_out(git, revision.commit, inside, target, request.limits)

        folder = request.cache.entry(f"git {address.url} {revision.commit} {inside}", make)
    if file is not None and not (folder / file).is_file():
        raise SourceError(
            f"the repository has no file {address.inside!r} at commit {revision.commit}", field=request.field
        )
    return Fetched(folder=folder, file=file, version=revision.commit)


def _split(inside: str, suffixes: tuple[str, ...]) -> tuple[str, str | None]:
    """Return the folder to fetch and the file in it, which comes with its neighbours: it may import them."""
    if not inside.endswith(suffixes):
        return inside, None
    folder, _, file = inside.rpartition("/")
    return folder, file


@contextmanager
def _program(request: FetchRequest, address: GitAddress) -> Iterator[GitProgram]:
    """Yield git with a private folder and this request's bounds, and explain what fails."""
    credentials = git_credentials(request.credentials.git, address, field=request.field)
    limits = request.limits
    with tempfile.TemporaryDirectory(prefix="airflow-kfp-runtime-git-") as name:
        folder = Path(name)
        git = GitProgram(
            folder=folder,
            environment={
                **environment(address, credentials, limits, folder),
                "GIT_DIR": str(folder / "repository"),
            },
            configuration=configuration(address, credentials, limits),
            largest=limits.download,
            timeout=limits.timeout,
            deadline=time.monotonic() + limits.timeout,
            field=request.field,
            redaction=redaction_of(credentials),
        )
        try:
            yield git
        except GitFailedError as error:
            raise SourceError(explained(error.output, address), field=request.field) from None


def _revision(git: GitProgram, address: GitAddress, request: FetchRequest) -> _Revision:
    """Find the commit that an address means; of a tag and a branch of one name the tag (gitrevisions(7))."""
    ref = address.ref
    if ref is not None and _COMMIT.fullmatch(ref):
        return _Revision(ref, ref)
    names = ["HEAD"] if ref is None else [ref] if ref.startswith("refs/") else []
    names = names or [f"refs/tags/{ref}", f"refs/heads/{ref}"]
    references = _references(git, address, *names, *(f"{name}^{{}}" for name in names))
    for name in names:
        if name in references:
            return _Revision(references.get(f"{name}^{{}}", references[name]), references[name])
    if ref and _ABBREVIATED_COMMIT.fullmatch(ref) and (commit := _whole_commit(git, address, ref, request)):
        return _Revision(commit, commit)
    raise _unknown_ref(git, address)


def _unknown_ref(git: GitProgram, address: GitAddress) -> SourceError:
    references = _references(git, address, "refs/heads/*", "refs/tags/*")
    known = [name.split("/", 2)[-1] for name in references if not name.endswith("^{}")]
    if not known:
        return SourceError("the repository has no commit yet", field=git.field)
    if address.ref is None:
        problem = "the default branch of the repository does not exist; name a branch, as #branch"
    else:
        problem = f"the repository has no branch, tag or commit {address.ref!r}"
    return SourceError(problem, field=git.field, allowed=nearest(address.ref or "", known))


def _references(git: GitProgram, address: GitAddress, *patterns: str) -> dict[str, str]:
    listing = git.run("ls-remote", "--quiet", address.url, *patterns)
    pairs = (line.partition("\t") for line in listing.splitlines())
    return {name: commit for commit, _, name in pairs}


def _whole_commit(
    git: GitProgram, address: GitAddress, abbreviation: str, request: FetchRequest
) -> str | None:
    """Return the commit that an abbreviation means, or ``None``: servers only know whole ones.

    The history is fetched for that, where the server can without its files.
    """
    key = f"git {address.url} {abbreviation}"
    if known := request.cache.note(key):
        return str(known["commit"])
    history = git.folder / "history"
    in_history = ("--git-dir", str(history))
    git.run(*in_history, *_INIT)
    git.run(*in_history, *_FETCH, "--filter=tree:0", address.url, *_ALL_REFERENCES)
    try:
        found = git.run(*in_history, "rev-parse", "--verify", "--quiet", f"{abbreviation}^{{commit}}")
    except GitFailedError:
        return None
    commit = found.strip()
    shutil.rmtree(history)
    request.cache.keep_note(key, {"commit": commit})
    return commit


def _fetch_commit(git: GitProgram, address: GitAddress, revision: _Revision) -> None:
    git.run(*_INIT)
    try:
        git.run(*_FETCH, "--depth=1", address.url, revision.wanted)
    except GitFailedError as error:
        if "not our ref" in error.output:
            raise _no_commit(revision, git.field) from None
        if "unadvertised object" not in error.output:
            raise
    else:
        return
    # Servers of the older protocol give a commit by its name only where a branch or tag is at it.
    git.run(*_FETCH, address.url, *_ALL_REFERENCES)
    try:
        git.run("cat-file", "-e", f"{revision.commit}^{{commit}}")
    except GitFailedError:
        raise _no_commit(revision, git.field) from None


def _no_commit(revision: _Revision, field: str) -> SourceError:
    return SourceError(
        f"the repository has no commit {revision.commit}, or no longer; if its branch was just overwritten, "
        "try again",
        field=field,
    )
