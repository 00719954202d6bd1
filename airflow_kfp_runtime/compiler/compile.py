"""Compiles a pipeline: steps in, a :class:`PipelinePackage` out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime import __version__
from airflow_kfp_runtime.compiler import specifications
from airflow_kfp_runtime.compiler.block_types import check_types, settle_items
from airflow_kfp_runtime.compiler.claims import CREATE, claims_of, warnings
from airflow_kfp_runtime.compiler.collect import collecting_task, left_out
from airflow_kfp_runtime.compiler.components import Compilation, build_component
from airflow_kfp_runtime.compiler.executors import Executors
from airflow_kfp_runtime.compiler.flows import check_flows, flow_of
from airflow_kfp_runtime.compiler.nested_pipelines import nested_warnings
from airflow_kfp_runtime.compiler.nesting import group_names, nested
from airflow_kfp_runtime.compiler.order import ordered
from airflow_kfp_runtime.compiler.package import PipelinePackage
from airflow_kfp_runtime.compiler.run_time_values import check_type
from airflow_kfp_runtime.compiler.step_settings import settings_of_steps
from airflow_kfp_runtime.compiler.tasks import Task, add_task
from airflow_kfp_runtime.compiler.workflows import Workflows
from airflow_kfp_runtime.dsl.blocks import blocks_of
from airflow_kfp_runtime.dsl.references import producers_of
from airflow_kfp_runtime.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from airflow_kfp_runtime.compiler.flows import Flow
    from airflow_kfp_runtime.compiler.nesting import Nesting
    from airflow_kfp_runtime.compiler.step_settings import StepSettings
    from airflow_kfp_runtime.dsl.pipeline import Pipeline
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.project.project import Project
    from airflow_kfp_runtime.project.settings.model import TaskSettings, Workspace
    from airflow_kfp_runtime.project.workflow import Workflow
    from airflow_kfp_runtime.sources.sources import Sources

#: The schema of the IR that this package writes, as the kfp SDK 2.17 does.
SCHEMA_VERSION = "2.1.0"


def compile_pipeline(
    pipeline: Pipeline,
    *,
    project: Project | None = None,
    settings: Mapping[str, Any] | TaskSettings | None = None,
    profiles: Mapping[str, Mapping[str, Any]] | None = None,
    settings_policy: Literal["error", "warn"] = "error",
    enable_caching: bool | None = None,
    collect_outputs: bool | str = False,
    argument_types: Mapping[str, ValueType] | None = None,
    sources: Sources | None = None,
    enclosing: tuple[Workflow, ...] = (),
) -> PipelinePackage:
    """Compile a pipeline to KFP's IR; the same pipeline gives the same bytes.

    :param pipeline: from :func:`~airflow_kfp_runtime.dsl.trace` or
        :func:`~airflow_kfp_runtime.dsl.pipeline_from_steps`.
    :param project: where the functions are that steps name.
    :param settings: Kubernetes settings for all steps, and by step name or name pattern under ``steps``.
    :param profiles: named sets of settings for ``profile``; they win over what the user writes.
    :param settings_policy: what to do with a setting that KFP cannot express: raise (``error``), or leave it
        out and say so in the package's ``warnings`` (``warn``).
    :param enable_caching: whether KFP may take the outputs of an earlier, equal task, where a step's settings
        do not say it; ``None`` is KFP's default, which is yes.
    :param collect_outputs: add a last task that consumes every output and does nothing, so that all outputs
        can be read through the REST API alone. It runs ``true`` in ``python:3.12-slim``, or in the image that
        is given here. Its pod downloads the artifacts.
    :param argument_types: types for arguments that neither the handler nor a step declares; without, they
        are texts. A pipeline that is a step of another may be given artifacts.
    :param sources: where files come from that functions name; by default the working directory and what needs
        no credentials.
    :param enclosing: the workflows that this pipeline is written by and inside, the outermost first: a step
        that is one of them is refused.
    :raises DefinitionError: with the step, the field, the value, and what is allowed.
    """
    found = settings_of_steps(pipeline, project, settings, profiles or {}, settings_policy)
    pipeline = found.pipeline
    flows = {step: flow_of(step, found.steps[step], pipeline) for step in pipeline.steps}
    check_flows(pipeline)
    options = {"profiles": profiles, "settings_policy": settings_policy, "enable_caching": enable_caching}
    workflows = Workflows(compile_pipeline, project, sources, options, enclosing)
    compilation = Compilation(sources=sources, workflows=workflows)
    _build_components(compilation, found, flows, project, argument_types or {})

    # Among the steps alone: what is made for claims comes after.
    image = collect_outputs if isinstance(collect_outputs, str) else None
    collecting = collecting_task(compilation.components, image) if collect_outputs else None
    settings_of_tasks = found.of_tasks(compilation.components)
    names = group_names(pipeline.steps)
    claims = claims_of(settings_of_tasks, taken=names.values())
    compilation.components.update({claim.create: CREATE for claim in claims})
    nesting = nested(pipeline.steps, names, claims, compilation.settled_type_of)
    executors = Executors()
    if collecting is not None:
        nesting.steps.place(collecting.name)
        add_task(collecting, nesting.steps, executors, compilation)
    # By name, so that the order in which independent steps are written does not show.
    for step in sorted(pipeline.steps, key=lambda step: step.task_name):
        task = Task(
            name=step.task_name,
            component=compilation.components[step],
            connected=flows[step].inputs,
            after=[names[step.ends]] if step.ends else flows[step].before,
            settings=settings_of_tasks[step],
            claims={claim.volume.name: claim.name for claim in claims if claim.step in {None, step}},
            caching=_caching(settings_of_tasks[step], enable_caching),
            always=step.ends is not None,
        )
        add_task(task, nesting.of(step), executors, compilation)
    for claim in claims:
        for task in claim.tasks():
            add_task(task, nesting.around(claim), executors, compilation)
    return PipelinePackage(
        name=pipeline_name(pipeline.name),
        pipeline_spec=_pipeline_spec(pipeline, nesting, executors, compilation),
        platform_spec=_platform_spec(executors, found.workspace),
        step_names=nesting.step_names(pipeline.steps, compilation.components),
        warnings=(
            *found.warnings,
            *(left_out(pipeline.steps, compilation.components) if collecting else ()),
            *warnings(claims),
            *nesting.warnings(),
            *executors.warnings(),
            *nested_warnings(
                pipeline.steps,
                compilation.components,
                {step: flow.inputs for step, flow in flows.items()},
                found,
            ),
        ),
    )


def _build_components(
    compilation: Compilation,
    found: StepSettings,
    flows: Mapping[Step, Flow],
    project: Project | None,
    argument_types: Mapping[str, ValueType],
) -> None:
    """Make the component of each step, after those of the steps that it needs, and check all types.

    :raises DefinitionError: a step is wrong, or gets a value of another type than it takes.
    """
    pipeline = found.pipeline
    blocks = blocks_of(pipeline.steps)
    compilation.give_artifacts(pipeline.arguments, argument_types)
    settle_items(blocks, compilation)
    for step in ordered(pipeline.steps, {step: flow.needed for step, flow in flows.items()}):
        inputs, settings = flows[step].inputs, found.steps[step]
        compilation.components[step] = build_component(step, inputs, project, compilation, settings)
        for value in flows[step].values:
            check_type(value, step, compilation)
    check_types(blocks, pipeline.steps[0].context.blocks.one_ofs, compilation)
    compilation.settle_open(pipeline.arguments, argument_types)
    for name, output in pipeline.outputs.items():
        for produced in producers_of(output):
            compilation.check_output(produced, None, f"pipeline output {name!r}")


def pipeline_name(name: str) -> str:
    """Return a name as KFP allows it: lower case, digits and ``-``, at most 128 characters.

    :raises DefinitionError: it has no letter and no digit.
    """
    allowed = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:128].rstrip("-")
    if not allowed:
        raise DefinitionError(f"{name!r} has no letter or digit", field="pipeline name")
    return allowed


def _caching(settings: TaskSettings | None, enable_caching: bool | None) -> bool | None:
    if settings is None or settings.caching is None:
        return enable_caching
    return settings.caching


def _pipeline_spec(
    pipeline: Pipeline, nesting: Nesting, executors: Executors, compilation: Compilation
) -> dict[str, Any]:
    output_types = {name: compilation.settled_type_of(output) for name, output in pipeline.outputs.items()}
    root: dict[str, Any] = {"dag": {"tasks": nesting.root.tasks}}
    if pipeline.outputs:
        root["dag"]["outputs"] = nesting.root.outputs(pipeline.outputs)
        root["outputDefinitions"] = specifications.output_definitions(output_types)
    if pipeline.arguments:
        types = {argument.name: compilation.argument_types[argument] for argument in pipeline.arguments}
        root["inputDefinitions"] = specifications.by_kind(
            {
                argument.name: specifications.argument_definition(argument, types[argument.name])
                for argument in pipeline.arguments
            },
            types,
        )
    information = {"name": pipeline_name(pipeline.name)}
    if pipeline.description:
        information["description"] = pipeline.description
    return {
        "schemaVersion": SCHEMA_VERSION,
        "sdkVersion": f"airflow-kfp-runtime-{__version__}",
        "pipelineInfo": information,
        "components": {**executors.components, **nesting.close()},
        "deploymentSpec": {"executors": executors.executors},
        "root": root,
    }


def _platform_spec(executors: Executors, workspace: Workspace | None) -> dict[str, Any] | None:
    platforms: dict[str, Any] = {
        name: {"deploymentSpec": {"executors": configs}} for name, configs in executors.platforms.items()
    }
    if workspace is not None:
        from airflow_kfp_runtime.compiler.kubernetes import pipeline_config

        platforms.setdefault("kubernetes", {})["pipelineConfig"] = pipeline_config(workspace)
    return {"platforms": platforms} if platforms else None
