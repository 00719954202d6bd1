"""The types of which the settings' model is built: checked texts, run-time values, the base of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, GetPydanticSchema
from pydantic_core import core_schema

from airflow_kfp_runtime.dsl.references import Collected, LoopItem, OneOf, PipelineArgument, StepOutput
from airflow_kfp_runtime.project.settings import syntax
from airflow_kfp_runtime.project.settings.quantities import memory, quantity


@dataclass(frozen=True)
class Compiled:
    """What KFP gets from a field: data for the documentation.

    :param to: the place in the IR or the platform spec.
    :param since: the first version of KFP's server that honours it (its CHANGELOG).
    :param forms: examples of what users may write, as lines of YAML; a test reads each of them.
    """

    to: str
    since: str = "2.0"
    forms: tuple[str, ...] = ()


#: Not ``InstanceOf``: with it Pydantic 2.11 looks into the dataclasses, whose types are not imported there.
_AS_IT_IS = GetPydanticSchema(lambda source, _: core_schema.is_instance_schema(source))

#: A value known only while the pipeline runs; only the fields whose type names it take one.
RunTimeValue: TypeAlias = (
    Annotated[PipelineArgument, _AS_IT_IS]
    | Annotated[StepOutput, _AS_IT_IS]
    | Annotated[LoopItem, _AS_IT_IS]
    | Annotated[Collected, _AS_IT_IS]
    | Annotated[OneOf, _AS_IT_IS]
)

Quantity: TypeAlias = Annotated[str, AfterValidator(quantity)]
Memory: TypeAlias = Annotated[str, AfterValidator(memory)]
ObjectName: TypeAlias = Annotated[str, AfterValidator(syntax.object_name)]
VolumeName: TypeAlias = Annotated[str, AfterValidator(syntax.volume_name)]
MountPath: TypeAlias = Annotated[str, AfterValidator(syntax.mount_path)]
SubPath: TypeAlias = Annotated[str, AfterValidator(syntax.sub_path)]
Key: TypeAlias = Annotated[str, AfterValidator(syntax.label_key)]
LabelValue: TypeAlias = Annotated[str, AfterValidator(syntax.label_value)]
EnvironmentName: TypeAlias = Annotated[str, AfterValidator(syntax.environment_name)]
DataKey: TypeAlias = Annotated[str, AfterValidator(syntax.data_key)]
AccessMode: TypeAlias = Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]


class Settings(BaseModel):
    """What all parts of the model have in common: they are frozen, and take what they know alone."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, defer_build=True, revalidate_instances="always"
    )
