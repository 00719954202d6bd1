"""Fields of a task's pod, as far as a task without a pod has them."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYED = re.compile(r"metadata\.(?P<side>labels|annotations)\['(?P<key>[^']+)'\]")
_ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Pod:
    """What is known of the pod that KFP would run a task in.

    :param uid: the task's id, since a task has no pod here.
    :param labels: those of the settings; KFP's and Argo's own are not known.
    """

    name: str
    namespace: str
    uid: str
    service_account: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def field_value(path: str, pod: Pod) -> str:
    """The value of a field path.

    :param path: ``metadata.name``, ``metadata.labels['team']``, ...; a label that is missing is empty, as in
        Kubernetes.
    :raises ValueError: it is none that a variable can have in Kubernetes.
    """
    if keyed := _KEYED.fullmatch(path):
        values = pod.labels if keyed["side"] == "labels" else pod.annotations
        return values.get(keyed["key"], "")
    known = {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": socket.gethostname(),
        "spec.serviceAccountName": pod.service_account,
        "status.hostIP": _ADDRESS,
        "status.hostIPs": _ADDRESS,
        "status.podIP": _ADDRESS,
        "status.podIPs": _ADDRESS,
    }
    if path not in known:
        raise ValueError(
            f"the field path {path!r} is not supported: use {', '.join(known)}, metadata.labels['<key>'] or "
            "metadata.annotations['<key>']"
        )
    return known[path]
