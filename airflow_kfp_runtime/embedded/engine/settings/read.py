"""From what the platform spec says of a task's executor to what the task is run with: a pure function.

Names may be parameters of the run or outputs of other tasks; they are resolved as in KFP 2.17's driver
(``backend/src/v2/driver/k8s.go``): without a value such a setting is left out, but for a claim.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_kfp_runtime.embedded.engine.resolve import ResolveError, resolve_parameter
from airflow_kfp_runtime.embedded.engine.settings.fields import field_value
from airflow_kfp_runtime.embedded.engine.settings.model import (
    ClaimVolume,
    Holder,
    KeysVolume,
    KeyVariable,
    Mount,
    PodSettings,
    ScratchVolume,
)
from airflow_kfp_runtime.embedded.engine.settings.names import (
    key_name,
    mount_path,
    object_name,
    sub_path,
    variable_name,
    volume_name,
)
from airflow_kfp_runtime.embedded.engine.values import as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from airflow_kfp_runtime.embedded.engine.resolve import Surroundings
    from airflow_kfp_runtime.embedded.engine.settings.fields import Pod

Json = dict[str, Any]
_T = TypeVar("_T")


@dataclass(frozen=True)
class _HolderForm:
    """How the settings of secrets and of config maps are spelt."""

    holder: Holder
    as_env: str
    as_volume: str
    name: str
    key: str


_HOLDERS = (
    _HolderForm(Holder.SECRET, "secretAsEnv", "secretAsVolume", "secretName", "secretKey"),
    _HolderForm(Holder.CONFIG_MAP, "configMapAsEnv", "configMapAsVolume", "configMapName", "configMapKey"),
)
_SCRATCH = ("genericEphemeralVolume", "emptyDirMounts")
#: Settings of which nothing is left to say, or what :func:`_parts_not_applied` says.
_APPLIED = {
    *(setting for form in _HOLDERS for setting in (form.as_env, form.as_volume)),
    *_SCRATCH,
    "pvcMount",
    "fieldPathAsEnv",
    "activeDeadlineSeconds",
}
#: What a scratch volume has beside its size and its kind.
_OF_A_SCRATCH_VOLUME = ("volumeName", "mountPath")
#: The forms of a parameter (KFP 2.17, ``TaskInputsSpec.InputParameterSpec``).
_PARAMETER_FORMS = ("runtimeValue", "componentInputParameter", "taskOutputParameter")


def read_settings(config: Mapping[str, Any], around: Surroundings, pod: Pod) -> PodSettings:
    """Resolve and check the settings of one task.

    :param config: the executor's entry under ``platforms.kubernetes.deploymentSpec.executors``.
    :param around: what the parameter forms in it refer to.
    :param pod: what field paths refer to, without the labels and annotations of the settings.
    :raises ResolveError: a setting is wrong or cannot be resolved; the message names it.
    """
    reader = _Reader(config, around)
    try:
        return PodSettings(
            key_variables=tuple(variable for form in _HOLDERS for variable in reader.key_variables(form)),
            field_variables=dict(reader.field_variables(_with_metadata(pod, config))),
            mounts=tuple(reader.mounts()),
            # A 64-bit integer is a text in protobuf's JSON; the driver takes what is not positive for none.
            deadline=max(int(config.get("activeDeadlineSeconds", 0)), 0) or None,
            notes=(*reader.left_out(), *reader.not_applied()),
        )
    except ResolveError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The platform spec is a client's document: one that is not built as such fails somewhere in it.
        raise ResolveError(
            f"The Kubernetes settings are not as KFP compiles them: {type(error).__name__}: {error}."
        ) from error


def _with_metadata(pod: Pod, config: Mapping[str, Any]) -> Pod:
    metadata = config.get("podMetadata", {})
    return replace(pod, labels=metadata.get("labels", {}), annotations=metadata.get("annotations", {}))


@dataclass(frozen=True)
class _Reader:
    config: Mapping[str, Any]
    around: Surroundings

    def key_variables(self, form: _HolderForm) -> Iterator[KeyVariable]:
        for where, entry in self._entries(form.as_env):
            if name := self._holder_name(where, entry, form):
                for pair in entry.get("keyToEnv", []):
                    yield KeyVariable(
                        variable=_checked(where, variable_name, pair["envVar"]),
                        holder=form.holder,
                        name=name,
                        key=_checked(where, key_name, pair[form.key]),
                        optional=bool(entry.get("optional")),
                    )

    def field_variables(self, pod: Pod) -> Iterator[tuple[str, str]]:
        for where, entry in self._entries("fieldPathAsEnv"):
            name = _checked(where, variable_name, entry["name"])
            yield name, _checked(where, lambda path: field_value(path, pod), entry["fieldPath"])

    def mounts(self) -> Iterator[Mount]:
        for where, entry in self._entries("pvcMount"):
            claim = _checked(where, object_name, self._claim_name(where, entry))
            path = _checked(where, sub_path, entry.get("subPath", ""))
            yield Mount(where, _path(where, entry), ClaimVolume(claim, path))
        for form in _HOLDERS:
            for where, entry in self._entries(form.as_volume):
                if name := self._holder_name(where, entry, form):
                    volume = KeysVolume(form.holder, name, bool(entry.get("optional")))
                    yield Mount(where, _path(where, entry), volume)
        for setting in _SCRATCH:
            for where, entry in self._entries(setting):
                name = _checked(where, volume_name, entry["volumeName"])
                yield Mount(where, _path(where, entry), ScratchVolume(name))

    def left_out(self) -> Iterator[str]:
        """Sentences on secrets and config maps whose name is a parameter without a value."""
        for form in _HOLDERS:
            for setting in (form.as_env, form.as_volume):
                for where, entry in self._entries(setting):
                    if not self._holder_name(where, entry, form):
                        yield f"{where} is left out: its parameter has no value."

    def not_applied(self) -> Iterator[str]:
        """Sentences on all settings that are not for one machine, with their values."""
        for setting, value in self.config.items():
            if setting in _SCRATCH:
                yield from self._parts_not_applied(setting)
            elif setting == "podMetadata":
                yield f"Only fieldPathAsEnv sees it here: podMetadata {as_text(value)}."
            elif setting not in _APPLIED:
                yield f"Not applied here: {setting} {as_text(self._resolved(setting, value))}."

    def _parts_not_applied(self, setting: str) -> Iterator[str]:
        for where, entry in self._entries(setting):
            asked = {name: value for name, value in entry.items() if name not in _OF_A_SCRATCH_VOLUME}
            if asked:
                yield f"Not applied here: {as_text(asked)} of {where}."

    def _entries(self, setting: str) -> Iterator[tuple[str, Json]]:
        for number, entry in enumerate(self.config.get(setting, [])):
            yield f"{setting}[{number}]", entry

    def _holder_name(self, where: str, entry: Json, form: _HolderForm) -> str | None:
        """The name of a secret or config map; ``None`` for a parameter without a value."""
        source = entry.get(f"{form.name}Parameter")
        name = self._text(where, source) if source else entry[form.name]
        return None if name is None else _checked(where, object_name, name)

    def _claim_name(self, where: str, entry: Json) -> str:
        if "constant" in entry and "pvcNameParameter" not in entry:
            return str(entry["constant"])
        # Before kfp-kubernetes 2.0 the form itself was a member of the mount.
        source = entry.get("pvcNameParameter") or {
            form: entry[form] for form in _PARAMETER_FORMS if form in entry
        }
        name = self._text(where, source)
        if name is None:
            raise ResolveError(f"{where}: the parameter for the claim's name has no value.")
        return name

    def _text(self, where: str, source: Json) -> str | None:
        value = resolve_parameter(where, source, self.around)
        if value is not None and (not isinstance(value, str) or not value):
            raise ResolveError(f"{where}: {value!r} is no name: a text that is not empty is expected.")
        return value

    def _resolved(self, setting: str, value: Any) -> Any:
        """A value with the parameter forms in it replaced by what they stand for."""
        match value:
            case dict() if len(value) == 1 and next(iter(value)) in _PARAMETER_FORMS:
                return resolve_parameter(setting, value, self.around)
            case dict():
                return {key: self._resolved(setting, item) for key, item in value.items()}
            case list():
                return [self._resolved(setting, item) for item in value]
            case _:
                return value


def _path(where: str, entry: Json) -> Path:
    return _checked(where, mount_path, entry["mountPath"])


def _checked(where: str, check: Callable[[str], _T], value: str) -> _T:
    try:
        return check(value)
    except ValueError as error:
        raise ResolveError(f"{where}: {error}.") from None
