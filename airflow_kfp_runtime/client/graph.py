"""The tasks of a pipeline's IR and how values flow between them, as far as reading a run's outputs needs
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_kfp_runtime.client.values import typed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Outputs by task path (``train``, nested ``outer/inner``) and name.
Outputs: TypeAlias = dict[str, dict[str, Any]]

#: The path of the pipeline itself.
ROOT = ""


@dataclass(frozen=True)
class Source:
    """An output of a task."""

    path: str
    output: str


@dataclass(frozen=True)
class Task:
    """A task of the pipeline, or with the path ``""`` the pipeline itself.

    :param spec: its ``PipelineTaskSpec``.
    :param component: its ``ComponentSpec``.
    """

    path: str
    spec: Mapping[str, Any]
    component: Mapping[str, Any]

    @property
    def dag(self) -> Mapping[str, Any] | None:
        """The tasks inside, ``None`` for one that runs a container."""
        return self.component.get("dag")

    @property
    def is_loop(self) -> bool:
        """Whether it stands for a number of iterations that only the run knows."""
        return "parameterIterator" in self.spec or "artifactIterator" in self.spec

    @property
    def parameter_types(self) -> dict[str, str]:
        """The types of its output parameters, such as ``NUMBER_INTEGER``, by name."""
        declared = self.component.get("outputDefinitions", {}).get("parameters", {})
        return {name: spec.get("parameterType", "STRING") for name, spec in declared.items()}

    @property
    def artifact_types(self) -> dict[str, str]:
        """The types of its output artifacts, such as ``system.Model``, by name."""
        declared = self.component.get("outputDefinitions", {}).get("artifacts", {})
        return {
            name: spec.get("artifactType", {}).get("schemaTitle", "system.Artifact")
            for name, spec in declared.items()
        }

    def input_source(self, name: str) -> Mapping[str, Any]:
        """Return where the input ``name`` comes from, as the IR says it."""
        inputs = self.spec.get("inputs", {})
        found: Mapping[str, Any] = {
            **inputs.get("artifacts", {}).get(name, {}),
            **inputs.get("parameters", {}).get(name, {}),
        }
        return found

    def output_sources(self) -> Iterator[tuple[str, list[Source]]]:
        """For a DAG, yield each output and the outputs of its tasks that it may come from, in order."""
        outputs = (self.dag or {}).get("outputs", {})
        for name, spec in outputs.get("parameters", {}).items():
            one = spec.get("valueFromParameter")
            selectors = [one] if one else spec.get("valueFromOneof", {}).get("parameterSelectors", [])
            yield name, [self._inside(selector, "outputParameterKey") for selector in selectors]
        for name, spec in outputs.get("artifacts", {}).items():
            yield (
                name,
                [
                    self._inside(selector, "outputArtifactKey")
                    for selector in spec.get("artifactSelectors", [])
                ],
            )

    def _inside(self, selector: Mapping[str, Any], key: str) -> Source:
        return Source(join(self.path, selector.get("producerSubtask", "")), selector.get(key, ""))


@dataclass(frozen=True)
class Graph:
    """A pipeline's tasks by path; each comes before those inside it."""

    tasks: Mapping[str, Task] = field(default_factory=dict)

    @classmethod
    def of(cls, pipeline_spec: Mapping[str, Any]) -> Graph:
        """Read an IR, alone or with its platform spec beside it (``{"pipeline_spec": ..., "platform_spec":
        ...}``).
        """
        spec = pipeline_spec.get("pipeline_spec", pipeline_spec)
        components = spec.get("components", {})
        tasks: dict[str, Task] = {}

        def add(task: Task, around: tuple[str, ...]) -> None:
            tasks[task.path] = task
            for name, inner in (task.dag or {}).get("tasks", {}).items():
                component = inner.get("componentRef", {}).get("name", "")
                # A component inside itself cannot run; it would never end here either.
                if component not in around:
                    found = Task(join(task.path, name), inner, components.get(component, {}))
                    add(found, (*around, component))

        add(Task(ROOT, {}, spec.get("root", {})), ())
        return cls(tasks)

    @property
    def pipeline_outputs(self) -> list[str]:
        """The names of the pipeline's own outputs."""
        return [name for name, _ in self.tasks[ROOT].output_sources()]

    def source(self, path: str, input_name: str) -> Source | None:
        """Return the task output that an input gets its value from; ``None`` if it is no task's output."""
        task = self.tasks.get(path)
        if task is None:
            return None
        given = task.input_source(input_name)
        if "parameterExpressionSelector" in given:
            return None
        for kind, key in (
            ("taskOutputParameter", "outputParameterKey"),
            ("taskOutputArtifact", "outputArtifactKey"),
        ):
            if kind in given:
                producer = given[kind].get("producerTask", "")
                return Source(join(parent(path), producer), given[kind].get(key, ""))
        outer = given.get("componentInputParameter") or given.get("componentInputArtifact")
        return self.source(parent(path), outer) if outer and path != ROOT else None

    def put(self, outputs: Outputs, source: Source, value: Any) -> None:
        """Record an output, and for a DAG's also the output of the task inside that it comes from."""
        outputs.setdefault(source.path, {})[source.output] = value
        task = self.tasks.get(source.path)
        for name, inner in task.output_sources() if task else ():
            if name == source.output and len(inner) == 1:
                self.put(outputs, inner[0], value)

    def resolve(self, outputs: Outputs) -> dict[str, Any]:
        """Add to ``outputs`` those of the nested DAGs, and return the outputs of the pipeline."""
        for path in sorted(self.tasks, key=_depth, reverse=True):
            for name, sources in self.tasks[path].output_sources():
                for source in sources:
                    if source.output in outputs.get(source.path, {}):
                        outputs.setdefault(path, {}).setdefault(name, outputs[source.path][source.output])
        return outputs.pop(ROOT, {})

    def typed(self, path: str, output: str, value: Any) -> Any:
        """Return the value of a task's output parameter in its declared type; anything else as it is."""
        task = self.tasks.get(path)
        return typed(task.parameter_types.get(output, ""), value) if task else value


def join(path: str, name: str) -> str:
    """Return the path of the task ``name`` inside the one at ``path``."""
    return f"{path}/{name}" if path else name


def parent(path: str) -> str:
    """Return the path of the DAG around a task."""
    return path.rpartition("/")[0]


def _depth(path: str) -> int:
    return path.count("/") + 1 if path else 0
