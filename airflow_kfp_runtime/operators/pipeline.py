"""What a task runs: a package compiled from what the user wrote, or a pipeline that the server has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import ArgumentError, DefinitionError, NotFoundError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Literal

    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.models import PipelineVersion, Run
    from airflow_kfp_runtime.compiler import PipelinePackage
    from airflow_kfp_runtime.project import Project, Workflow
    from airflow_kfp_runtime.sources import Sources

_FILE_SUFFIXES = (".yaml", ".yml", ".json")

#: How ``sdkVersion`` begins in what this package compiles.
_OWN_SDK_VERSION = "airflow-kfp-runtime-"

#: How the images of tasks begin that make and delete claims.
_CLAIM_IMAGES = "argostub/"


@dataclass(frozen=True)
class CompilerOptions:
    """What steps are compiled with; see :func:`airflow_kfp_runtime.compiler.compile_pipeline`."""

    project: Project | None = None
    settings: Mapping[str, Any] | None = None
    settings_policy: Literal["error", "warn"] = "error"
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    enable_caching: bool | None = None
    collect_outputs: bool | str = False
    sources: Sources | None = None


@dataclass(frozen=True)
class NamedPipeline:
    """A pipeline that the server has.

    :param name: its name.
    :param version: the version's name, or ``None`` for the newest.
    """

    name: str
    version: str | None = None


@dataclass(frozen=True)
class UnknownPipeline:
    """What a retry is to run, where it can no longer be made: its source is gone, or its handler fails.

    :param error: why.
    """

    error: Exception


def from_workflow(
    workflow: Workflow | Callable[..., Any] | str,
    name: str | None,
    default_name: str,
    options: CompilerOptions,
) -> PipelinePackage:
    """Compile a handler or workflow.

    :param workflow: a handler, a workflow, or the name of one in the project.
    :param name: the pipeline's name; by default the workflow's.
    :param default_name: the name for a handler.
    """
    from airflow_kfp_runtime.compiler import compile_handler

    if isinstance(workflow, str):
        if options.project is None:
            raise DefinitionError(
                f"{workflow!r} names a workflow, and there is no project to find it in: give project=",
                field="workflow",
            )
        workflow = options.project.workflow(workflow)
    title = name or getattr(workflow, "name", None) or default_name
    return compile_handler(workflow, name=title, **vars(options))


def from_steps(
    steps: Sequence[Mapping[str, Any]], name: str, arguments: Mapping[str, Any], options: CompilerOptions
) -> PipelinePackage:
    """Compile declarative steps; an argument that no step declares a type for has that of its value."""
    from airflow_kfp_runtime.compiler import compile_steps
    from airflow_kfp_runtime.dsl.types import type_of

    types = {key: value_type for key, value in arguments.items() if (value_type := type_of(value))}
    return compile_steps(steps, name=name, argument_types=types, **vars(options))


def from_pipeline(
    pipeline: str | Path | Mapping[str, Any],
    version: str | None,
    folders: Sequence[Path],
    options: CompilerOptions,
) -> PipelinePackage | NamedPipeline:
    """Read a compiled pipeline, or take the text as the name of one on the server.

    :param pipeline: the IR as a mapping or text, the path of a file (a :class:`~pathlib.Path`, or a text that
        ends in ``.yaml``, ``.yml`` or ``.json``), or a name.
    :param folders: where a relative path is looked for, in this order.
    :raises DefinitionError: it cannot be read, or an option cannot apply to a compiled pipeline.
    """
    from airflow_kfp_runtime.compiler import PipelinePackage

    _refuse_step_options(options)
    match pipeline:
        case Mapping():
            package = PipelinePackage.load(pipeline)
        case str() if "\n" in pipeline or pipeline.lstrip().startswith("{"):
            package = PipelinePackage.load(pipeline)
        case str() if not pipeline.endswith(_FILE_SUFFIXES):
            if options.enable_caching is not None:
                raise DefinitionError(
                    "is part of the version that the server has; upload one with it, or leave it out",
                    field="enable_caching",
                )
            return NamedPipeline(pipeline, version)
        case str() | Path():
            package = PipelinePackage.load(_file(Path(pipeline), folders))
        case _:
            raise DefinitionError(
                f"type {type(pipeline).__name__} is neither a mapping, a text nor a path", field="pipeline"
            )
    if version is not None:
        raise DefinitionError(
            "goes with the name of a pipeline on the server, and this one is given compiled",
            field="pipeline_version",
        )
    return _with_caching(package, options.enable_caching)


def find_version(pipeline: NamedPipeline, namespace: str | None) -> Flow[PipelineVersion]:
    """Look up the version to run.

    :raises ArgumentError: the server has no such pipeline or version.
    """
    from airflow_kfp_runtime.client import calls, flows

    try:
        found = yield calls.get_pipeline_by_name(pipeline.name, namespace=namespace)
    except NotFoundError:
        raise ArgumentError(
            f"the server has no pipeline {pipeline.name!r}; a file's name would end in .yaml or .json",
            field="pipeline",
        ) from None
    if pipeline.version is None:
        version = yield from flows.latest_pipeline_version(found.pipeline_id)
    else:
        version = yield from flows.find_pipeline_version(found.pipeline_id, pipeline.version)
    if version is None:
        wanted = f"version {pipeline.version!r}" if pipeline.version else "version"
        raise ArgumentError(f"pipeline {pipeline.name!r} has no {wanted}", field="pipeline_version")
    return version


def step_names_of(package: PipelinePackage) -> dict[str, str]:
    """Return the user's name of each step, by its task's path in KFP.

    A package that was loaded has the names of tasks alone. In one that this package had compiled the graphs
    of blocks and claims are no steps, and those of other workflows have steps inside; in others each task of
    the root is a step.
    """
    if package.step_names:
        return dict(package.step_names)
    spec = package.pipeline_spec
    root = spec["root"].get("dag", {})
    if str(spec.get("sdkVersion", "")).startswith(_OWN_SDK_VERSION):
        return dict(_steps_within(root, spec))
    return {task: task for task in root.get("tasks", {})}


def step_names_on_server(run_id: str) -> Flow[dict[str, str]]:
    """Return the name of each step by its task's path, from the pipeline that the server has.

    For events of versions that did not send the names. They are those of KFP's tasks: ``add-rows`` where the
    user wrote ``add_rows``.

    :return: empty where the pipeline's version was deleted.
    :raises ServerError: the run or its pipeline cannot be read.
    """
    from airflow_kfp_runtime.client import calls
    from airflow_kfp_runtime.compiler import PipelinePackage

    run: Run = yield calls.get_run(run_id)
    spec, version = run.pipeline_spec, run.pipeline_version_reference
    if spec is None and version is not None and version.pipeline_version_id:
        try:
            found: PipelineVersion = yield calls.get_pipeline_version(
                version.pipeline_id, version.pipeline_version_id
            )
        except NotFoundError:
            return {}
        spec = found.pipeline_spec
    return step_names_of(PipelinePackage.load(spec)) if spec else {}


def _steps_within(dag: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield path and name of each step in a graph."""
    from airflow_kfp_runtime.compiler.collect import TASK_NAME
    from airflow_kfp_runtime.compiler.nesting import is_graph_name

    for name, task in dag.get("tasks", {}).items():
        component = spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            is_step = not is_graph_name(name)
            if is_step:
                yield name, name
            for path, inner in _steps_within(component["dag"], spec):
                yield f"{name}/{path}", f"{name}/{inner}" if is_step else inner
        elif name != TASK_NAME:
            executor = spec["deploymentSpec"]["executors"][component["executorLabel"]]
            # An importer has no container.
            if not executor.get("container", {}).get("image", "").startswith(_CLAIM_IMAGES):
                yield name, name


def _refuse_step_options(options: CompilerOptions) -> None:
    for name in ("project", "settings", "collect_outputs"):
        if getattr(options, name):
            raise DefinitionError("applies to steps, and the pipeline is compiled already", field=name)


def _file(path: Path, folders: Sequence[Path]) -> Path:
    candidates = [path] if path.is_absolute() else [folder / path for folder in folders]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = ", ".join(str(candidate) for candidate in candidates)
    raise SourceError(f"there is no such file; looked for {looked}", field="pipeline")


def _with_caching(package: PipelinePackage, enabled: bool | None) -> PipelinePackage:
    """Return the package with caching switched for all tasks, nested ones included."""
    if enabled is None:
        return package
    spec = dict(package.pipeline_spec)
    spec["root"] = _switched(spec["root"], enabled)
    spec["components"] = {name: _switched(part, enabled) for name, part in spec.get("components", {}).items()}
    return replace(package, pipeline_spec=spec)


def _switched(component: Mapping[str, Any], enabled: bool) -> Mapping[str, Any]:
    dag = component.get("dag")
    if dag is None:
        return component
    options = {"enableCache": True} if enabled else {}
    tasks = {name: {**task, "cachingOptions": options} for name, task in dag.get("tasks", {}).items()}
    return {**component, "dag": {**dag, "tasks": tasks}}
