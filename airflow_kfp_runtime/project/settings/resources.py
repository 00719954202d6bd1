"""What a task's container asks for: cpu, memory and accelerators."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from typing_extensions import Self

from airflow_kfp_runtime.project.settings.fields import (
    Compiled,
    Key,
    Memory,
    Quantity,
    RunTimeValue,
    Settings,
)
from airflow_kfp_runtime.project.settings.quantities import amount


class Resources(Settings):
    """What a container asks for and may use, each as a quantity or a run-time value.

    :param cpu_request: cores (``500m``, ``2``).
    :param cpu_limit: cores; not below the request.
    :param memory_request: bytes (``64Mi``, ``1.5Gi``), at least 1Ki.
    :param memory_limit: bytes; not below the request.
    """

    cpu_request: Annotated[
        Quantity | RunTimeValue | None, Compiled("container.resources.resourceCpuRequest")
    ] = None
    cpu_limit: Annotated[Quantity | RunTimeValue | None, Compiled("container.resources.resourceCpuLimit")] = (
        None
    )
    memory_request: Annotated[
        Memory | RunTimeValue | None, Compiled("container.resources.resourceMemoryRequest")
    ] = None
    memory_limit: Annotated[
        Memory | RunTimeValue | None, Compiled("container.resources.resourceMemoryLimit")
    ] = None

    @model_validator(mode="after")
    def _limits_reach_requests(self) -> Self:
        for name, request, limit in (
            ("cpu", self.cpu_request, self.cpu_limit),
            ("memory", self.memory_request, self.memory_limit),
        ):
            if isinstance(request, str) and isinstance(limit, str) and amount(limit) < amount(request):
                raise ValueError(f"the {name} limit {limit!r} is below the request {request!r}")
        return self


class Accelerator(Settings):
    """The accelerators of a container: one type, as KFP has it.

    :param type: the resource's name on the node (``nvidia.com/gpu``), or a run-time value.
    :param count: how many, from 1 (``0``: none, against a lower level), or a run-time value.
    """

    type: Annotated[Key | RunTimeValue, Compiled("container.resources.accelerator.resourceType")]
    count: Annotated[
        Annotated[int, Field(ge=0)] | RunTimeValue,
        Compiled("container.resources.accelerator.resourceCount"),
    ] = 1
