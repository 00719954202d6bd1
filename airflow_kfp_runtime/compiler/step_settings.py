"""The settings of each step with all levels put together, and what KFP cannot express of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.compiler.components import function_of
from airflow_kfp_runtime.compiler.nested_pipelines import (
    check_pipeline_settings,
    check_run_settings,
    check_shared_claims,
)
from airflow_kfp_runtime.dsl.references import PipelineArgument, is_name
from airflow_kfp_runtime.errors import SettingError, nearest
from airflow_kfp_runtime.plugins import has_settings_policy
from airflow_kfp_runtime.runtimes.component import NestedPipeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    from airflow_kfp_runtime.dsl.pipeline import Pipeline
    from airflow_kfp_runtime.dsl.references import Reference
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.project.project import Function, Project
    from airflow_kfp_runtime.project.settings.model import Inexpressible, TaskSettings, Workspace
    from airflow_kfp_runtime.project.settings.precedence import PipelineSettings
    from airflow_kfp_runtime.runtimes.component import Component


@dataclass(frozen=True)
class StepSettings:
    """What the steps of a pipeline get.

    :param pipeline: the pipeline, with the arguments that only its settings name.
    :param steps: for every step, without what KFP cannot express; ``None`` where nothing was said.
    :param workspace: the volume of the run.
    :param warnings: what was left out, a sentence for each.
    :param taken: the steps whose function's kind takes their settings, so that their tasks do not get them.
    :param functions: what each step runs.
    :param of_pipeline: what was written for the whole pipeline; ``None`` where no settings are.
    """

    pipeline: Pipeline
    steps: Mapping[Step, TaskSettings | None]
    workspace: Workspace | None
    warnings: tuple[str, ...]
    taken: frozenset[Step] = frozenset()
    functions: Mapping[Step, Function] = field(default_factory=dict)
    of_pipeline: PipelineSettings | None = None

    def of_tasks(self, components: Mapping[Step, Component]) -> dict[Step, TaskSettings | None]:
        """Return the settings that each step's task gets: its step's, over those that its component brings.

        :raises SettingError: they do not fit together, or the step is a pipeline, which cannot have them.
        """
        return {step: self._of_task(step, components[step]) for step in self.steps}

    def _of_task(self, step: Step, component: Component) -> TaskSettings | None:
        own = None if step in self.taken else self.steps[step]
        if not isinstance(component.implementation, NestedPipeline):
            return _joined(component.settings, own, step)
        check_run_settings(step, component.implementation, self.workspace)
        check_shared_claims(step, self.steps)
        if own is None or self.of_pipeline is None:
            return None
        check_pipeline_settings(step, self._written_for(step, self.of_pipeline))
        return type(own)(caching=own.caching)

    def _written_for(self, step: Step, of_pipeline: PipelineSettings) -> TaskSettings:
        """Return what was written for one step, without what was for all."""
        from airflow_kfp_runtime.project.settings.merge import merge

        written = replace(of_pipeline, everyone=type(of_pipeline.everyone)()).for_step(step.name)
        for level in (self.functions[step].settings, step.settings):
            written = written if level is None else merge(written, level)
        return written


def _joined(brought: TaskSettings | None, own: TaskSettings | None, step: Step) -> TaskSettings | None:
    if brought is None or own is None:
        return own or brought
    from airflow_kfp_runtime.project.settings.merge import checked, merge

    return checked(merge(brought, own), step=step.name)


def settings_of_steps(
    pipeline: Pipeline,
    project: Project | None,
    written: Mapping[str, Any] | TaskSettings | None,
    profiles: Mapping[str, Mapping[str, Any]],
    policy: Literal["error", "warn"],
) -> StepSettings:
    """Return the settings that each step's task gets.

    :param written: those of the whole pipeline, as the user wrote them.
    :param profiles: named sets of the deployment.
    :param policy: whether what KFP cannot express is an error or a warning.
    :raises DefinitionError: settings are wrong, do not fit together, or (``error``) cannot be expressed.
    """
    if policy not in {"error", "warn"}:
        raise SettingError(f"{policy!r} is no policy", field="settings_policy", allowed=["error", "warn"])
    functions = {step: function_of(step, project) for step in pipeline.steps}
    taken = frozenset(step for step, function in functions.items() if function.kind.takes_settings)
    of_project = project.settings if project is not None else None
    silent = all(step.settings is functions[step].settings is of_project is None for step in pipeline.steps)
    if silent and not written and not has_settings_policy():
        # Without the model of settings, which takes longer to build than such a pipeline to compile.
        return StepSettings(pipeline, dict.fromkeys(pipeline.steps), None, (), taken, functions)
    from airflow_kfp_runtime.project.settings.precedence import PipelineSettings, settings_of

    references = _References(pipeline)
    of_pipeline = PipelineSettings.read(
        written, step_names=[step.name for step in pipeline.steps], references=references.find
    )
    workspace = of_pipeline.everyone.workspace
    if workspace is None and of_project is not None:
        workspace = of_project.workspace
    merged = {
        step: settings_of(
            step.name,
            own=step.settings,
            function=functions[step].name,
            of_function=functions[step].settings,
            pipeline=of_pipeline,
            of_project=of_project,
            profiles=profiles,
            project=project.name if project else None,
            taken=step in taken,
        )
        for step in pipeline.steps
    }
    _check_workspace(merged, workspace)
    found = {step: list(_inexpressible(settings)) for step, settings in merged.items() if step not in taken}
    if policy == "error":
        _refuse(found)
    return StepSettings(
        pipeline=replace(pipeline, arguments=(*pipeline.arguments, *references.made.values())),
        steps={
            step: settings if step in taken else _effective(settings) for step, settings in merged.items()
        },
        workspace=workspace,
        warnings=tuple(_warnings(found)),
        taken=taken,
        functions=functions,
        of_pipeline=of_pipeline,
    )


def _check_workspace(settings: Mapping[Step, TaskSettings], workspace: Workspace | None) -> None:
    for step, of_step in settings.items():
        if of_step.workspace != workspace:
            raise SettingError(
                "is a volume of the whole run: write it into the pipeline's settings for all steps",
                step=step.name,
                field="workspace",
            )


class _References:
    """Finds what ``{"argument": "cpu"}`` and ``{"from": "step.output"}`` name in a pipeline's settings."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.made: dict[str, PipelineArgument] = {}
        self._pipeline = pipeline
        self._arguments = {argument.name: argument for argument in pipeline.arguments}
        self._steps = {step.name: step for step in pipeline.steps}

    def find(self, written: Mapping[str, Any]) -> Reference:
        name = written.get("argument", written.get("from"))
        if "argument" in written:
            if name in self._arguments:
                return self._arguments[name]
            if self._pipeline.written_as_data and is_name(name):
                return self.made.setdefault(name, PipelineArgument(name))
            raise SettingError(
                f"{name!r} is not an argument of the pipeline",
                field="settings",
                allowed=nearest(str(name), sorted(self._arguments))
                or ["none: the pipeline has no arguments"],
            )
        # A step's name may hold dots, the name of an output cannot.
        producer, _, key = str(name).rpartition(".")
        if producer not in self._steps:
            raise SettingError(
                f"{name!r} is not an output of a step",
                field="settings",
                allowed=[f"{step}.<output>" for step in self._steps],
            )
        return self._steps[producer].outputs[key]


def _inexpressible(settings: TaskSettings) -> Iterator[Inexpressible]:
    from airflow_kfp_runtime.project.settings.model import Inexpressible

    yield from settings.inexpressible
    factor = settings.retries.factor if settings.retries is not None else None
    if factor is not None and not factor.is_integer():
        yield Inexpressible(
            setting="retries.factor",
            reason="KFP runs on Argo, which multiplies waits by whole numbers alone.",
            instead="Give a whole number.",
        )


def _effective(settings: TaskSettings) -> TaskSettings:
    """Return settings without what KFP cannot express, and without a count of zero."""
    changes: dict[str, Any] = {}
    accelerator, retries = settings.accelerator, settings.retries
    if accelerator is not None and isinstance(accelerator.count, int) and accelerator.count == 0:
        changes["accelerator"] = None
    if retries is not None and retries.count == 0:
        changes["retries"] = None
    elif retries is not None and retries.factor is not None and not retries.factor.is_integer():
        changes["retries"] = retries.model_copy(update={"factor": None})
    return settings.model_copy(update=changes) if changes else settings


def _refuse(found: Mapping[Step, list[Inexpressible]]) -> None:
    problems = [(step.name, problem) for step, problems in found.items() for problem in problems]
    if not problems:
        return
    step, first = problems[0]
    others = dict.fromkeys(f"{problem.setting} of step {name!r}" for name, problem in problems[1:])
    more = f" Nor can it express {', '.join(others)}." if others else ""
    raise SettingError(
        f"KFP cannot express it. {first.reason} {first.instead}{more} "
        'settings_policy="warn" leaves such settings out with a warning',
        step=step,
        field=first.setting,
    )


def _warnings(found: Mapping[Step, list[Inexpressible]]) -> Iterator[str]:
    """Yield one line for each setting, with all the steps that it was left out of."""
    steps: dict[Inexpressible, list[str]] = {}
    for step, problems in found.items():
        for problem in problems:
            steps.setdefault(problem, []).append(step.name)
    for problem, names in steps.items():
        who = f"step{'s' if len(names) > 1 else ''} {', '.join(repr(name) for name in names)}"
        yield f"{who}: {problem.setting} is left out. {problem.reason} {problem.instead}"
