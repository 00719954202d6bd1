"""Where the YAML of a component comes from, and its documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from airflow_kfp_runtime.dsl.json_values import plain
from airflow_kfp_runtime.errors import FunctionError, SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from airflow_kfp_runtime.sources.sources import Sources

_SUFFIXES = (".yaml", ".yml", ".json")

#: What a component's file is called by convention (KFP's component repositories).
_USUAL_NAME = "component.yaml"


class ComponentFunction(BaseModel):
    """What a function of kind ``component`` is made of: one of ``source``, ``text`` and ``spec``.

    :param source: where the file is: a path, or an address (``https://example.org/component.yaml``).
    :param path: the file in ``source``, where that is a folder, an archive or a repository; by default
        ``component.yaml``.
    :param text: the YAML itself; a compiled pipeline may have its platform spec as a second document.
    :param spec: the same as a mapping; that of a compiled pipeline, or ``{"pipeline_spec": ...,
        "platform_spec": ...}``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str | None = Field(default=None, min_length=1)
    path: str | None = Field(default=None, min_length=1)
    text: str | None = Field(default=None, min_length=1)
    spec: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        given = [name for name in ("source", "text", "spec") if getattr(self, name) is not None]
        if len(given) != 1:
            what = f"{' and '.join(given)} are given" if given else "none is given"
            raise ValueError(f"{what}: one of source, text and spec is needed")
        if self.path is not None and self.source is None:
            raise ValueError("path names a file in source, and there is no source")
        return self


def read_documents(function: ComponentFunction, sources: Sources | None) -> list[dict[str, Any]]:
    """Return the one or two documents of a component's YAML, as JSON values.

    :raises SourceError: it cannot be had, or is no YAML of one or two mappings.
    """
    if function.spec is not None:
        nested = function.spec.get("pipeline_spec")
        documents = [function.spec] if nested is None else [nested, function.spec.get("platform_spec")]
        return _checked([document for document in documents if document is not None], "spec")
    if function.text is not None:
        return _checked(_loaded(function.text, "text"), "text")
    return _checked(_loaded(_text(function, sources), "source"), "source")


def _text(function: ComponentFunction, sources: Sources | None) -> str:
    from airflow_kfp_runtime.sources.sources import Sources

    location = str(function.source)
    with (sources or Sources()).open(location, field="source", suffixes=_SUFFIXES) as fetched:
        if fetched.file is not None and function.path is not None:
            raise SourceError(f"{location!r} is a file, so that nothing is in it", field="path")
        file = fetched.folder / (fetched.file or function.path or _USUAL_NAME)
        if not file.resolve().is_relative_to(fetched.folder.resolve()):
            raise SourceError(f"{str(function.path)!r} leads out of the source", field="path")
        if not file.is_file():
            raise SourceError(
                f"there is no {function.path or _USUAL_NAME!r} in {location!r}: name the file in it",
                field="path",
                allowed=_found(fetched.folder),
            )
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{location!r} cannot be read: {error}", field="source") from None


def _found(folder: Path) -> list[str]:
    """Return the YAML files of a folder, for an error."""
    files = sorted(file for suffix in _SUFFIXES[:2] for file in folder.rglob(f"*{suffix}"))
    return [file.relative_to(folder).as_posix() for file in files]


def _loaded(text: str, field: str) -> list[Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return [document for document in yaml.load_all(text, Loader=loader) if document is not None]
    except yaml.YAMLError as error:
        raise SourceError(f"is not YAML: {error}", field=field) from None


def _checked(documents: list[Any], field: str) -> list[dict[str, Any]]:
    if not 1 <= len(documents) <= 2:
        raise SourceError(
            f"holds {len(documents)} YAML documents",
            field=field,
            allowed=["a component", "a compiled pipeline and its platform spec"],
        )
    for document in documents:
        if not isinstance(document, dict):
            raise SourceError(f"holds a {type(document).__name__}, not a mapping", field=field)
    try:
        return [plain(document) for document in documents]
    except ValueError as error:
        raise FunctionError(f"is not JSON: {error}", field=field) from None
