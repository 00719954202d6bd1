"""The types of values that flow through a pipeline, and the annotations that declare them.

The annotations have kfp's names and meaning, so that a function written for kfp needs no change::

    def train(dataset: Input[Dataset], model: Output[Model], epochs: int = 3) -> float: ...

Nothing here runs in a step: there, the executor brings its own :class:`Artifact` with ``path``, ``uri`` and
``metadata``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class ParameterType(str, Enum):
    """A parameter's type in KFP's IR (``PipelineSpec``, ``ParameterType.ParameterTypeEnum``)."""

    STRING = "STRING"
    INTEGER = "NUMBER_INTEGER"
    DOUBLE = "NUMBER_DOUBLE"
    BOOLEAN = "BOOLEAN"
    LIST = "LIST"
    STRUCT = "STRUCT"


#: The type that each of JSON's has in KFP.
PARAMETER_TYPES: dict[type, ParameterType] = {
    bool: ParameterType.BOOLEAN,
    int: ParameterType.INTEGER,
    float: ParameterType.DOUBLE,
    str: ParameterType.STRING,
    list: ParameterType.LIST,
    dict: ParameterType.STRUCT,
}


def type_of(value: object) -> ParameterType | None:
    """Return the type of a JSON value, or ``None`` where it is not one that KFP has (``None`` itself)."""
    return PARAMETER_TYPES.get(type(value))


def common_type(values: Iterable[object]) -> ParameterType | None:
    """Return the type that all JSON values have, or ``None``; integers are floats among floats."""
    found = {type_of(value) for value in values}
    if found == {ParameterType.INTEGER, ParameterType.DOUBLE}:
        return ParameterType.DOUBLE
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class ArtifactType:
    """An artifact's type in KFP's IR.

    :param schema_title: ``system.Dataset``, ``system.Model``, ...; ``system.Artifact`` fits any.
    :param schema_version: the version of that schema.
    :param is_list: whether it is a list of such artifacts, as the iterations of a loop give them.
    """

    schema_title: str = "system.Artifact"
    schema_version: str = "0.0.1"
    is_list: bool = False


#: What an input or output is: a parameter (a plain value) or an artifact (a file with metadata).
ValueType: TypeAlias = ParameterType | ArtifactType


@dataclass
class Artifact:
    """A file or folder that a step writes and later steps read, with its metadata.

    :param name: the output's name.
    :param uri: where it is kept.
    :param metadata: JSON values that travel with it.
    """

    name: str = ""
    uri: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    schema_title = "system.Artifact"

    @property
    def path(self) -> str:
        """The local path in the step's container; known only there."""
        raise RuntimeError("An artifact has a path only while its step runs.")


class Dataset(Artifact):
    """A data set."""

    schema_title = "system.Dataset"


class Model(Artifact):
    """A trained model."""

    schema_title = "system.Model"


class Metrics(Artifact):
    """Scalar metrics, kept as metadata; in a step it has ``log_metric(name, value)``."""

    schema_title = "system.Metrics"

    def log_metric(self, metric: str, value: float) -> None:  # noqa: ARG002
        """Keep one metric; works only while the step runs."""
        raise RuntimeError("A metric can be logged only while its step runs.")


class ClassificationMetrics(Artifact):
    """Metrics of a classifier, as KFP's UI draws them."""

    schema_title = "system.ClassificationMetrics"


class HTML(Artifact):
    """A page that KFP's UI shows."""

    schema_title = "system.HTML"


class Markdown(Artifact):
    """A text that KFP's UI shows."""

    schema_title = "system.Markdown"


#: The artifact classes by the name that an annotation uses.
ARTIFACT_CLASSES: dict[str, type[Artifact]] = {
    artifact_class.__name__: artifact_class
    for artifact_class in (Artifact, Dataset, Model, Metrics, ClassificationMetrics, HTML, Markdown)
}

_T = TypeVar("_T")

#: ``Input[Dataset]``: the function reads this artifact.
Input: TypeAlias = Annotated[_T, "Input"]
#: ``Output[Dataset]``: the function writes this artifact.
Output: TypeAlias = Annotated[_T, "Output"]
