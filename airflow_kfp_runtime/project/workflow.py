"""A workflow: a handler that writes steps, and where its source is."""

from __future__ import annotations

import base64 as base64_encoding
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.handler import source_handler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from airflow_kfp_runtime.project.project import Project

_KIND = "kfp"
_FIELDS = ("handler", "kind", "code_src", "code", "base64", "source", "description", "labels")
_SOURCE_FIELDS = ("source", "handler", "code", "base64", "lang")


@dataclass(frozen=True)
class Workflow:
    """A workflow of kind ``kfp``, with DigitalHub's fields.

    Its handler is a function, or the name of one in a source: ``code`` (text), ``base64`` (the same, encoded)
    or ``code_src`` (a local ``.py`` file). ``code`` wins over ``base64``, and that over ``code_src``.

    :param name: the workflow's name; the pipeline has it on the server.
    :param handler: the function that writes the steps, or its name in the source.
    :param project: where its steps' functions are found.
    :param code_src: path of a local ``.py`` file. A relative one is resolved where the workflow is built:
        the operator takes it from the DAG's folder.
    :param code: the source text, decoded from ``base64`` where that was given.
    :param description: what the pipeline is for; by default the handler's docstring.
    :param labels: DigitalHub's labels; kept, not sent.
    """

    name: str
    handler: str | Callable[..., Any]
    project: Project | None = None
    code_src: str | None = None
    code: str | None = None
    description: str | None = None
    labels: Sequence[str] = field(default_factory=tuple)

    @classmethod
    def new(
        cls,
        name: str,
        *,
        handler: str | Callable[..., Any] | None = None,
        project: Project | None = None,
        kind: str = _KIND,
        code_src: str | Path | None = None,
        code: str | None = None,
        base64: str | None = None,
        source: str | Path | Mapping[str, str] | None = None,
        description: str | None = None,
        labels: Sequence[str] = (),
        **unknown: object,
    ) -> Workflow:
        """Return a workflow from fields in any of DigitalHub's spellings.

        :param kind: ``kfp``, the only kind of a workflow.
        :param source: the older form, ``{"source": "pipeline.py", "handler": "handler"}``, with ``code`` or
            ``base64`` as well; or a path, which is ``code_src``.
        :raises SourceError: no handler, no source, an unreadable ``base64``, another kind, an unknown field.
        """
        where = f"workflow {name!r}"
        if unknown:
            raise SourceError(
                "is unknown or has no meaning here", field=f"{where}, {next(iter(unknown))}", allowed=_FIELDS
            )
        if kind != _KIND:
            raise SourceError(
                f"{kind!r} is not the kind of a workflow", field=f"{where}, kind", allowed=[_KIND]
            )
        if isinstance(source, Mapping):
            for key in source:
                if key not in _SOURCE_FIELDS:
                    raise SourceError("is unknown", field=f"{where}, source[{key!r}]", allowed=_SOURCE_FIELDS)
            handler = handler or source.get("handler")
            code, base64 = code or source.get("code"), base64 or source.get("base64")
            code_src = code_src or source.get("source")
        elif source is not None:
            code_src = code_src or str(source)
        if handler is None:
            raise SourceError("names no handler", field=f"{where}, handler")
        if callable(handler):
            if code or base64 or code_src:
                raise SourceError("is a function already: a source has no meaning", field=f"{where}, handler")
        elif not (code or base64 or code_src):
            raise SourceError("has no source", field=where, allowed=["code_src", "code", "base64"])
        if code is None and base64 is not None:
            code = _decoded(base64, where)
        return cls(
            name=name,
            handler=handler,
            project=project,
            code_src=None if code is not None or code_src is None else str(code_src),
            code=code,
            description=description,
            labels=tuple(labels),
        )

    def load_handler(self, folder: Path | None = None) -> Callable[..., Any]:
        """Return the function that writes the steps, from its source if it has one.

        :param folder: where a relative ``code_src`` is; by default the current folder.
        :raises SourceError: the file is missing, its code fails, or it has no such function.
        """
        if not isinstance(self.handler, str):
            return self.handler
        return source_handler(self.handler, path=self.code_src, code=self.code, folder=folder)


def _decoded(base64: str, where: str) -> str:
    try:
        return base64_encoding.b64decode(base64, validate=True).decode()
    except ValueError as error:
        raise SourceError(f"is not base64 of UTF-8 text ({error})", field=f"{where}, base64") from None
