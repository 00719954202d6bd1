"""Writes ``docs/settings.md`` from the model.

Run: ``python -m airflow_kfp_runtime.project.settings.documentation``
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

from airflow_kfp_runtime.dsl.references import PipelineArgument
from airflow_kfp_runtime.project.settings import inexpressible
from airflow_kfp_runtime.project.settings.fields import Compiled
from airflow_kfp_runtime.project.settings.forms import ALIASES
from airflow_kfp_runtime.project.settings.model import TaskSettings
from airflow_kfp_runtime.project.settings.volumes import Volume

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_kfp_runtime.project.settings.inexpressible import Reason

_PAGE = """\
# Kubernetes settings

<!-- Written by `python -m airflow_kfp_runtime.project.settings.documentation`: change the model. -->

What a task's pod gets beyond its function: on a step (`pc.step("train", ..., resources={{"cpu": "2"}})`),
on a function (`project.new_function(..., settings={{...}})`), on the whole pipeline (`settings={{...}}` of
the operator and the decorator) or on all pipelines of a project (`Project(..., settings={{...}})`, or
`settings:` in its file). A setting may be written as DigitalHub has it (0.9 to 0.14), as a
Kubernetes mapping, or as an object of `kubernetes.client.models`, the way `KubernetesPodOperator` takes
it; in snake_case or camelCase. Two spellings of one setting at once are an error, and so is everything
that is misspelt.

## Who wins

From the strongest to the weakest:

1. the administrator's policy: the plugin hook `review_settings`, which sees the settings of each step last
2. the set that `profile` names, from the provider's configuration (`[kfp] profiles`), else from a plugin
3. the step
4. the function
5. the pipeline's `steps`, by the step's exact name
6. the pipeline's `steps`, by a pattern such as `train*`; of several a later one
7. the pipeline's settings for all steps
8. the project's settings

Environment variables (wherever their values come from), labels, annotations and volumes merge by name.
Everything else is replaced whole: a step with `resources` keeps nothing of its function's cpu and memory,
though it keeps the function's accelerator, which is a setting of its own (`gpu: 0` takes it away).

A profile has settings in any of the forms below. The provider's configuration has them as JSON:

    [kfp]
    profiles = {profiles}

Settings of a whole pipeline may be written by step as well:

    settings = {{
        "labels": {{"team": "vision"}},
        "resources": {{"memory": {{"limits": "2Gi"}}}},
        "steps": {{"train*": {{"accelerator": {{"type": "nvidia.com/gpu", "count": 1}}}}}},
    }}

A policy is a plugin of the group `airflow_kfp_runtime`; what it returns is checked like what a user writes:

    from airflow_kfp_runtime.errors import SettingError
    from airflow_kfp_runtime.plugins import hookimpl

    @hookimpl
    def review_settings(step, function, settings):
        count = settings.accelerator.count if settings.accelerator else 0
        if not isinstance(count, int) or count > 4:  # no int: known only at run time
            raise SettingError("at most 4 GPUs are allowed", step=step, field="accelerator")
        if settings.timeout is None:
            return settings.model_copy(update={{"timeout": 86400}})

## Values known only at run time

Where the last column says so, a setting takes an argument of the pipeline or an output of a step: in
Python the object itself, in steps written as data and in a pipeline's settings `{{"argument": "cpu"}}` or
`{{"from": "step.output"}}`. KFP's server has these since 2.5. A text that holds one among other characters
is refused.

KFP reads such a value only if it is of the right type: `dict` for `node_selector` and `node_affinity`,
`dict` or `list` for `tolerations`, and `str` for everything else, also for cpu, memory, and the type and
count of an accelerator (`def pipeline(cpu: str = "2")`). An argument with neither an annotation nor a
default gets the right type by itself.

## Settings

{settings}

A `timeout`, and `backoff` and `longest` of `retries`, are seconds. What a template gives is a text unless
the DAG has `render_template_as_native_obj=True`, and a text is refused where a number belongs.

A single value under `resources` is a request (as in DigitalHub); for an accelerator it is the limit. A
secret that is just a text is a key of the DigitalHub project's secret, `proj-secrets-<project>`. Memory
below 1Ki is refused, since `2` is two bytes and `500m` half a byte.

## Volumes

{volumes}

A claim without a `size` is there already: the one that `claim_name` names, and without a `spec` the one of
the volume's own name (`volumes: [{{volume_type: persistent_volume_claim, name: data, mount_path: /data}}]`
mounts the claim `data`). A claim with a `size` is made for the run and deleted at its end, also after a
failure; steps that name the same volume share it, unless it says `shared: false`. KFP names the volume of
the pod after the claim, secret or config map, so that their names can have no dots.

## What KFP cannot express

Such a setting is an error that names it. With `settings_policy="warn"` it is left out with a warning in
the task's log.

{inexpressible}
"""


#: Profiles as Airflow's configuration holds them; a test reads them.
PROFILES = (
    '{"1xa100": {"accelerator": {"type": "nvidia.com/gpu", "count": 1}, "node_selector": {"gpu": "a100"}}}'
)


def document() -> str:
    """Return the page."""
    return _PAGE.format(
        profiles=PROFILES,
        settings=_table(("Setting", "What it is", "Forms", "KFP gets", "Since", "At run time"), _settings()),
        volumes=_table(("Volume", "Forms", "KFP gets", "Since", "At run time"), _volumes()),
        inexpressible=_table(("Setting", "Why", "Instead"), _inexpressible()),
    )


def compiled_settings() -> Iterator[tuple[str, Any, Compiled]]:
    """Yield the name, type and documentation of each setting that is no volume."""
    for name, field in TaskSettings.model_fields.items():
        for compiled in field.metadata:
            if isinstance(compiled, Compiled):
                yield name, field.annotation, compiled


def compiled_volumes() -> Iterator[tuple[type[BaseModel], Compiled]]:
    """Yield the class and documentation of each kind of volume."""
    for kind in get_args(get_args(Volume)[0]):
        model, compiled = get_args(kind)
        yield model, compiled


def _settings() -> Iterator[tuple[str, ...]]:
    meanings = dict(
        re.findall(r":param (\w+): (.*?)(?=\n\s*:param|\Z)", TaskSettings.__doc__ or "", re.DOTALL)
    )
    for name, annotation, compiled in compiled_settings():
        meaning = re.sub(r"\s+", " ", meanings[name]).strip(" .").replace("``", "`")
        names = [name, *(alias for alias, meant in ALIASES.items() if meant == name)]
        yield (
            ", ".join(f"`{each}`" for each in names),
            meaning,
            _forms(compiled),
            compiled.to,
            compiled.since,
            _at_run_time(annotation),
        )


def _volumes() -> Iterator[tuple[str, ...]]:
    for model, compiled in compiled_volumes():
        summary = (model.__doc__ or "").partition("\n")[0].rstrip(".")
        yield summary, _forms(compiled), compiled.to, compiled.since, _at_run_time(model)


def _inexpressible() -> Iterator[tuple[str, ...]]:
    tables: tuple[tuple[str, Mapping[str, Reason]], ...] = (
        ("", inexpressible.SETTINGS),
        ("affinity: ", inexpressible.AFFINITY),
        ("resources: ", inexpressible.RESOURCES),
        ("resources: ", {"hugepages-*": inexpressible.HUGE_PAGES}),
        ("resources: ", {"a second type of accelerator": inexpressible.SECOND_ACCELERATOR}),
        ("envs: value_from: ", inexpressible.ENVIRONMENT),
        ("security_context: ", inexpressible.SECURITY_CONTEXT),
        ("volumes: ", inexpressible.VOLUMES),
        ("volumes: ", inexpressible.VOLUME_SOURCE),
        ("volumes: of a new claim, ", inexpressible.CLAIM),
        ("volume_mounts: ", inexpressible.MOUNT),
        ("volume_mounts: ", {"sub_path of another volume than a claim": inexpressible.MOUNT_SUB_PATH}),
    )
    for prefix, table in tables:
        same: dict[Reason, list[str]] = {}
        for name, reason in table.items():
            same.setdefault(reason, []).append(f"`{name}`" if " " not in name else name)
        for reason, names in same.items():
            yield prefix + ", ".join(names), reason.why, reason.instead


def _forms(compiled: Compiled) -> str:
    return "<br>".join(f"`{form}`" for form in compiled.forms)


def _at_run_time(annotation: Any) -> str:
    """Return which parts of a type may be run-time values: the whole, or the fields that may."""
    if _takes_run_time_value(annotation):
        return "yes"
    fields = (
        name
        for model in _models(annotation)
        for name, field in model.model_fields.items()
        if _takes_run_time_value(field.annotation)
    )
    return ", ".join(f"`{name}`" for name in dict.fromkeys(fields))


def _takes_run_time_value(annotation: Any) -> bool:
    return annotation is PipelineArgument or any(_takes_run_time_value(part) for part in get_args(annotation))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    # In Python 3.10 a generic alias counts as a type as well.
    if get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    Path(*(sys.argv[1:] or ["docs/settings.md"])).write_text(document(), encoding="utf-8")
