"""The tasks that create and delete claims, which KFP's driver does by itself: there is no command to run.

The rules for names are those of KFP 2.17's driver (``backend/src/v2/driver/k8s.go``).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from airflow_kfp_runtime.embedded.engine.settings.model import SettingError
from airflow_kfp_runtime.embedded.engine.settings.names import object_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_kfp_runtime.embedded.engine.settings.cluster import Cluster

CREATE_CLAIM = "argostub/createpvc"
DELETE_CLAIM = "argostub/deletepvc"

_ACCESS_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_QUANTITY = re.compile(r"\+?(\d+\.?\d*|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?")
#: Inputs that say what storage a claim is to have; on one machine it is a folder.
_NOT_APPLIED = ("size", "access_modes", "storage_class_name", "volume_name", "annotations", "data_source")


def create_claim(
    cluster: Cluster, task_id: str, parameters: Mapping[str, Any], say: Callable[[str], None]
) -> str:
    """Make a claim's folder.

    :param task_id: what a generated name is made of, so that a task which is run again after the server was
        killed means the same claim.
    :param parameters: the inputs of the task.
    :param say: writes a line to the task's log.
    :return: the claim's name.
    :raises SettingError: an input is missing or wrong, or there is a claim of this name.
    """
    with _failing_to("create"):
        modes = parameters.get("access_modes")
        if not modes or not all(mode in _ACCESS_MODES for mode in modes):
            raise ValueError(f"access_modes is {modes!r}; give one or more of {', '.join(_ACCESS_MODES)}")
        size = parameters.get("size")
        if not size or not _QUANTITY.fullmatch(size):
            raise ValueError(f"size is {size!r}; give a quantity such as '5Gi'")
        given, suffix = parameters.get("pvc_name", ""), parameters.get("pvc_name_suffix", "")
        if given and suffix:
            raise ValueError(
                f"at most one of pvc_name ({given!r}) and pvc_name_suffix ({suffix!r}) can be non-empty"
            )
        name = object_name(given or f"{uuid5(NAMESPACE_OID, task_id)}{suffix}")
        folder = cluster.claims.create(name, again=not given)
    say(f"Created the claim {name}: the folder {folder}.")
    asked = [f"{key} {parameters[key]!r}" for key in _NOT_APPLIED if parameters.get(key)]
    say(f"Not applied here: {', '.join(asked)}.")
    return name


def delete_claim(
    cluster: Cluster, parameters: Mapping[str, Any], ended: Callable[[], bool], say: Callable[[str], None]
) -> None:
    """Remove a claim's folder, once no task sees it any more.

    :param parameters: the inputs of the task.
    :param ended: whether the task is to end.
    :param say: writes a line to the task's log.
    :raises SettingError: there is no such claim.
    :raises EndedError: the task is to end.
    """
    with _failing_to("delete"):
        name = object_name(parameters.get("pvc_name", ""))
        cluster.paths.wait_until_unseen(cluster.claims.existing(name), ended)
        cluster.claims.delete(name)
    say(f"Deleted the claim {name}.")


@contextmanager
def _failing_to(what: str) -> Iterator[None]:
    try:
        yield
    except (SettingError, ValueError) as error:
        raise SettingError(f"failed to {what} pvc: {error}") from None
