"""Whose settings win: policy over profile over step over function over pipeline over project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import SettingError, nearest
from airflow_kfp_runtime.plugins import reviewed_settings, settings_profiles_of_plugins
from airflow_kfp_runtime.project.settings.environment import SecretKey
from airflow_kfp_runtime.project.settings.merge import checked, merge
from airflow_kfp_runtime.project.settings.model import TaskSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_kfp_runtime.project.settings.place import References

_STEPS = "steps"
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class PipelineSettings:
    """The settings of a whole pipeline: for all steps, and for some by name or pattern.

    :param everyone: for all steps; alone may have a workspace.
    :param steps: by a step's name, or a pattern of :mod:`fnmatch` (``train*``), in the order as written.
    """

    everyone: TaskSettings = field(default_factory=TaskSettings)
    steps: Mapping[str, TaskSettings] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        written: Mapping[str, Any] | TaskSettings | None,
        *,
        step_names: Iterable[str] | None = None,
        references: References | None = None,
    ) -> PipelineSettings:
        """Return the settings from what an operator was given as ``settings``.

        :param written: the settings themselves, plus ``steps``: settings by the step's name or a pattern; or
            settings that were read before, for all steps.
        :param step_names: the pipeline's steps, so that a misspelt name is refused, and a pattern that
            matches none; ``None`` checks none.
        :param references: as :meth:`TaskSettings.read` has them.
        :raises SettingError: with the place, the value, and what is allowed.
        """
        if written is None:
            return cls()
        if isinstance(written, TaskSettings):
            return cls(written)
        if not isinstance(written, Mapping):
            raise SettingError(f"is a {type(written).__name__}, not a mapping", field="settings")
        steps = written.get(_STEPS)
        if steps is not None and not isinstance(steps, Mapping):
            raise SettingError(
                "is not a mapping of steps' names or patterns to settings", field=f"settings.{_STEPS}"
            )
        everyone = {name: value for name, value in written.items() if name != _STEPS}
        known = None if step_names is None else list(step_names)
        by_step = {}
        for pattern, settings in (steps or {}).items():
            place = f"settings.{_STEPS}[{pattern!r}]"
            _check_pattern(pattern, known, place)
            by_step[pattern] = TaskSettings.read(settings, place=f"{place}.", references=references)
        return cls(
            TaskSettings.read(everyone, place="settings.", references=references, whole_pipeline=True),
            by_step,
        )

    def for_step(self, step: str) -> TaskSettings:
        """Return what the pipeline's settings say of one step: its name over patterns over all."""
        patterns = [
            settings
            for pattern, settings in self.steps.items()
            if pattern != step and fnmatchcase(step, pattern)
        ]
        merged = self.everyone
        for settings in (*patterns, *([self.steps[step]] if step in self.steps else [])):
            merged = merge(merged, settings)
        return merged


def settings_of(
    step: str,
    *,
    own: TaskSettings | None = None,
    function: str = "",
    of_function: TaskSettings | None = None,
    pipeline: PipelineSettings | None = None,
    of_project: TaskSettings | None = None,
    profiles: Mapping[str, Mapping[str, Any]] | None = None,
    project: str | None = None,
    taken: bool = False,
) -> TaskSettings:
    """Return the settings that a step's task gets, by the only order that there is.

    What comes first wins:

    1. what a plugin's ``review_settings`` makes of the rest (policy)
    2. the set that ``profile`` names
    3. the step's own
    4. the function's
    5. the pipeline's by the step's name
    6. the pipeline's by pattern, a later pattern over an earlier one
    7. the pipeline's for all steps
    8. the project's

    :param step: the step's name.
    :param own: the step's settings.
    :param function: the function's name, for the policy.
    :param of_function: the function's settings.
    :param pipeline: the pipeline's settings.
    :param of_project: the project's settings.
    :param profiles: named sets of the deployment, over those of plugins; the administrator's.
    :param project: the project's name, for secrets of DigitalHub's ``proj-secrets-<project>``.
    :param taken: whether the function's kind takes them, to whom a profile and the project's secret may mean
        something else: they stay as they were written.
    :return: the settings, without a profile and with every secret's name.
    :raises SettingError: the profile is unknown, levels do not fit together, or a policy refuses.
    """
    merged = TaskSettings() if of_project is None else of_project
    of_pipeline = None if pipeline is None else pipeline.for_step(step)
    for level in (of_pipeline, of_function, own):
        if level is not None:
            merged = merge(merged, level)
    if merged.profile is not None and not taken:
        merged = merge(merged, _profile(merged.profile, profiles or {}, step))
    if not taken:
        merged = _with_project_secret(merged.model_copy(update={"profile": None}), project, step)
    # Before the policy, which may count on what it sees, and after it.
    merged = checked(merged, step=step)
    return checked(reviewed_settings(step, function, merged), step=step)


def _check_pattern(pattern: object, step_names: list[str] | None, place: str) -> None:
    if not isinstance(pattern, str) or not pattern:
        raise SettingError(f"{pattern!r} is not a step's name or a pattern", field=place)
    if step_names is None or any(fnmatchcase(name, pattern) or name == pattern for name in step_names):
        return
    if _WILDCARDS.intersection(pattern):
        raise SettingError("matches no step", field=place, allowed=step_names)
    raise SettingError(
        f"there is no step {pattern!r}",
        field=place,
        allowed=nearest(pattern, step_names),
    )


def _profile(name: str, profiles: Mapping[str, Mapping[str, Any]], step: str) -> TaskSettings:
    known = {**settings_profiles_of_plugins(), **profiles}
    if name not in known:
        raise SettingError(
            f"there is no profile {name!r}",
            step=step,
            field="profile",
            allowed=sorted(known) or ["none: the administrator has configured no profiles"],
        )
    settings = TaskSettings.read(known[name], step=step, place=f"profile {name!r}, ")
    if settings.profile is not None:
        raise SettingError("names a profile in its turn", step=step, field=f"profile {name!r}")
    return settings


def _with_project_secret(settings: TaskSettings, project: str | None, step: str) -> TaskSettings:
    """Return the settings with the name of DigitalHub's secret where keys of it are used."""
    envs = dict(settings.envs)
    for variable, source in envs.items():
        if isinstance(source, SecretKey) and source.secret is None:
            if project is None:
                raise SettingError(
                    f"{source.key!r} is a key of the project's secret, but the pipeline has no project: "
                    "give {name: the secret's name, keys: [its keys]}, or a project",
                    step=step,
                    field="secrets",
                )
            envs[variable] = source.model_copy(update={"secret": f"proj-secrets-{project}"})
    return settings.model_copy(update={"envs": envs})
