"""The run that a client asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.client.models import VersionReference

#: Longer texts fail on MySQL after the workflow was created (KFP 2.17: VARCHAR(255), not checked by the API).
TEXT_LIMIT = 255


@dataclass(frozen=True)
class RunRequest:
    """A run to create: of a pipeline version, or of an IR sent along.

    :param run_id: the id that the run shall have, a UUID (honoured since KFP 2.0).
    :param display_name: the name, cut to 255 characters when sent.
    :param version: the version to run; leave it out with ``pipeline_spec``.
    :param pipeline_spec: the IR to run inline.
    :param platform_spec: its Kubernetes part, as ``{"platforms": {"kubernetes": {...}}}``.
    :param experiment_id: needed on a multi-user server: the run's namespace comes from it.
    :param parameters: arguments by pipeline parameter, JSON values.
    :param pipeline_root: where artifacts are written; ``None``: the server's default.
    :param service_account: the run's Kubernetes service account; ``None``: the server's default.
    :raises DefinitionError: neither or both of ``version`` and ``pipeline_spec`` are given, or a
        ``platform_spec`` without the ``pipeline_spec`` that it belongs to.
    """

    run_id: str
    display_name: str
    description: str = ""
    version: VersionReference | None = None
    pipeline_spec: Mapping[str, Any] | None = None
    platform_spec: Mapping[str, Any] | None = None
    experiment_id: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    pipeline_root: str | None = None
    service_account: str | None = None

    def __post_init__(self) -> None:
        if bool(self.version) == bool(self.pipeline_spec):
            raise DefinitionError("give either a version or a pipeline_spec", field="run request")
        if self.platform_spec and not self.pipeline_spec:
            raise DefinitionError("is for a pipeline_spec; a version has its own", field="platform_spec")

    def to_json(self) -> dict[str, Any]:
        """Return the body of the request, without the fields that have no value."""
        config = {"parameters": dict(self.parameters), "pipeline_root": self.pipeline_root}
        body: dict[str, Any] = {
            "run_id": self.run_id,
            "display_name": self.display_name[:TEXT_LIMIT],
            "description": self.description[:TEXT_LIMIT],
            "experiment_id": self.experiment_id,
            "service_account": self.service_account,
            "runtime_config": {name: value for name, value in config.items() if value},
        }
        if self.version:
            body["pipeline_version_reference"] = {
                "pipeline_id": self.version.pipeline_id,
                "pipeline_version_id": self.version.pipeline_version_id,
            }
        elif self.platform_spec:
            body["pipeline_spec"] = {
                "pipeline_spec": self.pipeline_spec,
                "platform_spec": self.platform_spec,
            }
        else:
            body["pipeline_spec"] = self.pipeline_spec
        return {name: value for name, value in body.items() if value}
