"""The messages of ML Metadata that a run's outputs are read from, for a client and for a server.

They are built from descriptors in a pool of their own rather than from generated code, so that any protobuf
from 4 to 7 serves and nothing collides with an installed ``ml-metadata``. Names and numbers are those of ML
Metadata 1.14 (``metadata_store.proto``, ``metadata_store_service.proto``), as KFP 2.0 to 2.17 runs it;
fields that KFP has no use for are left out and pass through as unknown fields::

    context = Context(id=1, name=run_id)
    Context.FromString(context.SerializeToString())
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, struct_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

#: The service, as it appears in the path of a call: ``/ml_metadata.MetadataStoreService/<method>``.
SERVICE = "ml_metadata.MetadataStoreService"

#: The context of a run, whose name is the run's id (KFP 2.0 to 2.17).
RUN_CONTEXT_TYPE = "system.PipelineRun"


class ArtifactState(IntEnum):
    """``ml_metadata.Artifact.State``."""

    UNKNOWN = 0
    PENDING = 1
    LIVE = 2
    MARKED_FOR_DELETION = 3
    DELETED = 4
    ABANDONED = 5
    REFERENCE = 6


class ExecutionState(IntEnum):
    """``ml_metadata.Execution.State``; KFP writes CANCELED for a task whose condition did not hold."""

    UNKNOWN = 0
    NEW = 1
    RUNNING = 2
    COMPLETE = 3
    FAILED = 4
    CACHED = 5
    CANCELED = 6


class EventType(IntEnum):
    """``ml_metadata.Event.Type``."""

    UNKNOWN = 0
    DECLARED_OUTPUT = 1
    DECLARED_INPUT = 2
    INPUT = 3
    OUTPUT = 4
    INTERNAL_INPUT = 5
    INTERNAL_OUTPUT = 6
    PENDING_OUTPUT = 7


_ENUMS: dict[str, type[IntEnum]] = {
    "Artifact.State": ArtifactState,
    "Execution.State": ExecutionState,
    "Event.Type": EventType,
}

#: Field numbers and types by message; a message comes after the one it is nested in. ``*`` marks a repeated
#: field and ``map`` one from string to ``Value``.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Value": {
        "int_value": (1, "int64"),
        "double_value": (2, "double"),
        "string_value": (3, "string"),
        "struct_value": (4, "google.protobuf.Struct"),
        "bool_value": (6, "bool"),
    },
    "Artifact": {
        "id": (1, "int64"),
        "type_id": (2, "int64"),
        "uri": (3, "string"),
        "properties": (4, "map"),
        "custom_properties": (5, "map"),
        "state": (6, "Artifact.State"),
        "name": (7, "string"),
        "type": (8, "string"),
        "create_time_since_epoch": (9, "int64"),
        "last_update_time_since_epoch": (10, "int64"),
    },
    "Execution": {
        "id": (1, "int64"),
        "type_id": (2, "int64"),
        "last_known_state": (3, "Execution.State"),
        "properties": (4, "map"),
        "custom_properties": (5, "map"),
        "name": (6, "string"),
        "type": (7, "string"),
        "create_time_since_epoch": (8, "int64"),
        "last_update_time_since_epoch": (9, "int64"),
    },
    "Context": {
        "id": (1, "int64"),
        "type_id": (2, "int64"),
        "name": (3, "string"),
        "properties": (4, "map"),
        "custom_properties": (5, "map"),
        "type": (6, "string"),
        "create_time_since_epoch": (7, "int64"),
        "last_update_time_since_epoch": (8, "int64"),
    },
    "Event": {
        "artifact_id": (1, "int64"),
        "execution_id": (2, "int64"),
        "path": (3, "Event.Path"),
        "type": (4, "Event.Type"),
        "milliseconds_since_epoch": (5, "int64"),
    },
    "Event.Path": {"steps": (1, "*Event.Path.Step")},
    "Event.Path.Step": {"index": (1, "int64"), "key": (2, "string")},
    "ListOperationOptions": {"max_result_size": (1, "int32"), "next_page_token": (3, "string")},
    "GetContextByTypeAndNameRequest": {
        "type_name": (1, "string"),
        "context_name": (2, "string"),
        "type_version": (3, "string"),
    },
    "GetContextByTypeAndNameResponse": {"context": (1, "Context")},
    "GetExecutionsByContextRequest": {"context_id": (1, "int64"), "options": (2, "ListOperationOptions")},
    "GetExecutionsByContextResponse": {"executions": (1, "*Execution"), "next_page_token": (2, "string")},
    "GetArtifactsByContextRequest": {"context_id": (1, "int64"), "options": (2, "ListOperationOptions")},
    "GetArtifactsByContextResponse": {"artifacts": (1, "*Artifact"), "next_page_token": (2, "string")},
    "GetEventsByExecutionIDsRequest": {"execution_ids": (1, "*int64")},
    "GetEventsByExecutionIDsResponse": {"events": (1, "*Event")},
}

#: Messages whose fields exclude each other, with the name of that choice.
_CHOICES = {"Value": "value", "Event.Path.Step": "value"}

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "double": _Field.TYPE_DOUBLE,
    "string": _Field.TYPE_STRING,
    "bool": _Field.TYPE_BOOL,
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="airflow_kfp_runtime/ml_metadata.proto",
        package="ml_metadata",
        syntax="proto2",
        dependency=["google/protobuf/struct.proto"],
    )
    made: dict[str, descriptor_pb2.DescriptorProto] = {}
    for name, fields in _MESSAGES.items():
        outer, _, simple = name.rpartition(".")
        declared = made[outer].nested_type.add() if outer else file.message_type.add()
        declared.name = simple
        made[name] = declared
        if name in _CHOICES:
            declared.oneof_decl.add(name=_CHOICES[name])
        for field, (number, kind) in fields.items():
            _add_field(declared, name, field, number, kind)
    for name, members in _ENUMS.items():
        outer, _, simple = name.rpartition(".")
        enum = made[outer].enum_type.add(name=simple)
        for member in members:
            enum.value.add(name=member.name, number=member.value)
    return file


def _add_field(
    declared: descriptor_pb2.DescriptorProto, message_name: str, name: str, number: int, kind: str
) -> None:
    repeated = kind == "map" or kind.startswith("*")
    field = declared.field.add(
        name=name, number=number, label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    )
    element = _map_entry(declared, message_name, name) if kind == "map" else kind.lstrip("*")
    if element in _SCALARS:
        field.type = _SCALARS[element]
    else:
        field.type = _Field.TYPE_ENUM if element in _ENUMS else _Field.TYPE_MESSAGE
        field.type_name = f".{element}" if element.startswith("google.") else f".ml_metadata.{element}"
    if message_name in _CHOICES:
        field.oneof_index = 0


def _map_entry(declared: descriptor_pb2.DescriptorProto, message_name: str, field: str) -> str:
    """Declare what a map's entries are, as protoc does, and return its name."""
    entry = declared.nested_type.add(name=f"{field.title().replace('_', '')}Entry")
    entry.options.map_entry = True
    for number, name, kind in ((1, "key", "string"), (2, "value", "Value")):
        _add_field(entry, f"{message_name}.{entry.name}", name, number, kind)
    return f"{message_name}.{entry.name}"


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_file().SerializeToString())
    descriptors = {name: pool.FindMessageTypeByName(f"ml_metadata.{name}") for name in _MESSAGES}
    if hasattr(message_factory, "GetMessageClass"):
        class_of: Callable[[Any], Any] = message_factory.GetMessageClass
    else:  # protobuf 4.21
        class_of = getattr(message_factory.MessageFactory(pool), "GetPrototype")  # noqa: B009
    return {name: class_of(descriptor) for name, descriptor in descriptors.items()}


_made = _classes()

Value: Any = _made["Value"]
Artifact: Any = _made["Artifact"]
Execution: Any = _made["Execution"]
Context: Any = _made["Context"]
Event: Any = _made["Event"]
EventPath: Any = _made["Event.Path"]
EventPathStep: Any = _made["Event.Path.Step"]
ListOperationOptions: Any = _made["ListOperationOptions"]
GetContextByTypeAndNameRequest: Any = _made["GetContextByTypeAndNameRequest"]
GetContextByTypeAndNameResponse: Any = _made["GetContextByTypeAndNameResponse"]
GetExecutionsByContextRequest: Any = _made["GetExecutionsByContextRequest"]
GetExecutionsByContextResponse: Any = _made["GetExecutionsByContextResponse"]
GetArtifactsByContextRequest: Any = _made["GetArtifactsByContextRequest"]
GetArtifactsByContextResponse: Any = _made["GetArtifactsByContextResponse"]
GetEventsByExecutionIDsRequest: Any = _made["GetEventsByExecutionIDsRequest"]
GetEventsByExecutionIDsResponse: Any = _made["GetEventsByExecutionIDsResponse"]


def read(message_class: Any, data: bytes) -> Any:
    """Return the message of that class.

    :raises ValueError: if the bytes are none.
    """
    try:
        return message_class.FromString(data)
    except message.DecodeError as error:
        raise ValueError(f"not a {message_class.DESCRIPTOR.name}: {error}") from None


def value(content: bool | float | str | dict[str, Any]) -> Any:
    """Return a ``Value`` that holds a property: a number, a text, a truth value, or a mapping as a struct."""
    match content:
        case bool():
            return Value(bool_value=content)
        case int():
            return Value(int_value=content)
        case float():
            return Value(double_value=content)
        case str():
            return Value(string_value=content)
    made = Value()
    struct = struct_pb2.Struct()
    struct.update(content)
    # By its bytes, since the struct of this module's pool is another class than the library's.
    made.struct_value.ParseFromString(struct.SerializeToString())
    return made


def content(held: Any) -> Any:
    """Return what a ``Value`` holds as a JSON value; a struct's whole numbers come back as ``int``.

    Protobuf keeps each number in a struct as a double, so that ``3`` and ``3.0`` cannot be told apart there:
    the type that the component declares decides (:mod:`airflow_kfp_runtime.client.outputs`).
    """
    match held.WhichOneof("value"):
        case None:
            return None
        case "struct_value":
            struct = struct_pb2.Struct.FromString(held.struct_value.SerializeToString())
            return {name: _json(item) for name, item in struct.fields.items()}
        case kind:
            return getattr(held, kind)


def _json(item: struct_pb2.Value) -> Any:
    match item.WhichOneof("kind"):
        case "number_value":
            number = item.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return item.string_value
        case "bool_value":
            return item.bool_value
        case "list_value":
            return [_json(element) for element in item.list_value.values]
        case "struct_value":
            return {name: _json(element) for name, element in item.struct_value.fields.items()}
    return None
