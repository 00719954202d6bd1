"""A workflow: a handler that writes steps, and where its source is."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.pipeline import Pipeline, trace
from airflow_kfp_runtime.project import workflow_fields as fields
from airflow_kfp_runtime.project.written import WrittenPipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from uuid import UUID

    from airflow_kfp_runtime.project.project import Project
    from airflow_kfp_runtime.sources import Sources
    from airflow_kfp_runtime.sources.scheme import Fetched

_log = logging.getLogger(__name__)


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
        kind: str = fields.KIND,
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
        place = f"workflow {name!r}"
        fields.refuse_unknown(unknown, place)
        written = {
            "handler": handler,
            "code": code,
            "base64": base64,
            "code_src": str(code_src) if isinstance(code_src, Path) else code_src,
            "lang": lang,
        }
        given = fields.with_source(written, source, place)
        texts = {**given, "git_source": git_source, "description": description, "image": image, "tag": tag}
        fields.check(texts, kind, embedded, place)
        text = fields.decoded_code(given, place)
        return cls(
            name=name,
            handler=given["handler"],
            project=None if isinstance(project, str) else project,
            project_name=project if isinstance(project, str) else None,
            code_src=None if text is not None else given["code_src"],
            code=text,
            description=description,
            labels=fields.checked_labels(labels, place),
            uuid=fields.checked_uuid(uuid, place),
            embedded=embedded,
            lang=given["lang"],
            image=image,
            tag=tag,
            git_source=fields.source_address(git_source, place) if git_source else None,
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
