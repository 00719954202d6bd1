"""DigitalHub's own YAML of functions and workflows, in the terms of this package.

An entity is ``kind``, ``metadata``, ``spec``, ``status``, ``key``, ``id`` and the like; of an executable one
the file holds its tasks as further documents. What only the platform uses is left out (:data:`_UNUSED`),
what is unknown is refused by name. Read from the SDK, digitalhub 0.9 to 0.15
(``digitalhub/entities/_base``, ``digitalhub_runtime_*/entities/*/spec.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import FunctionError
from airflow_kfp_runtime.project.definitions import Definition
from airflow_kfp_runtime.project.documents import Node
from airflow_kfp_runtime.project.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_kfp_runtime.errors import DefinitionError

#: The keys of every entity.
ENTITY_KEYS = frozenset(
    {"kind", "metadata", "spec", "status", "user", "key", "project", "id", "name", "tasks", "extensions"}
)

#: What a kind's ``spec`` has that only the platform uses: how it builds images and what it has built.
_UNUSED = {
    "python": {"build", "instructions", "lang", "init_parameters"},
    "container": {"build", "instructions", "source", "lang"},
    "kfp": {"build", "workflow"},
}

#: What a task has that is no Kubernetes setting.
_TASK_KEYS = frozenset({"function", "workflow", "function_id", "workflow_id", "schedule", "wait"})

Problems = list[Problem]


@dataclass(frozen=True)
class Entity:
    """An exported function or workflow.

    :param what: ``function`` or ``workflow``.
    :param node: its document, or its entry in a project.
    :param tasks: its tasks.
    """

    what: str
    node: Node
    tasks: Sequence[Node] = ()

    @property
    def kind(self) -> str:
        """Its kind; empty where it has none."""
        kind = self.node.get("kind")
        return kind.value if kind is not None and isinstance(kind.value, str) else ""

    @property
    def name(self) -> str:
        """Its name; empty where it has none."""
        for keys in (("name",), ("metadata", "name")):
            name = self.node.get(*keys)
            if name is not None and isinstance(name.value, str):
                return name.value
        return ""

    @property
    def id(self) -> Node | None:
        """Its id."""
        return self.node.get("id") or self.node.get("metadata", "version")

    @property
    def is_whole(self) -> bool:
        """Whether it is embedded: not just a reference to a file of its own."""
        return self.node.get("spec") is not None


def is_exported(node: Node) -> bool:
    """Whether a mapping is an entity of DigitalHub, and not this package's own form."""
    return "kind" in node.entries and not node.entries.keys().isdisjoint({"spec", "metadata"})


def definition_of(entity: Entity, project: str, problems: Problems) -> Definition:
    """Return what an exported function or workflow says, in the terms of this package.

    :param project: the name of the project that it is of.
    :param problems: takes what is wrong with the entity's form.
    """
    title = f"{entity.what} {entity.name!r}"
    _refuse_unknown(entity.node, ENTITY_KEYS, f"{title}, ", problems)
    spec = entity.node.get("spec") or Node({}, entity.node.mark)
    if not isinstance(spec.value, Mapping):
        problems.append(_problem(f"{title}, spec", "is not a mapping", spec))
        spec = Node({}, spec.mark)
    fields: dict[str, Node]
    match entity.what, entity.kind:
        case "workflow", kind:
            fields = _workflow(spec, title, problems)
            fields["kind"] = entity.node.entries.get("kind", Node(kind, entity.node.mark))
        case _, "python":
            fields = _python(spec, title, problems)
        # Without a command only the platform can run it: KFP does not know an image's ENTRYPOINT.
        case _, "container" if spec.get("command") is not None:
            fields = _container(spec, title, problems)
        case _:
            return _definition(entity, _on_platform(entity, project), title)
    if entity.what == "function" and (settings := _settings(entity)):
        own = fields.get("settings")
        fields["settings"] = Node({**settings, **(own.entries if own else {})}, entity.node.mark)
    return _definition(entity, fields, title)


def _definition(entity: Entity, fields: Mapping[str, Node], title: str) -> Definition:
    described = {
        "description": entity.node.get("metadata", "description"),
        "labels": entity.node.get("metadata", "labels"),
        "uuid": entity.id,
    }
    whole = Node(
        {**{name: node for name, node in described.items() if node is not None}, **fields}, entity.node.mark
    )
    return Definition(title, entity.name, whole.plain, whole.marks())


def _python(spec: Node, title: str, problems: Problems) -> dict[str, Node]:
    images = ("image", "base_image", "python_version")
    _refuse_unknown(
        spec, {"source", "requirements", *images, *_UNUSED["python"]}, f"{title}, spec.", problems
    )
    fields = {"kind": Node("python", spec.mark), **_source(spec, "source", title, problems)}
    # The platform builds `image` of the others.
    for name in images:
        if (node := spec.get(name)) is not None:
            fields[name] = node
            break
    if (requirements := spec.get("requirements")) is not None:
        fields["requirements"] = _lines(requirements)
    return fields


def _container(spec: Node, title: str, problems: Problems) -> dict[str, Node]:
    known = {"image", "base_image", "image_pull_policy", "command", "args", "envs"}
    _refuse_unknown(spec, known | _UNUSED["container"], f"{title}, spec.", problems)
    given = {
        "kind": Node("container", spec.mark),
        "image": spec.get("image") or spec.get("base_image"),
        "command": spec.get("command"),
        "args": spec.get("args"),
    }
    fields = {name: node for name, node in given.items() if node is not None}
    settings = {name: node for name in ("image_pull_policy", "envs") if (node := spec.get(name)) is not None}
    if settings:
        fields["settings"] = Node(settings, spec.mark)
    return fields


def _workflow(spec: Node, title: str, problems: Problems) -> dict[str, Node]:
    _refuse_unknown(spec, {"source", "image", "tag", *_UNUSED["kfp"]}, f"{title}, spec.", problems)
    fields = _source(spec, "code_src", title, problems)
    fields.update({name: node for name in ("image", "tag") if (node := spec.get(name)) is not None})
    return fields


def _on_platform(entity: Entity, project: str) -> dict[str, Node]:
    """Return the fields of a function that the platform runs, as it is there."""
    mark = entity.node.mark
    fields = {
        "kind": "digitalhub",
        "project": project,
        "function": entity.name,
        "function_kind": entity.kind,
    }
    nodes = {name: Node(value, mark) for name, value in fields.items()}
    return {**nodes, **({"function_id": entity.id} if entity.id is not None else {})}


def _source(spec: Node, path_field: str, title: str, problems: Problems) -> dict[str, Node]:
    """Return the handler, and of several sources the one that counts on the platform."""
    source = spec.get("source")
    if source is None:
        return {}
    if isinstance(source.value, str):
        return {path_field: source}
    known = {"source", "handler", "code", "base64", "lang"}
    _refuse_unknown(source, known, f"{title}, spec.source.", problems)
    fields = {"handler": handler} if (handler := source.get("handler")) is not None else {}
    for name in ("code", "base64", "source"):
        if (node := source.get(name)) is not None:
            fields[path_field if name == "source" else name] = node
            break
    return fields


def _settings(entity: Entity) -> dict[str, Node]:
    """Return the Kubernetes settings of the task that runs the function."""
    for task in entity.tasks:
        if (kind := task.get("kind")) is not None and kind.value == f"{entity.kind}+job":
            spec = task.get("spec")
            entries = spec.entries if spec is not None else {}
            return {
                name: node
                for name, node in entries.items()
                if name not in _TASK_KEYS and node.value not in (None, (), {})
            }
    return {}


def _lines(requirements: Node) -> Node:
    """Return requirements as a list; DigitalHub takes a text with a line for each as well."""
    if not isinstance(requirements.value, str):
        return requirements
    lines = [line.strip() for line in requirements.value.splitlines()]
    return Node(
        tuple(Node(line, requirements.mark) for line in lines if line and not line.startswith("#")),
        requirements.mark,
    )


def _refuse_unknown(node: Node, known: Iterable[str], before: str, problems: Problems) -> None:
    """Add a problem for each key that is unknown and says something.

    :param before: what stands before the key in a message.
    """
    names = set(known)
    problems.extend(
        _problem(f"{before}{key}", "is not a field that is known of DigitalHub; leave it out", entry)
        for key, entry in node.entries.items()
        if key not in names and entry.value not in (None, (), {}, "")
    )


def _problem(field: str, problem: str, node: Node, error: type[DefinitionError] = FunctionError) -> Problem:
    return Problem(error, problem, field, mark=node.mark)
