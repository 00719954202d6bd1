"""The kind ``workflow``: another workflow, whose whole pipeline runs as one task of this one.

A step names the workflow itself, and needs no function for it::

    prepared = pc.step(name="prepare", workflow="etl", inputs={"url": url}, outputs={"Output": "dataset"})

Its arguments are the step's inputs, and what its handler returns are the step's outputs (``Output`` where it
returns a single one). An argument without an annotation may be given an artifact. The settings of the step
are those of all steps inside.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, InstanceOf

from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.project.project import Function
from airflow_kfp_runtime.project.workflow import Workflow  # noqa: TC001 - pydantic reads it
from airflow_kfp_runtime.runtimes.compiled import compiled_pipeline, component_of
from airflow_kfp_runtime.runtimes.component import FunctionKind, NestedPipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_kfp_runtime.runtimes.component import Component, ComponentRequest


class WorkflowFunction(BaseModel):
    """What a function of kind ``workflow`` is made of.

    :param workflow: the workflow, its name in the project, or ``store://project/workflow/kfp/name:id``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    workflow: str | InstanceOf[Workflow]


def build(request: ComponentRequest) -> Component:
    """Make the component of a step that is another workflow.

    :raises DefinitionError: the workflow cannot be compiled, or the step does not fit it.
    """
    function = request.function
    if not isinstance(function, WorkflowFunction):
        raise TypeError(f"a WorkflowFunction is needed, not {type(function).__name__}")
    if request.compile_workflow is None:
        raise TypeError("a step that is a workflow is built by a compiler that can compile it")
    package = request.compile_workflow(
        function.workflow, step=request.step, settings=request.settings, argument_types=request.inputs
    )
    nested = NestedPipeline(package.pipeline_spec, package.platform_spec, package.step_names)
    component = component_of(compiled_pipeline(f"workflow {request.function_name!r}", nested), request)
    return replace(component, warnings=package.warnings)


_WORKFLOW = FunctionKind("workflow", WorkflowFunction, ("pipeline",), build, takes_settings=True)


def function_for(workflow: str | Workflow) -> Function:
    """Return a function that runs a workflow, for a step that names no function."""
    name = workflow if isinstance(workflow, str) else workflow.name
    return Function(name, _WORKFLOW, WorkflowFunction(workflow=workflow))


@hookimpl
def function_kinds() -> Sequence[FunctionKind]:
    """Add the kind ``workflow``."""
    return [_WORKFLOW]
