"""Claims that live as long as the run: what makes them, what deletes them, and which steps share them.

The tasks are those of ``kfp-kubernetes`` 2.17: the server's driver makes or deletes the claim itself where it
finds these two images. The steps go into a nested graph, as under the SDK's ``ExitHandler``, and the deleting
task comes after it however it has ended. The server starts one such task for each graph (KFP 2.17,
``argocompiler/dag.go``), so that each claim has a nested graph of its own, the next one inside: what fails
while the second claim is made still deletes the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.compiler.connections import Constant
from airflow_kfp_runtime.compiler.tasks import Task
from airflow_kfp_runtime.dsl.context import PipelineContext
from airflow_kfp_runtime.dsl.references import StepOutput
from airflow_kfp_runtime.dsl.types import ParameterType
from airflow_kfp_runtime.errors import SettingError
from airflow_kfp_runtime.runtimes.component import Component, Container, InputDeclaration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_kfp_runtime.compiler.connections import Connection
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.project.settings.model import NewClaim, TaskSettings

_OPTIONAL_TEXT = InputDeclaration(ParameterType.STRING, optional=True)
_OPTIONAL_TABLE = InputDeclaration(ParameterType.STRUCT, optional=True)

CREATE = Component(
    inputs={
        "access_modes": InputDeclaration(ParameterType.LIST),
        "size": InputDeclaration(ParameterType.STRING),
        "pvc_name": _OPTIONAL_TEXT,
        "pvc_name_suffix": _OPTIONAL_TEXT,
        "storage_class_name": InputDeclaration(ParameterType.STRING, optional=True, default=""),
        "volume_name": _OPTIONAL_TEXT,
        "annotations": _OPTIONAL_TABLE,
        "data_source": _OPTIONAL_TABLE,
    },
    outputs={"name": ParameterType.STRING},
    implementation=Container("argostub/createpvc"),
)
DELETE = Component(
    inputs={"pvc_name": InputDeclaration(ParameterType.STRING)},
    outputs={},
    implementation=Container("argostub/deletepvc"),
)


@dataclass(frozen=True)
class Claim:
    """A claim of the run.

    :param volume: what the settings say of it.
    :param step: the only step that has it; ``None`` for one that all steps may share.
    :param create: the task that makes it; its output ``name`` is the claim's name.
    :param delete: the task that deletes it.
    :param handler: the name of the nested graph in which it is there.
    """

    volume: NewClaim
    step: Step | None
    create: Step
    delete: Step
    handler: str

    @property
    def name(self) -> StepOutput:
        """The claim's name, which is known when it has been made."""
        return StepOutput(self.create, "name")

    def tasks(self) -> tuple[Task, Task]:
        """Return the task that makes the claim and the one that deletes it."""
        create, delete = self.create.task_name, self.delete.task_name
        return (
            Task(create, CREATE, _create_inputs(self.volume), after=()),
            Task(delete, DELETE, {"pvc_name": self.name}, after=(create, self.handler), always=True),
        )


def warnings(claims: Iterable[Claim]) -> Iterator[str]:
    """Yield a sentence for each claim that the server makes otherwise than Kubernetes would by default."""
    for claim in claims:
        if claim.volume.storage_class is None:
            yield (
                f"volume {claim.volume.name!r}: KFP makes the claim with the storage class 'standard', not "
                "with the cluster's default: give a storage_class where there is no such class"
            )


def _create_inputs(volume: NewClaim) -> dict[str, Connection]:
    given: dict[str, Any] = {
        "access_modes": list(volume.access_modes),
        "size": volume.size,
        # The server puts its own unique part right before it (KFP 2.17, ``createPVC``).
        "pvc_name_suffix": f"-{volume.suffix}",
        "storage_class_name": volume.storage_class,
        "volume_name": volume.volume_name,
        "annotations": dict(volume.annotations) or None,
    }
    if volume.data_source is not None:
        source = {
            "apiGroup": volume.data_source.api_group,
            "kind": volume.data_source.kind,
            "name": volume.data_source.name,
        }
        given["data_source"] = {key: value for key, value in source.items() if value is not None}
    return {name: Constant(value) for name, value in given.items() if value is not None}


def claims_of(settings: Mapping[Step, TaskSettings | None], taken: Iterable[str] = ()) -> list[Claim]:
    """Return the claims that the steps' settings ask for: those that are shared first, each by name.

    :param taken: names of tasks, besides those of the steps.
    :raises SettingError: two steps share a claim and do not agree about it, or a step that runs at the end of
        a block has one of its own.
    """
    found: dict[tuple[bool, str, str], tuple[Step, NewClaim]] = {}
    for step in sorted(settings, key=lambda step: step.task_name):
        given = settings[step]
        for volume in given.volumes if given is not None else ():
            if volume.kind == "new_claim":
                if step.ends is not None and not volume.shared:
                    raise SettingError(
                        f"is a claim of its own, which a step that runs at the end of {step.ends!r} cannot "
                        "have: KFP would have to make it first. Leave out shared: false, for one of the run",
                        step=step.name,
                        field=f"volumes[{volume.name!r}]",
                    )
                owner = "" if volume.shared else step.task_name
                first, agreed = found.setdefault((not volume.shared, owner, volume.name), (step, volume))
                if agreed.model_copy(update={"mount_path": volume.mount_path}) != volume:
                    raise SettingError(
                        f"differs from volume {volume.name!r} of step {first.name!r}, and it is one claim: "
                        "write the same for both, or give one of them another name",
                        step=step.name,
                        field=f"volumes[{volume.name!r}]",
                    )
    names = _free_names({step.task_name for step in settings}.union(taken))
    return [
        _claim(volume, None if volume.shared else step, names)
        for _, (step, volume) in sorted(found.items(), key=itemgetter(0))
    ]


def _claim(volume: NewClaim, step: Step | None, names: Iterator[tuple[str, str, str]]) -> Claim:
    create, delete, handler = next(names)
    context = PipelineContext()
    return Claim(
        volume=volume,
        step=step,
        create=context.step(create, function=create),
        delete=context.step(delete, function=delete),
        handler=handler,
    )


def _free_names(taken: set[str]) -> Iterator[tuple[str, str, str]]:
    """Yield the names that the SDK gives to the tasks of one claim after another, without those taken."""
    number = 0
    while True:
        number += 1
        ending = "" if number == 1 else f"-{number}"
        names = (f"createpvc{ending}", f"deletepvc{ending}", f"exit-handler-{number}")
        if taken.isdisjoint(names):
            yield names
