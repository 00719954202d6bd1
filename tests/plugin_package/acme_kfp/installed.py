"""The scheme ``installed://``: sources that come with an installed Python package, as files of it."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.sources.scheme import Fetched, FetchRequest, SourceScheme


def fetch(request: FetchRequest) -> Fetched:
    """Bring ``installed://package/folder`` or ``installed://package/folder/file.py`` into the cache."""
    package, _, path = request.location.partition("://")[2].partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(f"there is no installed package {package!r}", field=request.field)
    root = Path(spec.submodule_search_locations[0]).resolve()
    found = (root / path).resolve()
    if not found.is_relative_to(root) or not found.exists():
        raise SourceError(
            f"package {package!r} has no file or folder {path!r}",
            field=request.field,
            allowed=sorted(
                f"{request.location.partition('://')[0]}://{package}/{entry.name}"
                for entry in root.iterdir()
                if not entry.name.startswith("_")
            ),
        )
    files = [found] if found.is_file() else sorted(file for file in found.rglob("*.py"))
    if sum(file.stat().st_size for file in files) > request.limits.extracted:
        raise SourceError(f"has more than {request.limits.extracted} bytes", field=request.field)
    top = found.parent if found.is_file() else found
    contents = {file.relative_to(top): file.read_bytes() for file in files}
    version = hashlib.sha256(repr(sorted(contents.items())).encode()).hexdigest()

    def fill(folder: Path) -> None:
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    folder = request.cache.entry(f"{request.location} {version}", fill)
    return Fetched(folder, found.name if found.is_file() else None, version)


@hookimpl
def source_schemes() -> list[SourceScheme]:
    """Add the scheme."""
    return [SourceScheme(names=("installed",), fetch=fetch)]
