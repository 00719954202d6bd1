"""What a step that is a pipeline does not get: KFP has settings for containers and for whole runs alone.

On a task that is a graph the server reads neither retries nor any setting of Kubernetes (KFP 2.17,
``argocompiler/dag.go``: only tasks with a container have a pod). The kfp SDK refuses most of them there too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.references import PipelineArgument
from airflow_kfp_runtime.errors import SettingError
from airflow_kfp_runtime.runtimes.component import NestedPipeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_kfp_runtime.compiler.connections import Connection
    from airflow_kfp_runtime.compiler.step_settings import StepSettings
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.project.settings.model import TaskSettings, Workspace
    from airflow_kfp_runtime.runtimes.component import Component

#: The settings that have a meaning for a graph: the one holds for all tasks in it, the other for the run.
_OF_GRAPHS = frozenset({"caching", "workspace"})

_INSTEAD = "into the settings of its own steps, where it is compiled"


def check_pipeline_settings(step: Step, written: TaskSettings) -> None:
    """Refuse what was written for one step that is a compiled pipeline.

    :param written: the settings of the step itself, of its function, and of the pipeline for it by name.
    :raises SettingError: there is a setting that only a container can have.
    """
    for name in sorted(_of_containers(written)):
        raise SettingError(
            "is a setting of a container, and the step is a pipeline that is compiled already, with tasks of "
            f"its own: write it {_INSTEAD}",
            step=step.name,
            field=name,
            allowed=sorted(_OF_GRAPHS - {"workspace"}),
        )


def check_run_settings(step: Step, nested: NestedPipeline, workspace: Workspace | None) -> None:
    """Refuse a pipeline that needs the workspace of its run where the run will have none.

    :raises SettingError: with the workspace that it asks for.
    """
    wanted = _run_settings(nested).get("workspace")
    if wanted is not None and workspace is None:
        raise SettingError(
            f"its pipeline needs a workspace ({wanted.get('size', 'of any size')}), which is a volume of the "
            "whole run: write it into this pipeline's settings for all steps",
            step=step.name,
            field="workspace",
            allowed=[f"workspace: {{size: {wanted.get('size', '1Gi')}}}"],
        )


def check_shared_claims(step: Step, settings: Mapping[Step, TaskSettings | None]) -> None:
    """Refuse a claim of the run that a step inside a pipeline would have to share with one outside.

    :param settings: those of all steps.
    :raises SettingError: with the step outside.
    """
    shared = _shared_claims(settings[step])
    for other in settings:
        for name in shared & _shared_claims(settings[other]) if other is not step else ():
            raise SettingError(
                f"is a new claim that step {other.name!r} shares, and the steps inside this one would get "
                "one of their own: use a claim that exists, or give the volume to one of the two",
                step=step.name,
                field=f"volumes[{name!r}]",
                allowed=["spec: {claim_name: an existing claim}"],
            )


def _shared_claims(settings: TaskSettings | None) -> set[str]:
    volumes = settings.volumes if settings is not None else ()
    return {volume.name for volume in volumes if volume.kind == "new_claim" and volume.shared}


def nested_warnings(
    steps: Iterable[Step],
    components: Mapping[Step, Component],
    connected: Mapping[Step, Mapping[str, Connection]],
    found: StepSettings,
) -> Iterator[str]:
    """Yield a sentence for all that steps which are pipelines will not have as it was written.

    :param connected: what the inputs of each step are connected to.
    :param found: the settings of the pipeline around.
    """
    unread = sorted(_of_containers(found.of_pipeline.everyone)) if found.of_pipeline is not None else []
    for step in steps:
        component = components[step]
        yield from (f"step {step.name!r}: {warning}" for warning in component.warnings)
        if not isinstance(component.implementation, NestedPipeline):
            continue
        for setting in sorted(_run_settings(component.implementation).keys() - {"workspace"}):
            yield (
                f"step {step.name!r}: {setting} is a setting of a run, which its pipeline is not here: "
                "it is left out"
            )
        if unread and step not in found.taken:
            yield (
                f"step {step.name!r} is a pipeline that is compiled already: the settings for all steps "
                f"({', '.join(unread)}) do not reach the tasks inside; write them {_INSTEAD}"
            )
        for argument in connected[step].values():
            if isinstance(argument, PipelineArgument) and argument.default is None:
                yield (
                    f"argument {argument.name!r}: give each run a value for it. KFP cannot pass an argument "
                    f"that is left out into the pipeline of step {step.name!r}; a default other than None "
                    "avoids this"
                )


def _of_containers(settings: TaskSettings) -> set[str]:
    return settings.to_mapping().keys() - _OF_GRAPHS


def _run_settings(nested: NestedPipeline) -> Mapping[str, Any]:
    platforms = (nested.platform_spec or {}).get("platforms", {})
    found: Mapping[str, Any] = platforms.get("kubernetes", {}).get("pipelineConfig", {})
    return found
