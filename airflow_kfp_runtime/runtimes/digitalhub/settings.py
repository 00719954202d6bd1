"""A step's settings in DigitalHub's spelling, for the run that the platform starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from airflow_kfp_runtime.dsl.references import Reference
from airflow_kfp_runtime.errors import SettingError
from airflow_kfp_runtime.project.settings.environment import SecretKey
from airflow_kfp_runtime.project.settings.model import TaskSettings
from airflow_kfp_runtime.project.settings.volumes import (
    ConfigMapVolume,
    EmptyDir,
    EphemeralVolume,
    ExistingClaim,
    NewClaim,
    SecretVolume,
)
from airflow_kfp_runtime.project.settings.written import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_kfp_runtime.project.settings.resources import Accelerator, Resources
    from airflow_kfp_runtime.project.settings.scheduling import NodeAffinityTerm
    from airflow_kfp_runtime.project.settings.volumes import Volume

#: What stays with the wrapper's own pod and its task in KFP.
OF_THE_WRAPPER = (
    *("image", "image_pull_policy", "image_pull_secrets"),
    *("labels", "annotations"),
    *("timeout", "retries", "caching"),
)
#: What KFP cannot express and DigitalHub can, by the name as it was written.
_PASSED_ON = {
    "runtime_class": "runtime_class",
    "runtimeClass": "runtime_class",
    "runtime_class_name": "runtime_class",
    "runtimeClassName": "runtime_class",
    "priority_class": "priority_class",
    "priorityClass": "priority_class",
    "priority_class_name": "priority_class",
    "priorityClassName": "priority_class",
    "resources.disk": "disk",
}
_GPU = "nvidia.com/gpu"
_REQUIRED, _PREFERRED = (
    f"{kind}_during_scheduling_ignored_during_execution" for kind in ("required", "preferred")
)


def split_settings(settings: TaskSettings, *, form: str, step: str) -> tuple[TaskSettings, dict[str, Any]]:
    """Return what the wrapper's own task gets, and what the platform's run gets, as DigitalHub writes it.

    :param settings: the step's, of all levels together.
    :param form: the wrapper's: ``0.9`` or ``0.13``, whose platforms spell some settings differently.
    :raises SettingError: the platform has no place for a setting, or one is known only at run time.
    """
    own = TaskSettings.model_validate({name: getattr(settings, name) for name in OF_THE_WRAPPER})
    written = _Written(form, step)
    passed = {name: value for name, value in written.settings(settings) if value is not None}
    for name, value in passed.items():
        written.refuse_references(value, name)
    return own, passed


class _Written:
    """Writes the settings of one step for one form of the wrapper."""

    def __init__(self, form: str, step: str) -> None:
        self.early = form == "0.9"
        self.platform = "DigitalHub 0.9" if self.early else "DigitalHub"
        self.step = step

    def settings(self, settings: TaskSettings) -> Iterator[tuple[str, Any]]:
        classes = self._inexpressible(settings)
        disk = classes.pop("disk", None)
        yield "profile", settings.profile
        selected = settings.node_selector
        if isinstance(selected, Reference):
            self.refuse_references(selected, "node_selector")
        elif selected:
            yield "node_selector", [{"key": key, "value": value} for key, value in selected.items()]
        yield "resources", self._resources(settings.resources, settings.accelerator, disk) or None
        yield from self._environment(settings)
        if settings.volumes:
            yield "volumes", [self._volume(volume) for volume in settings.volumes]
        if settings.tolerations:
            yield "tolerations", [plain(toleration) for toleration in settings.tolerations]
        if settings.node_affinity:
            yield "affinity", {"node_affinity": self._affinity(settings.node_affinity)}
        yield from classes.items()
        if settings.security_context is not None:
            self.refuse("security_context", "leave it out: the platform's administrator sets it")

    def refuse(self, place: str, advice: str) -> NoReturn:
        raise SettingError(f"{self.platform} has no place for it; {advice}", step=self.step, field=place)

    def refuse_references(self, value: Any, place: str) -> None:
        """Raise for a run-time value: the settings reach the platform as they are written."""
        match value:
            case _ if isinstance(value, Reference):
                raise SettingError(
                    "is known only at run time, and a run on the platform gets its settings as they are "
                    "written; write the value",
                    step=self.step,
                    field=place,
                )
            case dict():
                for name, part in value.items():
                    self.refuse_references(part, f"{place}.{name}")
            case list():
                for position, part in enumerate(value):
                    self.refuse_references(part, f"{place}[{position}]")

    def _inexpressible(self, settings: TaskSettings) -> dict[str, str]:
        found = {}
        for problem in settings.inexpressible:
            setting = problem.setting.removeprefix("settings.")
            name = _PASSED_ON.get(setting)
            if name is None or problem.value is None:
                self.refuse(problem.setting, "leave it out")
            elif self.early:
                self.refuse(problem.setting, "it came with 0.13: use wrapper='0.13'")
            else:
                found[name] = problem.value
        return found

    def _resources(
        self, resources: Resources | None, accelerator: Accelerator | None, disk: str | None
    ) -> dict[str, Any]:
        """Return resources; a request alone is one value since 0.13."""
        written: dict[str, Any] = {"disk": disk} if disk is not None else {}
        if resources is not None:
            for name, request, limit in (
                ("cpu", resources.cpu_request, resources.cpu_limit),
                ("mem", resources.memory_request, resources.memory_limit),
            ):
                both = {"requests": request, "limits": limit}
                given = {side: value for side, value in both.items() if value is not None}
                if given:
                    written[name] = request if not self.early and limit is None else given
        if accelerator is not None:
            self.refuse_references(accelerator.type, "accelerator.type")
            self.refuse_references(accelerator.count, "accelerator.count")
        if accelerator is not None and accelerator.count != 0:
            if accelerator.type != _GPU:
                self.refuse("accelerator", f"its only one is {_GPU}; name a profile for others")
            amount = str(accelerator.count)
            written["gpu"] = {"limits": amount} if self.early else amount
        return written

    def _environment(self, settings: TaskSettings) -> Iterator[tuple[str, Any]]:
        values: list[dict[str, str]] = []
        secrets: list[str] = []
        for name, source in settings.envs.items():
            match source:
                case str():
                    values.append({"name": name, "value": source})
                case SecretKey(secret=None, key=key) if key == name:
                    secrets.append(key)
                case _:
                    self.refuse(
                        f"envs[{name!r}]",
                        "a run gets values, and keys of its project's secrets under their own names: "
                        f"secrets: [{name}]",
                    )
        yield "envs", values or None
        yield "secrets", secrets or None

    def _volume(self, volume: Volume) -> dict[str, Any]:
        place = f"volumes[{volume.name!r}]"
        mount: dict[str, Any] = {"name": volume.name, "mount_path": volume.mount_path}
        spec: dict[str, Any]
        match volume:
            case ExistingClaim():
                if volume.sub_path is not None:
                    self.refuse(f"{place}.sub_path", "mount the claim whole")
                if self.early:
                    kind, spec = "persistent_volume_claim", {"claim_name": volume.claim}
                else:
                    kind, spec = "shared_volume", {"claimName": volume.claim}
            case NewClaim():
                if self.early:
                    self.refuse(place, "it mounts existing claims: give no size, or use wrapper='0.13'")
                if volume != NewClaim(**mount, suffix=volume.suffix, size=volume.size):
                    self.refuse(place, "give the claim's size alone")
                kind, spec = "persistent_volume_claim", {"claim_name": volume.suffix, "size": volume.size}
            case EphemeralVolume():
                if volume != EphemeralVolume(**mount, size=volume.size):
                    self.refuse(place, "give the volume's size alone")
                kind, spec = "ephemeral", {"size": volume.size}
            case EmptyDir():
                kind, spec = "empty_dir", {"medium": volume.medium, "sizeLimit": volume.size_limit}
            case SecretVolume():
                kind, spec = "secret", {"secretName": volume.secret}
            case ConfigMapVolume():
                kind, spec = "config_map", {"name": volume.config_map}
        given = {name: value for name, value in spec.items() if value is not None}
        return {"volume_type": kind, **mount, "spec": given}

    def _affinity(self, terms: tuple[NodeAffinityTerm | Any, ...]) -> dict[str, Any]:
        required, preferred = [], []
        for position, term in enumerate(terms):
            self.refuse_references(term, f"node_affinity[{position}]")
            conditions = {name: value for name, value in plain(term).items() if value and name != "weight"}
            if term.weight is None:
                required.append(conditions)
            else:
                preferred.append({"weight": term.weight, "preference": conditions})
        parts = {_REQUIRED: {"node_selector_terms": required} if required else None, _PREFERRED: preferred}
        return {name: part for name, part in parts.items() if part}
