"""A workflow: a handler that writes steps, and where its source is."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_kfp_runtime.dsl.pipeline import Pipeline, trace
from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.project.written import WrittenPipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_kfp_runtime.project.project import Project
    from airflow_kfp_runtime.sources import Sources
    from airflow_kfp_runtime.sources.scheme import Fetched

_log = logging.getLogger(__name__)

_KIND = "kfp"
_LANGUAGE = "python"
_SOURCE_FIELDS = ("source", "handler", "code", "base64", "lang")

#: The fields that say where the handler's text is; of several the first counts.
_SOURCES = ("code", "base64", "code_src", "git_source")

_FIELDS = (
    *("handler", *_SOURCES, "source", "kind", "project", "uuid", "description", "labels"),
    *("embedded", "lang", "image", "tag"),
)

#: How an address begins that git understands; before the last three stands ``git+`` in a source.
_GIT_ADDRESS = re.compile(r"(?P<own>git\+\w+|git)://|(?P<other>https?|ssh)://", re.IGNORECASE)


@dataclass(frozen=True)
class Workflow:
    """A workflow of kind ``kfp``, with DigitalHub's fields, of which :meth:`new` takes every spelling.

    Its handler is a function, or the name of one in a source.

    :param name: the workflow's name; the pipeline has it on the server.
    :param handler: the function that writes the steps; its name in the source: ``func``, ``module:func``,
        ``dotted.path:func`` or ``dotted.path.func``; or the pipeline that it has written already.
    :param project: where its steps' functions are found.
    :param project_name: the project's name, where that alone was given; kept.
    :param code: the source text, decoded from ``base64`` where that was given.
    :param code_src: where the source is, where there is no ``code``: a path, or an address with a scheme. A
        relative path is looked for where the workflow is built: the operator begins in the DAG's folder.
    :param description: what the pipeline is for; by default the handler's docstring.
    :param labels: DigitalHub's labels; kept, not sent.
    :param uuid: its id on a DigitalHub platform; kept, and references may end in it.
    :param embedded: whether an exported project holds it whole; kept.
    :param lang: the source's language; only ``python`` is possible.
    :param image: the image that a DigitalHub platform builds the pipeline in. Here a process of this
        machine does; kept.
    :param tag: the image's tag; kept.
    :param git_source: a git repository, as an address of ``code_src`` or as git has it
        (``https://git.example.org/etl.git#v1``); the source where no other is given.
    :param confined: whether a handler or a project that was fetched has brought it: its functions may then
        name files of its own source alone, as those of a source with an address.
    """

    name: str
    handler: str | Callable[..., Any] | Pipeline
    project: Project | None = None
    code_src: str | None = None
    code: str | None = None
    description: str | None = None
    labels: Sequence[str] = field(default_factory=tuple)
    project_name: str | None = None
    uuid: str | None = None
    embedded: bool = True
    lang: str | None = None
    image: str | None = None
    tag: str | None = None
    git_source: str | None = None
    confined: bool = False

    @classmethod
    def new(
        cls,
        name: str,
        *,
        handler: str | Callable[..., Any] | None = None,
        project: Project | str | None = None,
        kind: str = _KIND,
        code_src: str | Path | None = None,
        code: str | None = None,
        base64: str | None = None,
        source: str | Path | Mapping[str, str] | None = None,
        description: str | None = None,
        labels: Sequence[str] | None = None,
        uuid: str | UUID | None = None,
        embedded: bool = True,
        lang: str | None = None,
        image: str | None = None,
        tag: str | None = None,
        git_source: str | None = None,
        **unknown: object,
    ) -> Workflow:
        """Return a workflow from fields in any of DigitalHub's spellings.

        Of several sources one counts: ``code`` before ``base64``, that before ``code_src``, and that before
        ``git_source``.

        :param project: where the steps' functions are, or the project's name alone.
        :param kind: ``kfp``, the only kind of a workflow.
        :param base64: ``code``, encoded.
        :param source: the older form, ``{"source": "pipeline.py", "handler": "handler"}``, with ``code``,
            ``base64`` or ``lang`` as well; or a path or address, which is ``code_src``.
        :raises SourceError: no handler, no source, an unreadable ``base64``, another kind or language, an
            unknown field, a value of the wrong type; the message names the field and what is allowed.
        """
        where = f"workflow {name!r}"
        if unknown:
            wrong = next(iter(unknown))
            raise SourceError(
                "is not a field of a workflow",
                field=f"{where}, {wrong}",
                allowed=difflib.get_close_matches(wrong, _FIELDS) or _FIELDS,
            )
        if kind != _KIND:
            raise SourceError(
                f"{kind!r} is not the kind of a workflow", field=f"{where}, kind", allowed=[_KIND]
            )
        given: dict[str, Any] = {
            "handler": handler,
            "code": code,
            "base64": base64,
            "code_src": str(code_src) if isinstance(code_src, Path) else code_src,
            "lang": lang,
        }
        if isinstance(source, Mapping):
            _take_older_form(source, given, where)
        elif source is not None:
            _take(given, "code_src", str(source) if isinstance(source, Path) else source, where, "source")
        texts = {**given, "git_source": git_source, "description": description, "image": image, "tag": tag}
        for key, value in texts.items():
            if not (value is None or isinstance(value, str) or (key == "handler" and callable(value))):
                raise SourceError(f"{value!r} is not a text", field=f"{where}, {key}")
        _check_handler(given["handler"], [key for key in _SOURCES if texts[key]], where)
        if given["lang"] is not None and given["lang"].lower() != _LANGUAGE:
            raise SourceError(
                f"{given['lang']!r} is not possible", field=f"{where}, lang", allowed=[_LANGUAGE]
            )
        if not isinstance(embedded, bool):
            raise SourceError(f"{embedded!r} is neither true nor false", field=f"{where}, embedded")
        code = given["code"] or None
        if code is None and given["base64"]:
            from airflow_kfp_runtime.sources.inline import decoded

            code = decoded(given["base64"], field=f"{where}, base64")
        return cls(
            name=name,
            handler=given["handler"],
            project=None if isinstance(project, str) else project,
            project_name=project if isinstance(project, str) else None,
            code_src=None if code is not None else given["code_src"],
            code=code,
            description=description,
            labels=_labels(labels, where),
            uuid=_uuid(uuid, where),
            embedded=embedded,
            lang=given["lang"],
            image=image,
            tag=tag,
            git_source=_git_source(git_source, where) if git_source else None,
        )

    def pipeline(
        self, sources: Sources | None = None, *, name: str | None = None, project: Project | None = None
    ) -> Pipeline:
        """Return what the handler writes.

        A function is called here; a handler that is named in a source runs in a process of its own
        (:mod:`airflow_kfp_runtime.sources.handlers`).

        :param sources: where the source comes from, and the limits for it and for the process; by default
            :class:`~airflow_kfp_runtime.sources.Sources` as it is without arguments.
        :param name: the pipeline's name; by default the workflow's.
        :param project: where the functions are that the steps name; by default the workflow's. What it does
            not have is taken from projects in the handler's own module; where their functions name files
            of a source that is fetched, compile within :meth:`written`.
        :raises SourceError: the source cannot be had, does not hold the handler, or the handler fails.
        :raises DefinitionError: the pipeline is wrong; with the step, the field, the value, what is allowed.
        """
        with self.written(sources, name=name) as written:
            return written.completed(project or self.project)

    @contextmanager
    def written(
        self, sources: Sources | None = None, *, name: str | None = None
    ) -> Iterator[WrittenPipeline]:
        """Yield what the handler writes, with the projects of its own module beside it.

        Within the block the files of its source are there, which functions of those projects may name. The
        parameters and errors are those of :meth:`pipeline`.
        """
        title = name or self.name
        if isinstance(self.handler, Pipeline):
            yield WrittenPipeline(replace(self.handler, name=title))
            return
        if not isinstance(self.handler, str):
            yield WrittenPipeline(trace(self.handler, name=title, description=self.description))
            return
        # What is needed for sources is imported where there is one.
        from airflow_kfp_runtime.sources import Sources
        from airflow_kfp_runtime.sources.handlers import write_pipeline

        sources = sources or Sources()
        place = f"workflow {self.name!r}"
        with ExitStack() as opened:
            source: Fetched | str | None = self.code
            address = "" if source is not None else self.code_src or self.git_source or ""
            if source is None:
                name_of_field = "code_src" if self.code_src is not None else "git_source"
                source = opened.enter_context(sources.open(address, field=f"{place}, {name_of_field}"))
                if "://" in address:
                    # A branch moves: the commit tells which code has run.
                    _log.info("%s, %s: version %s", place, name_of_field, source.version)
            yield write_pipeline(
                source,
                self.handler,
                name=title,
                description=self.description,
                place=place,
                confined=self.confined or "://" in address,
                limits=sources.limits,
            )


def _take_older_form(source: Mapping[str, Any], given: dict[str, Any], where: str) -> None:
    for key, value in source.items():
        if key not in _SOURCE_FIELDS:
            raise SourceError("is unknown", field=f"{where}, source[{key!r}]", allowed=_SOURCE_FIELDS)
        _take(given, "code_src" if key == "source" else key, value, where, f"source[{key!r}]")


def _take(given: dict[str, Any], name: str, value: Any, where: str, written: str) -> None:
    """Put a field that is spelt otherwise beside the others, unless it says something else than they do."""
    if value is None:
        return
    if given[name] not in (None, value):
        raise SourceError(f"is another {name} than the workflow's own; give one", field=f"{where}, {written}")
    given[name] = value


def _check_handler(handler: object, sources: Sequence[str], where: str) -> None:
    if not handler:
        raise SourceError(
            "names no handler: give the name of the function that writes the steps", field=f"{where}, handler"
        )
    if callable(handler) and sources:
        raise SourceError(
            f"is a function already, so {sources[0]} has no meaning; give one of them",
            field=f"{where}, handler",
        )
    if not callable(handler) and not sources:
        raise SourceError(f"has no source for its handler {handler!r}", field=where, allowed=_SOURCES)


def _labels(labels: object, where: str) -> tuple[str, ...]:
    if labels is None:
        return ()
    if not isinstance(labels, (list, tuple)) or not all(isinstance(label, str) for label in labels):
        raise SourceError(f"{labels!r} is not a list of texts", field=f"{where}, labels")
    return tuple(labels)


def _uuid(uuid: str | UUID | None, where: str) -> str | None:
    """Return an id as it is written: references end in that spelling."""
    if uuid is None:
        return None
    try:
        UUID(str(uuid))
    except ValueError:
        raise SourceError(
            f"{uuid!r} is not a UUID",
            field=f"{where}, uuid",
            allowed=["32 hexadecimal digits, with or without hyphens"],
        ) from None
    return str(uuid)


def _git_source(address: str, where: str) -> str:
    """Return the address of a repository as a source has it."""
    begin = _GIT_ADDRESS.match(address)
    if begin is None:
        from airflow_kfp_runtime.sources.location import Location

        # Without what may be a password in it.
        shown = Location.parse(address, field=f"{where}, git_source").shown
        raise SourceError(
            f"{shown!r} is not the address of a git repository",
            field=f"{where}, git_source",
            allowed=["git+https://...", "git+ssh://...", "git://...", "https://...", "ssh://..."],
        )
    return f"git+{address}" if begin["other"] else address
