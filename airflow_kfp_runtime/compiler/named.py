"""What steps call by its name: functions and workflows of the project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import DefinitionError, StepError

if TYPE_CHECKING:
    from airflow_kfp_runtime.project.project import Project
    from airflow_kfp_runtime.project.references import EntityType


def find_named(entity: EntityType, name: str, project: Project | None, *, step: str) -> Any:
    """Return the function or workflow that a step names.

    :param entity: what it names.
    :param name: a plain name or a reference.
    :param project: where it is looked for.
    :param step: the step's name, for errors.
    :raises StepError: there is none of that name, or it cannot be used; or there is no project.
    """
    if project is None:
        raise StepError(
            f"names {entity} {name!r}, and there is no project to find it in: give project= "
            f"(--project in the shell), or the {entity} that new_{entity}() returned",
            step=step,
            field=entity,
        )
    try:
        return getattr(project, entity)(name)
    except DefinitionError as error:
        # Of one that is there and wrong, the error knows where it is written.
        place = "" if error.field == entity else f"{error.field}: "
        raise StepError(f"{place}{error.problem}", step=step, field=entity, allowed=error.allowed) from None
