"""Pipeline documents as they come in: YAML or JSON to a pipeline spec and a platform spec, checked as KFP
checks them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The largest file the server takes (KFP 2.17, ``MaxFileLength``).
MAX_FILE_BYTES = 32 << 20

#: The fields of ``ml_pipelines.PipelineSpec``; protobuf's JSON takes either spelling and refuses anything
# else.
_FIELDS = frozenset(
    [
        "pipelineInfo",
        "deploymentSpec",
        "schemaVersion",
        "sdkVersion",
        "components",
        "root",
        "defaultPipelineRoot",
    ]
)
_WORKFLOW_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_PIPELINE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")


class SpecError(ValueError):
    """A document that is not a pipeline that this server understands."""


@dataclass(frozen=True)
class PipelineDocument:
    """A pipeline spec and, where the document has one, its platform spec."""

    pipeline_spec: dict[str, Any]
    platform_spec: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The pipeline's own name."""
        return str(self.pipeline_spec["pipelineInfo"]["name"])

    def as_struct(self) -> dict[str, Any]:
        """The form in which the API shows it: the spec alone, or both under their names."""
        if self.platform_spec is None:
            return self.pipeline_spec
        return {"pipeline_spec": self.pipeline_spec, "platform_spec": self.platform_spec}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML without dates: ``2026-08-01`` stays a string, as in YAML 1.2, which the real server reads.

    With libyaml, where it is there: in Python alone the file of 1,000 steps takes seconds.
    """


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_document(text: str | bytes) -> PipelineDocument:
    """Read what was uploaded: a YAML (or JSON) file with the pipeline spec and perhaps a platform spec.

    :raises SpecError: it is not YAML, holds no or several pipeline specs, or the spec is not valid.
    """
    try:
        # The loader constructs plain data only, like yaml.safe_load.
        documents = [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SpecError(f"unable to decode yaml document: {error}") from error
    return _document([document for document in documents if isinstance(document, dict)])


def read_struct(struct: Mapping[str, Any]) -> PipelineDocument:
    """Read what was sent inline: the pipeline spec, or ``{"pipeline_spec": ..., "platform_spec": ...}``.

    :raises SpecError: as :func:`read_document`.
    """
    if "pipeline_spec" in struct:
        parts = [struct["pipeline_spec"], struct.get("platform_spec") or None]
        return _document([part for part in parts if isinstance(part, dict)])
    return _document([dict(struct)])


def _document(documents: list[dict[str, Any]]) -> PipelineDocument:
    platforms = [document for document in documents if _is_platform_spec(document)]
    pipelines = [document for document in documents if document not in platforms]
    if not pipelines:
        raise SpecError("no pipeline spec is provided")
    if len(pipelines) > 1:
        raise SpecError("multiple pipeline specs provided")
    if len(platforms) > 1:
        raise SpecError("multiple platform specs provided")
    check_spec(pipelines[0])
    return PipelineDocument(pipelines[0], platforms[0] if platforms else None)


def _is_platform_spec(document: dict[str, Any]) -> bool:
    platforms = document.get("platforms")
    return isinstance(platforms, dict) and set(document) == {"platforms"}


def check_spec(spec: Mapping[str, Any]) -> None:
    """Check what the server checks before it compiles: known fields, schema version, name, root.

    :raises SpecError: with the server's words (KFP 2.17, ``NewV2SpecTemplate``).
    """
    if "kind" in spec and "apiVersion" in spec:
        raise SpecError("an Argo workflow (KFP v1) cannot run here: compile the pipeline with kfp 2 or later")
    unknown = sorted(str(field) for field in spec if field not in _FIELDS)
    if unknown:
        raise SpecError(f'invalid v2 pipeline spec: proto: unknown field "{unknown[0]}"')
    for field in ("pipelineInfo", "deploymentSpec", "components", "root"):
        if not isinstance(spec.get(field, {}), dict):
            raise SpecError(f"invalid v2 pipeline spec: proto: syntax error: {field} is not an object")
    if spec.get("schemaVersion") != "2.1.0":
        raise SpecError(
            "KFP only supports schema version 2.1.0, but the pipeline spec has version "
            f"{spec.get('schemaVersion', '')}"
        )
    name = spec.get("pipelineInfo", {}).get("name")
    if not isinstance(name, str) or not name:
        raise SpecError("invalid v2 pipeline spec: name is empty")
    # The real server only looks for such a name inside of it; then Kubernetes refuses what is around.
    if not _WORKFLOW_NAME.fullmatch(name):
        raise SpecError(
            "invalid v2 pipeline spec: name should consist of lower case alphanumeric characters, '-' or '.',"
            " and must start and end with an alphanumeric character"
        )
    if not spec.get("root"):
        raise SpecError("invalid v2 pipeline spec: root component is empty")


def check_pipeline_name(name: str) -> None:
    """Check the spec's name as an upload does, more strictly than a run (KFP 2.17, ``ValidatePipelineName``).

    :raises SpecError: it is too long or has other characters.
    """
    if len(name) > 128:
        raise SpecError("pipeline's name must contain no more than 128 characters")
    if not _PIPELINE_NAME.fullmatch(name):
        raise SpecError(
            "pipeline's name must contain only lowercase alphanumeric characters or '-' and must start with "
            "alphanumeric characters"
        )
