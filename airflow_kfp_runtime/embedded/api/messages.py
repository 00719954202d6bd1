"""The bodies that clients send, as protobuf's JSON reads them.

Both spellings of a field are taken, ``null`` is as good as absent, an unknown field is an error, and a value
of another type is an error as well.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from airflow_kfp_runtime.embedded.api.errors import ApiError, invalid

M = TypeVar("M", bound="Message")


class Message(BaseModel):
    """A message of the API."""

    model_config = ConfigDict(
        extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True, frozen=True
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: object) -> object:
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if item is not None}
        return value


class PipelineVersionReference(Message):
    """Which version of which pipeline; without a version the latest."""

    pipeline_id: str = ""
    pipeline_version_id: str = ""


class RuntimeConfig(Message):
    """A run's arguments and where its artifacts go."""

    parameters: dict[str, Any] = {}
    pipeline_root: str = ""


class Run(Message):
    """The body of ``POST /runs``; what only the server fills in is taken and ignored, as in KFP."""

    run_id: str = ""
    experiment_id: str = ""
    display_name: str = ""
    description: str = ""
    service_account: str = ""
    pipeline_version_id: str = ""
    pipeline_version_reference: PipelineVersionReference = PipelineVersionReference()
    pipeline_spec: dict[str, Any] = {}
    runtime_config: RuntimeConfig = RuntimeConfig()
    scheduled_at: str = ""
    created_at: str = ""
    finished_at: str = ""
    storage_state: str = ""
    state: str = ""
    state_history: list[Any] = []
    error: dict[str, Any] = {}
    run_details: dict[str, Any] = {}
    recurring_run_id: str = ""
    plugins_input: dict[str, Any] = {}
    plugins_output: dict[str, Any] = {}


class Experiment(Message):
    """The body of ``POST /experiments``."""

    experiment_id: str = ""
    display_name: str = ""
    description: str = ""
    namespace: str = ""
    storage_state: str = ""
    created_at: str = ""
    last_run_created_at: str = ""


class Pipeline(Message):
    """The body of ``POST /pipelines`` and of ``PATCH /pipelines/{id}``."""

    pipeline_id: str = ""
    name: str = ""
    display_name: str = ""
    description: str = ""
    namespace: str = ""
    created_at: str = ""
    error: dict[str, Any] = {}
    tags: dict[str, str] | None = None


class PipelineVersion(Message):
    """The body of ``PATCH /pipelines/{id}/versions/{version}``."""

    pipeline_id: str = ""
    pipeline_version_id: str = ""
    name: str = ""
    display_name: str = ""
    description: str = ""
    created_at: str = ""
    package_url: dict[str, Any] = {}
    code_source_url: str = ""
    pipeline_spec: dict[str, Any] = {}
    error: dict[str, Any] = {}
    tags: dict[str, str] | None = None


def parse(kind: type[M], body: bytes) -> M:
    """Read a body.

    :raises ApiError: 400, naming the first field that is unknown or of the wrong type.
    """
    try:
        return kind.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return invalid(f'proto: unknown field "{first["loc"][-1]}"')
    if first["type"] == "json_invalid":
        return invalid(f"proto: syntax error: {first['msg']}")
    return invalid(f"proto: invalid value for field {place}: {first['msg']}")
