"""Compiles the workflows that are steps of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.compiler.named import find_named
from airflow_kfp_runtime.errors import DefinitionError, StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_kfp_runtime.compiler.package import PipelinePackage
    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.project.project import Project
    from airflow_kfp_runtime.project.settings.model import TaskSettings
    from airflow_kfp_runtime.project.workflow import Workflow
    from airflow_kfp_runtime.sources.sources import Sources


@dataclass
class Workflows:
    """Compiles the workflows inside one pipeline, each once for equal settings and types.

    :param compile_pipeline: the compiler of the pipeline around them.
    :param project: where they are found by name, and their functions.
    :param sources: where their files come from.
    :param options: those of the compiler that hold for them as well.
    :param enclosing: the workflows around them, the outermost first.
    """

    compile_pipeline: Callable[..., PipelinePackage]
    project: Project | None
    sources: Sources | None
    options: Mapping[str, Any]
    enclosing: tuple[Workflow, ...] = ()
    _compiled: list[tuple[tuple[Any, ...], Workflow, PipelinePackage]] = field(default_factory=list)

    def __call__(
        self,
        named: str | Workflow,
        *,
        step: str,
        settings: TaskSettings | None,
        argument_types: Mapping[str, ValueType | None],
    ) -> PipelinePackage:
        """Return the package of a workflow.

        :param named: the workflow, or what the step calls it by.
        :param step: the step that it is, for errors.
        :param settings: Kubernetes settings for all of its steps.
        :param argument_types: the types of what the step gives, for the arguments that leave theirs open.
        :raises DefinitionError: it cannot be compiled; the step in the message has the way to it
            (``prepare/download``).
        """
        workflow = self.find(named, step)
        self._check_no_circle(workflow, step)
        types = {name: given for name, given in argument_types.items() if given is not None}
        # As a text: run-time values in settings, which are refused in there, cannot be compared.
        wanted = (_identity(workflow), repr(settings), types)
        for known, _, package in self._compiled:
            if known == wanted:
                return package
        project = self.project if workflow.project is None else workflow.project
        try:
            with workflow.written(self.sources) as written:
                package = self.compile_pipeline(
                    written.completed(project),
                    project=project,
                    settings=settings,
                    argument_types=types,
                    sources=self.sources,
                    enclosing=(*self.enclosing, workflow),
                    **self.options,
                )
        except DefinitionError as error:
            raise type(error)(
                error.problem,
                step=step if error.step is None else f"{step}/{error.step}",
                field=error.field if error.step is not None else _inside(workflow, error.field),
                allowed=error.allowed,
            ) from error.__cause__
        # With the workflow, so that no other handler can have its id.
        self._compiled.append((wanted, workflow, package))
        return package

    def find(self, named: str | Workflow, step: str) -> Workflow:
        """Return the workflow that a step names.

        :raises StepError: there is none of that name, or it cannot be used.
        """
        if not isinstance(named, str):
            return named
        found: Workflow = find_named("workflow", named, self.project, step=step)
        return found

    def _check_no_circle(self, workflow: Workflow, step: str) -> None:
        around = [_identity(other) for other in self.enclosing]
        if _identity(workflow) in around:
            way = [*self.enclosing[around.index(_identity(workflow)) :], workflow]
            raise StepError(
                f"a workflow cannot contain itself: {' -> '.join(other.name for other in way)}",
                step=step,
                field="workflow",
            )


def _identity(workflow: Workflow) -> tuple[object, ...]:
    """Return what tells a workflow from others; one that a handler makes anew each time is the same."""
    handler = workflow.handler if isinstance(workflow.handler, str) else id(workflow.handler)
    where = (workflow.code, workflow.code_src, workflow.git_source)
    return (workflow.name, id(workflow.project), handler, where)


def _inside(workflow: Workflow, place: str | None) -> str:
    title = f"workflow {workflow.name!r}"
    # What is wrong with its source says so already.
    return f"{title}, {(place or '').removeprefix(title).lstrip(', ')}".rstrip(", ")
