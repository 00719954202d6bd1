"""What a workflow's handler has written, and the projects of its own module beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_kfp_runtime.errors import DefinitionError, StepError, nearest
from airflow_kfp_runtime.project.references import is_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_kfp_runtime.dsl.pipeline import Pipeline
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.project.project import Project
    from airflow_kfp_runtime.project.references import EntityType

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class WrittenPipeline:
    """What a handler has written.

    :param pipeline: its steps.
    :param projects: the projects in the handler's module, each with the functions and workflows that the
        steps name.
    :param names: what there is in each of them, by entity (``function``, ``workflow``), for errors.
    """

    pipeline: Pipeline
    projects: Sequence[Project] = ()
    names: Sequence[Mapping[str, Sequence[str]]] = ()

    @property
    def only_project(self) -> Project | None:
        """The project of the handler's module, where there is just one."""
        return self.projects[0] if len(self.projects) == 1 else None

    def completed(self, project: Project | None) -> Pipeline:
        """Return the pipeline, in which steps have the functions and workflows that a project does not have.

        :param project: where names are looked up first; what is not there comes from the handler's own
            projects, and a name that is in none of them stays a name.
        :raises StepError: several of those projects have something of the name; or none, and there is no
            other project that could.
        """
        for step in self.pipeline.steps:
            if isinstance(step.function, str):
                step.function = self._found("function", step.function, step, project)
            elif isinstance(step.workflow, str):
                step.workflow = self._found("workflow", step.workflow, step, project)
        return self.pipeline

    def _found(self, entity: EntityType, name: str, step: Step, project: Project | None) -> Any:
        if project is not None and project.defines(entity, name):
            return name
        found = {own.name: it for own in self.projects if (it := find(getattr(own, entity), name))}
        if len(found) > 1:
            raise StepError(
                f"{name!r} is in several projects of the handler's module ({', '.join(sorted(found))}): "
                f"give the {entity} itself",
                step=step.name,
                field=entity,
            )
        if not found and project in (None, self.only_project) and self.names and not is_reference(name):
            owners = " and ".join(f"project {own.name!r}" for own in self.projects)
            raise StepError(
                f"{owners} {'has' if self.only_project else 'have'} no {entity} {name!r}",
                step=step.name,
                field=entity,
                allowed=nearest(name, sorted({known for names in self.names for known in names[entity]}))
                or [f"none: add it with project.new_{entity}()"],
            )
        return next(iter(found.values()), name)


def find(look_up: Callable[[str], _Found], name: str) -> _Found | None:
    """Return what a project has of a name, or ``None``.

    :param look_up: the project's ``function`` or ``workflow``.
    """
    try:
        return look_up(name)
    except DefinitionError:
        return None
